"""Simulated time: the parameter ``use_sim_time`` and the topic ``/clock``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .clock import Clock, Time
from .message import interface
from .parameters import Parameter, ParameterDescriptor, SetParametersResult
from .qos import qos_profile_clock

if TYPE_CHECKING:
    from .node import Node

USE_SIM_TIME = "use_sim_time"


class TimeSource:
    """Drives a node's clock from ``/clock`` while ``use_sim_time`` is true."""

    def __init__(self, node: Node, clock: Clock) -> None:
        self._node, self._clock = node, clock
        self._subscription: Any = None
        node.add_on_set_parameters_callback(self._check)
        node.add_post_set_parameters_callback(self._apply)
        self._apply(
            [
                node.declare_parameter(
                    USE_SIM_TIME, False, ParameterDescriptor(description="take time from /clock")
                )
            ]
        )

    @staticmethod
    def _check(parameters: list[Parameter]) -> Any:
        for parameter in parameters:
            if parameter.name == USE_SIM_TIME and parameter.type_ != Parameter.Type.BOOL:
                return SetParametersResult(
                    successful=False, reason=f"{USE_SIM_TIME} must be true or false"
                )
        return SetParametersResult(successful=True)

    def _apply(self, parameters: list[Parameter]) -> None:
        for parameter in parameters:
            if parameter.name != USE_SIM_TIME:
                continue
            if parameter.value and self._subscription is None:
                self._clock.set_ros_time_override(0)  # as in ROS: zero until the first /clock
                self._subscription = self._node.create_subscription(
                    interface("rosgraph_msgs/msg/Clock"), "/clock", self._tick, qos_profile_clock
                )
            elif not parameter.value and self._subscription is not None:
                self._node.destroy_subscription(self._subscription)
                self._subscription = None
                self._clock.set_ros_time_override(None)

    def _tick(self, message: Any) -> None:
        if self._subscription is not None:
            self._clock.set_ros_time_override(Time.from_msg(message.clock).nanoseconds)
