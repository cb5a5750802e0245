"""Topics of nodes: quality of service, endpoints, image messages, stamps.

| profile | for | why |
|---|---|---|
| `IMAGES` | subscribing to images | best effort is compatible with every camera |
| `IMAGES_OUT` | publishing images | reliable is what RViz and rosbag request by default |
| `RESULTS` | embeddings, labels, events, diagnostics | nothing is lost in a burst of up to ten |
| `LATCHED` | vocabulary | a late subscriber gets the newest at once |
| `REPEATED` | model_info, scene, trigger_state | latched; silence means the node is gone |
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vljepa_ros import ros

IMAGES = ros.sensor_data_qos
IMAGES_OUT = ros.QoSProfile(depth=5, reliability=ros.ReliabilityPolicy.RELIABLE)
RESULTS = ros.QoSProfile(depth=10, reliability=ros.ReliabilityPolicy.RELIABLE)
LATCHED = ros.QoSProfile(
    depth=1,
    reliability=ros.ReliabilityPolicy.RELIABLE,
    durability=ros.DurabilityPolicy.TRANSIENT_LOCAL,
)

DEADLINE_S = 1.5
"""Seconds without a message of a REPEATED topic after which its publisher is gone."""
REPEATED = ros.QoSProfile(
    depth=1,
    reliability=ros.ReliabilityPolicy.RELIABLE,
    durability=ros.DurabilityPolicy.TRANSIENT_LOCAL,
    deadline=ros.Duration(seconds=DEADLINE_S),
)
REPEAT_S = 1.0
HEARTBEAT_S = 0.5
"""Period of `model_info` of an active perception node; see EmbeddingSubscription."""
OVERRIDES = ros.QoSOverridingOptions(
    [
        ros.QoSPolicyKind.HISTORY,
        ros.QoSPolicyKind.DEPTH,
        ros.QoSPolicyKind.RELIABILITY,
        ros.QoSPolicyKind.DURABILITY,
        ros.QoSPolicyKind.DEADLINE,
    ]
)
"""Policies that `qos_overrides.<topic>.publisher.<policy>` may change of every output."""


class Endpoints:
    """Publishers, subscriptions and timers of a node that are destroyed together.

    Args:
        node: A ROS node.
        on_mismatch: Called with one line that names topic, policy and remedy when a connection is
            refused because of its quality of service.
    """

    def __init__(self, node: ros.Node, on_mismatch: Callable[[str], None] | None = None) -> None:
        self._node: Any = node
        self._on_mismatch = on_mismatch
        self._made: list[tuple[Callable[[Any], Any], Any]] = []

    @property
    def is_open(self) -> bool:
        """Whether there are any publishers, subscriptions or timers."""
        return bool(self._made)

    def publisher(self, kind: str, topic: str, qos: ros.QoSProfile = RESULTS) -> ros.Publisher:
        """Create a publisher; `kind` is the interface's name, such as `std_msgs/msg/Header`."""
        made = self._node.create_publisher(
            ros.interface(kind),
            topic,
            copy(qos),  # rclpy writes overrides into the profile it is given
            event_callbacks=self._mismatch_events(topic, "publisher"),
            qos_overriding_options=OVERRIDES,
        )
        self._made.append((self._node.destroy_publisher, made))
        return made

    def subscribe(
        self,
        kind: str,
        topic: str,
        callback: Callable[[ros.Message], None],
        qos: ros.QoSProfile = RESULTS,
        **options: object,
    ) -> None:
        """Create a subscription; options go to the node's `create_subscription`."""
        options["event_callbacks"] = self._mismatch_events(topic, "subscription")
        made = self._node.create_subscription(ros.interface(kind), topic, callback, qos, **options)
        self._made.append((self._node.destroy_subscription, made))

    def repeat(self, period: float, callback: Callable[[], None]) -> None:
        """Call `callback` every `period` seconds of the steady clock."""
        made = self._node.create_timer(period, callback, clock=ros.steady_clock())
        self._made.append((self._node.destroy_timer, made))

    def close(self) -> None:
        """Destroy all of them; new ones may follow."""
        while self._made:
            destroy, endpoint = self._made.pop()
            destroy(endpoint)

    def _mismatch_events(self, topic: str, kind: str) -> Any:
        report = self._on_mismatch
        if report is None:
            return None
        other = "subscriber" if kind == "publisher" else "publisher"

        def on_incompatible_qos(info: ros.IncompatibleQoS) -> None:
            report(
                f"incompatible QoS on '{topic}': a {other} was refused because of {info.policy}; "
                f"{info.remedy}"
            )

        return ros.endpoint_events(incompatible_qos=on_incompatible_qos, kind=kind)


def image_message(
    header: ros.Message, pixels: NDArray[np.uint8], encoding: str = "rgb8"
) -> ros.Message:
    """Convert [H, W, 3] uint8 pixels to sensor_msgs/Image; encoding: rgb8 or bgr8."""
    height, width = pixels.shape[:2]
    return ros.interface("sensor_msgs/msg/Image")(
        header=header,
        height=height,
        width=width,
        encoding=encoding,
        is_bigendian=0,
        step=3 * width,
        data=np.ascontiguousarray(pixels).tobytes(),
    )


def jpeg_message(header: ros.Message, bgr: NDArray[np.uint8]) -> ros.Message:
    """Convert [H, W, 3] uint8 pixels to CompressedImage, as image_transport writes it."""
    _, coded = cv2.imencode(".jpg", np.ascontiguousarray(bgr))
    return ros.interface("sensor_msgs/msg/CompressedImage")(
        header=header, format="bgr8; jpeg compressed bgr8", data=coded.tobytes()
    )


def to_nanoseconds(stamp: ros.Message) -> int:
    """Convert a builtin_interfaces/Time to nanoseconds."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def to_seconds(stamp: ros.Message) -> float:
    """Convert a builtin_interfaces/Time to seconds."""
    return float(stamp.sec + stamp.nanosec * 1e-9)


def to_stamp(nanoseconds: int) -> ros.Message:
    """Convert nanoseconds to a builtin_interfaces/Time."""
    return ros.Time(nanoseconds=nanoseconds).to_msg()


def to_duration(seconds: float) -> ros.Message:
    """Convert seconds to a builtin_interfaces/Duration, at most the longest there is."""
    longest = 2**31 - 1
    return ros.Duration(nanoseconds=round(min(max(seconds, -longest), longest) * 1e9)).to_msg()


def age_of(node: ros.Node, nanoseconds: int) -> float:
    """Seconds from a stamp to the node's present time."""
    return float((node.get_clock().now().nanoseconds - nanoseconds) / 1e9)
