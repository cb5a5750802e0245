"""The names of `vljepa_ros.ros.builtin.api` from real rclpy (Humble to Lyrical).

Differences between the distributions are handled only here: the module of the event callbacks
 (`rclpy.qos_event` in Humble, `rclpy.event_handler` since Iron), and post-set parameter
callbacks, which Humble lacks (nodes of this package do without).
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Sequence
from typing import Any

import rclpy
from action_msgs.msg import GoalStatus
from rcl_interfaces.msg import (
    FloatingPointRange,
    IntegerRange,
    ParameterDescriptor,
    SetParametersResult,
)
from rclpy import ok, spin
from rclpy.action import ActionClient, ActionServer, CancelResponse, GoalResponse
from rclpy.action.server import ServerGoalHandle
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
    ParameterNotDeclaredException,
    ParameterUninitializedException,
)
from rclpy.exceptions import NameValidationException as _InvalidName
from rclpy.executors import SingleThreadedExecutor
from rclpy.expand_topic_name import expand_topic_name as _expand
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn
from rclpy.logging import get_logger
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSPolicyKind, QoSProfile, ReliabilityPolicy
from rclpy.qos import qos_policy_name_from_kind as _policy_name
from rclpy.qos import qos_profile_sensor_data as sensor_data_qos
from rclpy.qos_overriding_options import QoSOverridingOptions
from rclpy.signals import SignalHandlerOptions as _SignalHandlerOptions
from rclpy.task import Future
from rclpy.time import Time
from rclpy.validate_full_topic_name import validate_full_topic_name as _check_full_name
from rclpy.validate_topic_name import validate_topic_name as _check_name

from vljepa_ros.ros.events import DeadlineMissed, IncompatibleQoS

try:
    from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
except ImportError:  # Humble
    from rclpy.qos_event import PublisherEventCallbacks, SubscriptionEventCallbacks


class GatedCallbackGroup(ReentrantCallbackGroup):  # type: ignore[misc,unused-ignore]
    """Its callbacks start only while `is_open` allows it; messages wait in DDS meanwhile.

    Args:
        is_open: Called in the executor's thread before a callback starts.
    """

    def __init__(self, is_open: Callable[[], bool]) -> None:
        super().__init__()
        self._is_open = is_open

    def can_execute(self, entity: object) -> bool:
        """Whether another callback may start."""
        return self._is_open()


FieldError = AssertionError  # what rosidl's message classes raise
Message = object  # they have no base of their own
# A burst deeper than a queue loses requests, and their clients wait forever; rclpy's depth is 10.
# Deeper than a worker's queue of requests, so that what is too much is answered, with BUSY. No
# KEEP_ALL here: a client that hangs could then block its server for good.
services_qos = QoSProfile(depth=1000)


def init(args: Sequence[str] | None = None, *, domain_id: int | None = None) -> None:
    """Join the ROS graph without rclpy's signal handlers; `args` None: `sys.argv`."""
    rclpy.init(
        args=None if args is None else list(args),
        domain_id=domain_id,
        signal_handler_options=_SignalHandlerOptions.NO,
    )


def shutdown() -> None:
    """Leave the ROS graph, if it was joined."""
    rclpy.try_shutdown()


def interface(name: str) -> type[Any]:
    """Class of a message, service or action.

    Args:
        name: As `sensor_msgs/msg/Image`.

    Raises:
        LookupError: The package is not installed, or has no such interface.
    """
    package, kind, base = name.split("/")
    try:
        found: type[Any] = getattr(importlib.import_module(f"{package}.{kind}"), base)
    except (ImportError, AttributeError) as error:
        raise LookupError(
            f"unknown interface {name!r}: is the package {package} built and sourced? ({error})"
        ) from error
    return found


def check_name(node: Node, name: str) -> None:
    """Raise ValueError, with ROS's rule, if `name` is not valid for a topic or service."""
    try:
        _check_name(name)
        _check_full_name(_expand(name, node.get_name(), node.get_namespace()))
    except (_InvalidName, ValueError) as error:  # three lines, the last one points with a ^
        raise ValueError(" ".join(str(error).split()).rstrip(" ^")) from error


def endpoints(node: Node) -> list[tuple[Any, Any]]:
    """Everything that a node has created, each with the function that destroys it."""
    kinds = ("publisher", "subscription", "timer", "service", "client")
    return [
        (getattr(node, f"destroy_{kind}"), one)
        for kind in kinds
        for one in getattr(node, f"{kind}s")
    ]


def complete(node: Node, future: Future, result: object) -> None:
    """Set the result of `future` from any thread and wake the executor of `node`.

    rclpy's own `set_result` does not wake a waiting single-threaded executor.
    """
    future.set_result(result)
    with contextlib.suppress(InvalidHandle, RuntimeError):
        executor = node.executor
        if executor is not None:
            executor.wake()


def endpoint_events(
    *,
    incompatible_qos: Callable[[IncompatibleQoS], object] | None = None,
    deadline_missed: Callable[[DeadlineMissed], object] | None = None,
    kind: str = "subscription",
) -> Any:
    """The `event_callbacks` of a publisher or a subscription (`kind`)."""
    made = (PublisherEventCallbacks if kind == "publisher" else SubscriptionEventCallbacks)()
    if incompatible_qos is not None:
        made.incompatible_qos = lambda info: incompatible_qos(
            IncompatibleQoS(
                info.total_count, info.total_count_change, _policy_name(info.last_policy_kind)
            )
        )
    if deadline_missed is not None:
        made.deadline = lambda info: deadline_missed(
            DeadlineMissed(info.total_count, info.total_count_change)
        )
    return made
