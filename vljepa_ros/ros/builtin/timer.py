"""Timers on any clock, and the source of simulated time."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from vljepa_ros.ros.builtin.clock import Clock, Time
from vljepa_ros.ros.builtin.handles import Entity, Handler
from vljepa_ros.ros.builtin.message import Message, interface
from vljepa_ros.ros.builtin.parameters import Parameter, ParameterDescriptor, SetParametersResult
from vljepa_ros.ros.builtin.qos import clock_qos

USE_SIM_TIME = "use_sim_time"


class Timer(Entity):
    """Calls back every `timer_period_ns` of its clock."""

    def __init__(self, period_ns: int, callback: Callable[[], object], clock: Clock) -> None:
        if period_ns < 0:
            raise ValueError(f"a timer's period is not negative: {period_ns} ns")
        self.timer_period_ns, self.callback, self.clock = period_ns, callback, clock
        self._next = clock.nanoseconds() + period_ns
        self._destroyed = False

    def time_until_next_call(self) -> int:
        """Nanoseconds to the next call, negative if it is late."""
        now = self.clock.nanoseconds()
        if self._next - now > self.timer_period_ns:  # the clock jumped back
            self._next = now + self.timer_period_ns
        return self._next - now

    def wait_time(self) -> float:
        """Seconds until the next call; infinite if waiting brings it no nearer."""
        left = max(0, self.time_until_next_call()) / 1e9
        if self._destroyed or (left and self.clock.ros_time_is_active):
            return math.inf
        return left

    def reset(self) -> None:
        """Call back one period from now, and so on."""
        self._next = self.clock.nanoseconds() + self.timer_period_ns

    def take(self) -> Handler | None:
        """The callback if it is due; calls that were missed are skipped."""
        if self._destroyed or self.time_until_next_call() > 0:
            return None
        late = self.clock.nanoseconds() - self._next
        self._next += self.timer_period_ns * (1 + late // max(1, self.timer_period_ns))
        return self.callback

    def destroy(self) -> None:
        """Stop for good."""
        self._destroyed = True


class TimeSource:
    """Drives a node's clock from `/clock` while the parameter `use_sim_time` is true.

    Args:
        node: The node.
    """

    def __init__(self, node: Any) -> None:
        self._node, self._clock = node, node.get_clock()
        self._subscription: Any = None
        node.add_on_set_parameters_callback(self._check)
        node.add_post_set_parameters_callback(self._apply)
        descriptor = ParameterDescriptor(description="take time from /clock")
        self._apply([node.declare_parameter(USE_SIM_TIME, False, descriptor)])

    @staticmethod
    def _check(parameters: list[Parameter]) -> Any:
        if any(p.name == USE_SIM_TIME and p.type_ != Parameter.Type.BOOL for p in parameters):
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
                    interface("rosgraph_msgs/msg/Clock"), "/clock", self._on_clock, clock_qos
                )
            elif not parameter.value and self._subscription is not None:
                self._node.destroy_subscription(self._subscription)
                self._subscription = None
                self._clock.set_ros_time_override(None)

    def _on_clock(self, message: Message) -> None:
        if self._subscription is not None:
            self._clock.set_ros_time_override(Time.from_msg(message.clock).nanoseconds)
