"""Receives the robot's turn rate from odometry, an IMU or a twist, for the turn guards."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from vljepa_ros import ros
from vljepa_ros.nodes.diagnostics import Part, checked
from vljepa_ros.nodes.parameters import live, read_only
from vljepa_ros.nodes.topics import IMAGES, Endpoints, to_seconds

AUTO_TYPE = "auto"
TURN_TYPES = {
    "odometry": "nav_msgs/msg/Odometry",
    "imu": "sensor_msgs/msg/Imu",
    "twist": "geometry_msgs/msg/Twist",
    "twist_stamped": "geometry_msgs/msg/TwistStamped",
    "twist_with_covariance_stamped": "geometry_msgs/msg/TwistWithCovarianceStamped",
}
SILENCE_S = 2.0  # without a message, after which that is reported


@dataclass(frozen=True)
class TurnParameters:
    """Parameters for the turn rate of the robot."""

    turn_topic: str = read_only(
        "",
        "Topic of the robot's turn rate, such as /odom or /imu; empty: no turn guard.",
        ros_name=True,
    )
    turn_type: str = read_only(
        AUTO_TYPE,
        "Kind of that topic; auto: the type of its publishers.",
        choices=(AUTO_TYPE, *TURN_TYPES),
    )
    turn_rate: float = live(
        0.1, "Turn rate from which the robot counts as turning, rad/s.", 0.0, 100.0
    )


class TurnInput(Endpoints):
    """Subscribes to a turn rate as soon as the type of its topic is known, until `close`.

    A topic without messages is reported.

    Args:
        node: A ROS node.
        topic: Its name.
        kind: One of TURN_TYPES, or AUTO_TYPE: the type that the graph says the topic has.
        on_turn_rate: Called with a stamp in seconds and a turn rate in rad/s, about any axis.
    """

    def __init__(
        self, node: ros.Node, topic: str, kind: str, on_turn_rate: Callable[[float, float], None]
    ) -> None:
        super().__init__(node)
        self._topic, self._name = node.resolve_topic_name(topic), topic  # to be remapped once
        self._type = TURN_TYPES.get(kind, "")
        self._on_turn_rate = on_turn_rate
        self._received = 0
        self._arrived = 0.0
        self._rate = 0.0
        self._trouble = ""
        self.try_subscribe()

    def try_subscribe(self) -> None:
        """Subscribe if that has become possible; call it periodically."""
        kind = "" if self.is_open else self._type or self._type_in_graph()
        if not kind:
            return
        if ros.find_interface(kind) is None:
            self._trouble = f"the turn guard needs the package of {kind}, which is not installed"
            return
        self._type, self._trouble = kind, ""
        self.subscribe(kind, self._name, self._on_message, IMAGES)

    def part(self) -> Part:
        """State for the diagnostics."""
        values = {
            "topic": self._topic,
            "type": self._type,
            "received": self._received,
            "rate": self._rate,
        }
        trouble = self._trouble
        if not trouble and time.monotonic() - self._arrived > SILENCE_S:
            trouble = f"no message on '{self._topic}': turns are not recognised"
        if not trouble and not math.isfinite(self._rate):
            trouble = f"'{self._topic}' has a rate of {self._rate}: turns are not recognised"
        return checked("turn guard", trouble, f"{self._rate:.2f} rad/s", values)

    def _type_in_graph(self) -> str:
        types = dict(self._node.get_topic_names_and_types()).get(self._topic, [])
        found = [kind for kind in types if kind in TURN_TYPES.values()]
        if types and not found:
            self._trouble = (
                f"'{self._topic}' has type {', '.join(types)}, which carries no angular rate; "
                f"allowed: {', '.join(TURN_TYPES.values())}"
            )
        return found[0] if found else ""

    def _on_message(self, message: ros.Message) -> None:
        self._received += 1
        self._arrived = time.monotonic()
        angular = _angular(message)
        self._rate = math.hypot(angular.x, angular.y, angular.z)
        self._on_turn_rate(self._seconds(message), self._rate)

    def _seconds(self, message: ros.Message) -> float:
        stamp = message.header.stamp if hasattr(message, "header") else None
        if stamp is None or not (stamp.sec or stamp.nanosec):
            return float(self._node.get_clock().now().nanoseconds / 1e9)
        return to_seconds(stamp)


def _angular(message: ros.Message) -> ros.Message:
    """The geometry_msgs/Vector3 of the turn rate, rad/s."""
    if hasattr(message, "angular_velocity"):
        return message.angular_velocity
    while not hasattr(message, "angular"):
        message = message.twist
    return message.angular
