"""Quality of service: policies, profiles, and the parameters that change a profile."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from vljepa_ros.ros.builtin.clock import Duration
from vljepa_ros.ros.builtin.node_parameters import NodeParameters
from vljepa_ros.ros.builtin.parameters import InvalidParameterValueException, ParameterDescriptor
from vljepa_ros.ros.events import IncompatibleQoS

EventCallback = Callable[[IncompatibleQoS], Any]


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


@dataclass
class QoSProfile:
    """A set of policies; the defaults are ROS 2's."""

    history: HistoryPolicy = HistoryPolicy.KEEP_LAST
    depth: int = 10
    reliability: ReliabilityPolicy = ReliabilityPolicy.RELIABLE
    durability: DurabilityPolicy = DurabilityPolicy.VOLATILE
    lifespan: Duration = field(default_factory=Duration)
    deadline: Duration = field(default_factory=Duration)

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


sensor_data_qos = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
parameter_events_qos = QoSProfile(depth=1000)
rosout_qos = QoSProfile(
    depth=1000, durability=DurabilityPolicy.TRANSIENT_LOCAL, lifespan=Duration(seconds=10)
)
services_qos = QoSProfile(history=HistoryPolicy.KEEP_ALL)
"""A burst deeper than a history would lose requests, and their clients would wait for ever."""
action_status_qos = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
clock_qos = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)


def incompatible_qos_events(callback: EventCallback, *, kind: str = "subscription") -> Any:
    """The `event_callbacks` of a publisher or a subscription (`kind`; rclpy needs to know)."""
    return callback


class QoSOverridingOptions:
    """Lets parameters `qos_overrides.<topic>.<side>.<policy>` change a profile."""

    policy_kinds = ("history", "depth", "reliability")

    @classmethod
    def with_default_policies(cls) -> QoSOverridingOptions:
        """History, depth and reliability, as in rclpy."""
        return cls()


def with_overrides(
    parameters: NodeParameters,
    topic: str,
    side: str,
    profile: QoSProfile | int,
    options: QoSOverridingOptions | None,
) -> QoSProfile:
    """A profile, changed as the node's parameters say; declares them, read-only.

    Args:
        parameters: The node's.
        topic: Absolute name.
        side: `publisher` or `subscription`.
        profile: The profile without overrides, or a depth.
        options: Which policies may be overridden; None: none.

    Raises:
        InvalidParameterValueException: A value is not allowed; the text says what is.
    """
    qos = as_profile(profile)
    for policy in options.policy_kinds if options else ():
        name = f"qos_overrides.{topic}.{side}.{policy}"
        default = getattr(qos, policy)
        if parameters.has_parameter(name):
            value = parameters.get_parameter(name).value
        else:
            value = parameters.declare_parameter(
                name,
                default if policy == "depth" else default.name.lower(),
                ParameterDescriptor(description=f"QoS {policy} of {topic}", read_only=True),
            ).value
        if policy != "depth":
            allowed = {m.name.lower(): m for m in type(default) if m.name != "UNKNOWN"}
            if str(value).lower() not in allowed:
                raise InvalidParameterValueException(
                    f"{name}: {value!r} is not one of {', '.join(sorted(allowed))}"
                )
            value = allowed[str(value).lower()]
        qos = replace(qos, **{policy: value})
    return qos
