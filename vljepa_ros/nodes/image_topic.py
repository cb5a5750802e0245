"""Subscribes to an image topic for all cameras that use its images or crops of them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from typing import Any

from vljepa_ros import ros
from vljepa_ros.nodes.parameters import live, read_only
from vljepa_ros.nodes.topics import IMAGES, Endpoints
from vljepa_ros.perception.frames import ROTATIONS, SharedImage

TYPES = {"raw": "sensor_msgs/msg/Image", "compressed": "sensor_msgs/msg/CompressedImage"}

_FEW = 6  # newest images whose arrival times are kept, to notice a topic that loses most


@dataclass(frozen=True)
class TransportParameter:
    """The parameter for the type of an image topic."""

    transport: str = read_only(
        "raw",
        "raw: sensor_msgs/Image; compressed: sensor_msgs/CompressedImage, JPEG or PNG.",
        choices=tuple(TYPES),
    )


@dataclass(frozen=True)
class ViewParameters(TransportParameter):
    """Parameters for crop and rotation of a camera's images."""

    crop: tuple[int, ...] = live(
        [0, 0, 0, 0],
        "Part of the image as it arrives: x, y, width, height in pixels; width or height 0: up to "
        "the edge. Cameras of one topic are decoded once and encoded in one batch.",
        0,
        100_000,
    )
    rotate: int = live(0, "Rotation of that part, degrees clockwise.", choices=ROTATIONS)


class ImageTopic(Endpoints):
    """Subscribes from `start` to `close`; several receivers share one decoded image.

    Args:
        node: A ROS node that can `warn`.
        topic: Its name, not yet remapped.
        transport: One of TYPES.

    Attributes:
        receivers: Called with each message, and with what their FrameDecoder takes.
        mismatch: Incompatible quality of service of a publisher; empty: none.
    """

    def __init__(self, node: Any, topic: str, transport: str) -> None:
        super().__init__(node, self._on_mismatch)
        self.topic, self._name = node.resolve_topic_name(topic), topic  # to be remapped once
        self.transport = transport
        self.receivers: list[Callable[[Any, Any], None]] = []
        self.mismatch = ""
        self._started = time.monotonic()
        self._arrivals: deque[float] = deque(maxlen=_FEW)

    @property
    def silence(self) -> float:
        """Seconds since the newest image, or since `start` where there was none."""
        return time.monotonic() - (self._arrivals[-1] if self._arrivals else self._started)

    def start(self, group: ros.ReentrantCallbackGroup | None = None) -> None:
        """Subscribe; does nothing if already subscribed.

        Args:
            group: Callback group; while it is busy only the newest image waits.
        """
        if self.is_open:
            return
        qos = copy(IMAGES)  # rclpy writes overrides into the profile it is given
        qos.depth = 1 if group else qos.depth
        self._started, self.mismatch = time.monotonic(), ""
        self._arrivals.clear()
        self.subscribe(
            TYPES[self.transport],
            self._name,
            self._receive,
            qos,
            callback_group=group,
            qos_overriding_options=ros.QoSOverridingOptions.with_default_policies(),
        )

    def trouble(self, timeout: float) -> str:
        """Why no or few images arrive, and what helps if they are lost in transport.

        Args:
            timeout: Seconds between two images that are too long; half of it is, on average.

        Returns:
            Empty if enough of them arrive.
        """
        count, end = len(self._arrivals), "any more" if self._arrivals else "yet"
        took = time.monotonic() - self._arrivals[0] if count > 1 else 0.0
        if self.silence >= timeout:
            text = f"no image on '{self.topic}' {end}, for {self.silence:.0f} s"
        elif took >= max(timeout, count * timeout / 2):
            text = f"only {count} images on '{self.topic}' in {took:.0f} s"
        else:
            return ""
        if self.mismatch:
            return f"{text} ({self.mismatch})"
        return f"{text}; {self._lost}" if self._is_published else text

    def other_topics(self, prefix: str = "") -> str:
        """For a topic without a publisher: which image topics exist, which parameters to set.

        Args:
            prefix: Prefix of the names of these parameters.
        """
        if self._is_published:
            return ""
        kinds = {kind: transport for transport, kind in TYPES.items()}
        found = [
            f"{topic} ({kinds[kind]})"
            for topic, types in self._node.get_topic_names_and_types()
            for kind in types
            if kind in kinds and "/overlay" not in topic and self._node.count_publishers(topic)
        ]
        if not found:
            return "; no image topic has a publisher: is the camera driver running?"
        return (
            f"; image topics that exist: {', '.join(sorted(found))}; "
            f"set {prefix}image_topic and {prefix}transport"
        )

    @property
    def _is_published(self) -> bool:
        """Whether the graph has a publisher of this topic and type."""
        publishers = self._node.get_publishers_info_by_topic(self._name)
        return any(info.topic_type == TYPES[self.transport] for info in publishers)

    @property
    def _lost(self) -> str:
        return (
            "it has a publisher; if that sends more, they are lost in transport: set the parameter "
            f"qos_overrides.{self.topic}.subscription.reliability to reliable, or give the "
            "middleware a larger receive buffer: sysctl -w net.core.rmem_max=8388608, and for "
            'Cyclone DDS <SocketReceiveBufferSize min="4MB"/> in the file of CYCLONEDDS_URI'
        )

    def _receive(self, message: ros.Message) -> None:
        self._arrivals.append(time.monotonic())
        self.mismatch = ""  # or it is of another publisher
        image = message if len(self.receivers) == 1 else SharedImage(message)
        for receive in self.receivers:
            receive(message, image)

    def _on_mismatch(self, text: str) -> None:
        self.mismatch = text
        self._node.warn(text)
