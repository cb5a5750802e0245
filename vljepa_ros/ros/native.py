"""The rclpy side: the same names as the built-in runtime, from real rclpy (Humble to Lyrical).

What differs between the distributions is smoothed here and nowhere else: the module of the event
callbacks (`rclpy.qos_event` in Humble, `rclpy.event_handler` since Iron), and post-set parameter
callbacks, which Humble has not (nodes of this package do without).
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Sequence
from typing import Any

import rclpy
from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    ParameterType,
    ParameterValue,
    SetParametersResult,
)
from rclpy import ok, spin, spin_once, spin_until_future_complete
from rclpy.callback_groups import MutuallyExclusiveCallbackGroup, ReentrantCallbackGroup
from rclpy.client import Client
from rclpy.clock import Clock, ClockType
from rclpy.duration import Duration
from rclpy.exceptions import (
    InvalidHandle,
    InvalidParameterTypeException,
    InvalidParameterValueException,
    NotInitializedException,
    ParameterAlreadyDeclaredException,
    ParameterImmutableException,
    ParameterNotDeclaredException,
    ParameterUninitializedException,
)
from rclpy.executors import SingleThreadedExecutor
from rclpy.guard_condition import GuardCondition
from rclpy.lifecycle import LifecycleNode, LifecyclePublisher, State, TransitionCallbackReturn
from rclpy.logging import get_logger
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.publisher import Publisher
from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    QoSProfile,
    ReliabilityPolicy,
    qos_policy_name_from_kind,
)
from rclpy.qos import qos_profile_sensor_data as sensor_data_qos
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.service import Service
from rclpy.signals import SignalHandlerOptions
from rclpy.subscription import Subscription
from rclpy.task import Future
from rclpy.time import Time
from rclpy.timer import Timer
from rclpy.utilities import remove_ros_args

from .events import IncompatibleQoS
from .run import run_nodes

try:
    from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import PublisherEventCallbacks, SubscriptionEventCallbacks

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

FieldError = AssertionError  # what rosidl's message classes raise


def init(args: Sequence[str] | None = None, *, domain_id: int | None = None) -> None:
    """Join the ROS graph, without rclpy's signal handlers; `args` None takes ``sys.argv``."""
    rclpy.init(
        args=None if args is None else list(args),
        domain_id=domain_id,
        signal_handler_options=SignalHandlerOptions.NO,
    )


def shutdown() -> None:
    """Leave the ROS graph; does nothing where that was done."""
    rclpy.try_shutdown()


def interface(name: str) -> type[Any]:
    """Class of a message or service, as ``interface('sensor_msgs/msg/Image')``.

    Raises LookupError where the package is not installed or has no such interface.
    """
    package, kind, base = name.split("/")
    try:
        found: type[Any] = getattr(importlib.import_module(f"{package}.{kind}"), base)
    except (ImportError, AttributeError) as error:
        raise LookupError(
            f"unknown interface {name!r}: is the package {package} built and sourced? ({error})"
        ) from error
    return found


def find_interface(name: str) -> type[Any] | None:
    """As `interface`, None where the package is not installed."""
    try:
        return interface(name)
    except LookupError:
        return None


def steady_clock() -> Clock:
    """A clock that never jumps and does not follow simulated time."""
    return Clock(clock_type=ClockType.STEADY_TIME)


def complete(node: Node, future: Future, result: Any) -> None:
    """Set the result of `future` from any thread and wake the executor of `node`.

    rclpy's own `set_result` does not wake a single-threaded executor that waits. After the node or
    the context is gone there is nothing to wake.
    """
    future.set_result(result)
    with contextlib.suppress(InvalidHandle, RuntimeError):
        executor = node.executor
        if executor is not None:
            executor.wake()


def incompatible_qos_events(
    callback: Callable[[IncompatibleQoS], Any], *, kind: str = "subscription"
) -> Any:
    """The ``event_callbacks`` of a publisher or a subscription (`kind`)."""

    def translate(info: Any) -> None:
        policy = qos_policy_name_from_kind(info.last_policy_kind)
        callback(IncompatibleQoS(info.total_count, info.total_count_change, policy))

    make = PublisherEventCallbacks if kind == "publisher" else SubscriptionEventCallbacks
    return make(incompatible_qos=translate)


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
