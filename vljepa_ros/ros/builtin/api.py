"""What nodes may use of ROS: the one list of names; `vljepa_ros.ros.native` has them from rclpy."""

from __future__ import annotations

from typing import Any

from vljepa_ros.ros.builtin.clock import Clock as Clock
from vljepa_ros.ros.builtin.clock import ClockType as ClockType
from vljepa_ros.ros.builtin.clock import Duration as Duration
from vljepa_ros.ros.builtin.clock import Time as Time
from vljepa_ros.ros.builtin.context import InvalidHandle as InvalidHandle
from vljepa_ros.ros.builtin.context import NotInitializedException as NotInitializedException
from vljepa_ros.ros.builtin.context import init as init
from vljepa_ros.ros.builtin.context import ok as ok
from vljepa_ros.ros.builtin.context import shutdown as shutdown
from vljepa_ros.ros.builtin.executor import SingleThreadedExecutor as SingleThreadedExecutor
from vljepa_ros.ros.builtin.executor import spin as spin
from vljepa_ros.ros.builtin.future import Future as Future
from vljepa_ros.ros.builtin.future import (
    MutuallyExclusiveCallbackGroup as MutuallyExclusiveCallbackGroup,
)
from vljepa_ros.ros.builtin.future import ReentrantCallbackGroup as ReentrantCallbackGroup
from vljepa_ros.ros.builtin.lifecycle import LifecycleNode as LifecycleNode
from vljepa_ros.ros.builtin.lifecycle import TransitionCallbackReturn as TransitionCallbackReturn
from vljepa_ros.ros.builtin.logging import get_logger as get_logger
from vljepa_ros.ros.builtin.message import FieldError as FieldError
from vljepa_ros.ros.builtin.message import interface as interface
from vljepa_ros.ros.builtin.node import Node as Node
from vljepa_ros.ros.builtin.parameters import FloatingPointRange as FloatingPointRange
from vljepa_ros.ros.builtin.parameters import IntegerRange as IntegerRange
from vljepa_ros.ros.builtin.parameters import (
    InvalidParameterTypeException as InvalidParameterTypeException,
)
from vljepa_ros.ros.builtin.parameters import (
    InvalidParameterValueException as InvalidParameterValueException,
)
from vljepa_ros.ros.builtin.parameters import Parameter as Parameter
from vljepa_ros.ros.builtin.parameters import (
    ParameterAlreadyDeclaredException as ParameterAlreadyDeclaredException,
)
from vljepa_ros.ros.builtin.parameters import ParameterDescriptor as ParameterDescriptor
from vljepa_ros.ros.builtin.parameters import (
    ParameterNotDeclaredException as ParameterNotDeclaredException,
)
from vljepa_ros.ros.builtin.parameters import (
    ParameterUninitializedException as ParameterUninitializedException,
)
from vljepa_ros.ros.builtin.parameters import SetParametersResult as SetParametersResult
from vljepa_ros.ros.builtin.qos import DurabilityPolicy as DurabilityPolicy
from vljepa_ros.ros.builtin.qos import QoSOverridingOptions as QoSOverridingOptions
from vljepa_ros.ros.builtin.qos import QoSProfile as QoSProfile
from vljepa_ros.ros.builtin.qos import ReliabilityPolicy as ReliabilityPolicy
from vljepa_ros.ros.builtin.qos import incompatible_qos_events as incompatible_qos_events
from vljepa_ros.ros.builtin.qos import sensor_data_qos as sensor_data_qos


def complete(node: Node, future: Future, result: Any) -> None:
    """Set the result of `future` from any thread and wake the executor of `node`."""
    future.set_result(result)
    node.wake()
