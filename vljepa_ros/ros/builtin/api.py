"""What nodes may use of ROS: the one list of names; `vljepa_ros.ros.native` has them from rclpy."""

from __future__ import annotations

from typing import Any

from vljepa_ros.ros.builtin import names as _names
from vljepa_ros.ros.builtin.action_client import ActionClient
from vljepa_ros.ros.builtin.action_server import (
    ActionServer,
    CancelResponse,
    GoalResponse,
    GoalStatus,
    ServerGoalHandle,
)
from vljepa_ros.ros.builtin.clock import Clock, ClockType, Duration, Time
from vljepa_ros.ros.builtin.context import (
    InvalidHandle,
    NotInitializedException,
    init,
    ok,
    shutdown,
)
from vljepa_ros.ros.builtin.endpoints import Publisher
from vljepa_ros.ros.builtin.executor import SingleThreadedExecutor, spin
from vljepa_ros.ros.builtin.future import (
    Future,
    GatedCallbackGroup,
    MutuallyExclusiveCallbackGroup,
    ReentrantCallbackGroup,
)
from vljepa_ros.ros.builtin.lifecycle import LifecycleNode, TransitionCallbackReturn
from vljepa_ros.ros.builtin.logging import get_logger
from vljepa_ros.ros.builtin.message import FieldError, Message, interface
from vljepa_ros.ros.builtin.node import Node
from vljepa_ros.ros.builtin.parameters import (
    FloatingPointRange,
    IntegerRange,
    InvalidParameterTypeException,
    InvalidParameterValueException,
    Parameter,
    ParameterAlreadyDeclaredException,
    ParameterDescriptor,
    ParameterNotDeclaredException,
    ParameterUninitializedException,
    SetParametersResult,
)
from vljepa_ros.ros.builtin.qos import (
    DurabilityPolicy,
    QoSOverridingOptions,
    QoSPolicyKind,
    QoSProfile,
    ReliabilityPolicy,
    endpoint_events,
    sensor_data_qos,
    services_qos,
)
from vljepa_ros.ros.builtin.service import Client


def check_name(node: Node, name: str) -> None:
    """Raise ValueError, with ROS's rule, if `name` is not valid for a topic or service."""
    _names.expand(name, node.get_name(), node.get_namespace())


def endpoints(node: Node) -> list[tuple[Any, Any]]:
    """Everything that a node has created, each with the function that destroys it."""
    return [(node.destroy_publisher, entity) for entity in node.entities()]


def complete(node: Node, future: Future, result: object) -> None:
    """Set the result of `future` from any thread and wake the executor of `node`."""
    future.set_result(result)
    node.wake()
