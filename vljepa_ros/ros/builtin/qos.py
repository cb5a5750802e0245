"""Quality of service: policies, profiles, and the parameters that change a profile."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from vljepa_ros.ros.builtin.clock import Duration
from vljepa_ros.ros.builtin.node_parameters import NodeParameters
from vljepa_ros.ros.builtin.parameters import InvalidParameterValueException, ParameterDescriptor
from vljepa_ros.ros.events import DeadlineMissed, IncompatibleQoS


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
    """A set of policies; the defaults are ROS 2's, and a duration of 0 stands for none."""

    history: HistoryPolicy = HistoryPolicy.KEEP_LAST
    depth: int = 10
    reliability: ReliabilityPolicy = ReliabilityPolicy.RELIABLE
    durability: DurabilityPolicy = DurabilityPolicy.VOLATILE
    lifespan: Duration = field(default_factory=Duration)
    deadline: Duration = field(default_factory=Duration)
    liveliness_lease_duration: Duration = field(default_factory=Duration)

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
"""A burst deeper than a history would lose requests, and their clients would wait forever."""
action_status_qos = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
clock_qos = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)


@dataclass(frozen=True)
class EndpointEvents:
    """Callbacks for changes of an endpoint's quality of service."""

    incompatible_qos: Callable[[IncompatibleQoS], object] | None
    deadline_missed: Callable[[DeadlineMissed], object] | None


def endpoint_events(
    *,
    incompatible_qos: Callable[[IncompatibleQoS], object] | None = None,
    deadline_missed: Callable[[DeadlineMissed], object] | None = None,
    kind: str = "subscription",
) -> EndpointEvents:
    """The `event_callbacks` of a publisher or a subscription (`kind`; rclpy needs to know)."""
    return EndpointEvents(incompatible_qos, deadline_missed)


class QoSPolicyKind(enum.Enum):
    """Policies that parameters may override; a duration is given in nanoseconds."""

    HISTORY = "history"
    DEPTH = "depth"
    RELIABILITY = "reliability"
    DURABILITY = "durability"
    DEADLINE = "deadline"
    LIFESPAN = "lifespan"
    LIVELINESS_LEASE_DURATION = "liveliness_lease_duration"


class QoSOverridingOptions:
    """Lets parameters `qos_overrides.<topic>.<side>.<policy>` change a profile."""

    def __init__(self, policy_kinds: Iterable[QoSPolicyKind]) -> None:
        self.policy_kinds = tuple(policy_kinds)

    @classmethod
    def with_default_policies(cls) -> QoSOverridingOptions:
        """History, depth and reliability, as in rclpy."""
        return cls([QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH, QoSPolicyKind.RELIABILITY])


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
    for policy in (kind.value for kind in options.policy_kinds) if options else ():
        name = f"qos_overrides.{topic}.{side}.{policy}"
        default = getattr(qos, policy)
        if parameters.has_parameter(name):
            value = parameters.get_parameter(name).value
        else:
            value = parameters.declare_parameter(
                name,
                _parameter_value(default),
                ParameterDescriptor(description=f"QoS {policy} of {topic}", read_only=True),
            ).value
        try:
            qos = replace(qos, **{policy: _policy_value(default, value)})
        except ValueError as error:
            raise InvalidParameterValueException(f"{name}: {error}") from error
    return qos


def _parameter_value(policy: Any) -> str | int:
    if isinstance(policy, Duration):
        return policy.nanoseconds
    return policy.name.lower() if isinstance(policy, enum.Enum) else int(policy)


def _policy_value(default: Any, value: Any) -> Any:
    """The policy that a parameter's value stands for. Raises ValueError."""
    if isinstance(default, Duration):
        if value < 0:
            raise ValueError(f"{value} is not a duration in nanoseconds of at least 0")
        return Duration(nanoseconds=value)
    if not isinstance(default, enum.Enum):
        return value
    allowed = {m.name.lower(): m for m in type(default) if m.name != "UNKNOWN"}
    if value.lower() not in allowed:
        raise ValueError(f"{value!r} is not one of {', '.join(sorted(allowed))}")
    return allowed[value.lower()]
