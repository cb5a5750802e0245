"""Quality of service: profiles, policies and the incompatible-QoS events, as in rclpy."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ..events import IncompatibleQoS
from .clock import Duration


class ReliabilityPolicy(enum.IntEnum):
    """Whether what was lost is sent again."""

    SYSTEM_DEFAULT = 0
    RELIABLE = 1
    BEST_EFFORT = 2
    UNKNOWN = 3
    BEST_AVAILABLE = 4


class DurabilityPolicy(enum.IntEnum):
    """Whether late joiners get what was sent before."""

    SYSTEM_DEFAULT = 0
    TRANSIENT_LOCAL = 1
    VOLATILE = 2
    UNKNOWN = 3
    BEST_AVAILABLE = 4


class HistoryPolicy(enum.IntEnum):
    """How many messages are kept."""

    SYSTEM_DEFAULT = 0
    KEEP_LAST = 1
    KEEP_ALL = 2
    UNKNOWN = 3


class LivelinessPolicy(enum.IntEnum):
    """Who says that a publisher is alive."""

    SYSTEM_DEFAULT = 0
    AUTOMATIC = 1
    MANUAL_BY_TOPIC = 3
    UNKNOWN = 4
    BEST_AVAILABLE = 5


@dataclass
class QoSProfile:
    """A set of policies; the defaults are ROS 2's."""

    history: HistoryPolicy = HistoryPolicy.KEEP_LAST
    depth: int = 10
    reliability: ReliabilityPolicy = ReliabilityPolicy.RELIABLE
    durability: DurabilityPolicy = DurabilityPolicy.VOLATILE
    lifespan: Duration = field(default_factory=Duration)
    deadline: Duration = field(default_factory=Duration)
    liveliness: LivelinessPolicy = LivelinessPolicy.SYSTEM_DEFAULT
    liveliness_lease_duration: Duration = field(default_factory=Duration)
    avoid_ros_namespace_conventions: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.depth, int) or self.depth < 0:
            raise ValueError(f"QoS depth must be an int of at least 0, not {self.depth!r}")


def as_profile(qos: QoSProfile | int) -> QoSProfile:
    """A profile, or a depth, as rclpy takes them."""
    if isinstance(qos, QoSProfile):
        return qos
    if isinstance(qos, int) and not isinstance(qos, bool):
        return QoSProfile(depth=qos)
    raise TypeError(f"expected QoSProfile or int, but received {type(qos).__name__}")


qos_profile_sensor_data = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
qos_profile_system_default = QoSProfile()
qos_profile_services_default = QoSProfile()
qos_profile_parameters = QoSProfile(depth=1000)
qos_profile_parameter_events = QoSProfile(depth=1000)
qos_profile_rosout_default = QoSProfile(
    depth=1000, durability=DurabilityPolicy.TRANSIENT_LOCAL, lifespan=Duration(seconds=10)
)
qos_profile_clock = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)


@dataclass(frozen=True)
class EventCallbacks:
    """Event callbacks of a publisher or a subscription; `incompatible_qos` is the one kind here."""

    incompatible_qos: Callable[[IncompatibleQoS], Any] | None = None


def incompatible_qos_events(
    callback: Callable[[IncompatibleQoS], Any], *, kind: str = "subscription"
) -> EventCallbacks:
    """The ``event_callbacks`` of a publisher or a subscription (`kind`; rclpy needs to know)."""
    return EventCallbacks(incompatible_qos=callback)


class QoSOverridingOptions:
    """Lets parameters ``qos_overrides.<topic>.<side>.<policy>`` change a profile."""

    def __init__(self, policy_kinds: Any = ("history", "depth", "reliability")) -> None:
        self.policy_kinds = tuple(str(getattr(k, "name", k)).lower() for k in policy_kinds)

    @classmethod
    def with_default_policies(cls) -> QoSOverridingOptions:
        """History, depth and reliability, as in rclpy."""
        return cls()
