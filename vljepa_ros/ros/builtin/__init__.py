"""A small ROS 2 runtime without ROS: rclpy's shape over Cyclone DDS, on ROS 2's wire protocol.

See doc/runtime.md for what it covers, and what it does not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..run import run_nodes
from .arguments import remove_ros_args
from .callback_groups import MutuallyExclusiveCallbackGroup, ReentrantCallbackGroup
from .clock import Clock, ClockType, Duration, Time
from .context import init, ok, shutdown
from .definitions import UnknownInterfaceError
from .endpoints import Publisher, Subscription
from .errors import (
    InvalidHandle,
    InvalidParameterTypeException,
    InvalidParameterValueException,
    NotInitializedException,
    ParameterAlreadyDeclaredException,
    ParameterImmutableException,
    ParameterNotDeclaredException,
    ParameterUninitializedException,
)
from .executor import (
    SingleThreadedExecutor,
    spin,
    spin_once,
    spin_until_future_complete,
)
from .future import Future
from .lifecycle import LifecycleNode, LifecyclePublisher, TransitionCallbackReturn
from .lifecycle import LifecycleState as State
from .logging import get_logger
from .message import FieldError, interface
from .node import Node
from .parameters import (
    FloatingPointRange,
    IntegerRange,
    Parameter,
    ParameterDescriptor,
    ParameterType,
    ParameterValue,
    SetParametersResult,
)
from .qos import (
    DurabilityPolicy,
    HistoryPolicy,
    QoSOverridingOptions,
    QoSProfile,
    ReliabilityPolicy,
    incompatible_qos_events,
)
from .qos import qos_profile_sensor_data as sensor_data_qos
from .service import Client, Service
from .timer import GuardCondition, Timer

__all__ = [
    "Client",
    "Clock",
    "ClockType",
    "DurabilityPolicy",
    "Duration",
    "FieldError",
    "FloatingPointRange",
    "Future",
    "GuardCondition",
    "HistoryPolicy",
    "IntegerRange",
    "InvalidHandle",
    "InvalidParameterTypeException",
    "InvalidParameterValueException",
    "LifecycleNode",
    "LifecyclePublisher",
    "MutuallyExclusiveCallbackGroup",
    "Node",
    "NotInitializedException",
    "Parameter",
    "ParameterAlreadyDeclaredException",
    "ParameterDescriptor",
    "ParameterImmutableException",
    "ParameterNotDeclaredException",
    "ParameterType",
    "ParameterUninitializedException",
    "ParameterValue",
    "Publisher",
    "QoSOverridingOptions",
    "QoSProfile",
    "ReentrantCallbackGroup",
    "ReliabilityPolicy",
    "Service",
    "SetParametersResult",
    "SingleThreadedExecutor",
    "State",
    "Subscription",
    "Time",
    "Timer",
    "TransitionCallbackReturn",
    "complete",
    "find_interface",
    "get_logger",
    "incompatible_qos_events",
    "init",
    "interface",
    "ok",
    "remove_ros_args",
    "run",
    "sensor_data_qos",
    "shutdown",
    "spin",
    "spin_once",
    "spin_until_future_complete",
    "steady_clock",
]


def find_interface(name: str) -> type[Any] | None:
    """As `interface`, None where the package is not installed."""
    try:
        return interface(name)
    except UnknownInterfaceError:
        return None


def steady_clock() -> Clock:
    """A clock that never jumps and does not follow simulated time."""
    return Clock(clock_type=ClockType.STEADY_TIME)


def complete(node: Node, future: Future, result: Any) -> None:
    """Set the result of `future` from any thread and wake the executor of `node`."""
    future.set_result(result)
    node.wake()


class _Runtime:
    init = staticmethod(init)
    shutdown = staticmethod(shutdown)
    executor = staticmethod(SingleThreadedExecutor)

    @staticmethod
    def log_error(text: str) -> None:
        get_logger("vljepa_ros").error(text)


def run(make_nodes: Callable[[], Sequence[Node]], args: Sequence[str] | None = None) -> int:
    """See `vljepa_ros.ros.run.run_nodes`; `args` None takes ``sys.argv``."""
    return run_nodes(_Runtime(), make_nodes, args)
