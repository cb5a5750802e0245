"""Time, Duration and Clock as in rclpy."""

from __future__ import annotations

import enum
import time
from dataclasses import dataclass

from vljepa_ros.ros.builtin.message import Message, message_class

_SECOND = 1_000_000_000


class ClockType(enum.IntEnum):
    """What a clock shows."""

    UNINITIALIZED = 0
    ROS_TIME = 1
    SYSTEM_TIME = 2
    STEADY_TIME = 3


def _nanoseconds(seconds: float, nanoseconds: float) -> int:
    total = int(seconds * _SECOND) + int(nanoseconds)
    if not -(2**63) <= total < 2**63:
        raise OverflowError(f"{seconds} s + {nanoseconds} ns does not fit 64 bits of nanoseconds")
    return total


def _message(name: str, nanoseconds: int) -> Message:
    seconds, rest = divmod(nanoseconds, _SECOND)
    return message_class(f"builtin_interfaces/msg/{name}")(sec=seconds, nanosec=rest)


@dataclass(frozen=True, order=True, init=False)
class Duration:
    """A span of time, in whole nanoseconds."""

    nanoseconds: int

    def __init__(self, *, seconds: float = 0, nanoseconds: float = 0) -> None:
        object.__setattr__(self, "nanoseconds", _nanoseconds(seconds, nanoseconds))

    def to_msg(self) -> Message:
        """As `builtin_interfaces/msg/Duration`."""
        return _message("Duration", self.nanoseconds)


@dataclass(frozen=True, init=False)
class Time:
    """A moment, in whole nanoseconds since the epoch of a kind of clock."""

    nanoseconds: int
    clock_type: ClockType

    def __init__(
        self,
        *,
        seconds: float = 0,
        nanoseconds: float = 0,
        clock_type: ClockType = ClockType.SYSTEM_TIME,
    ) -> None:
        if seconds < 0 or nanoseconds < 0:
            raise ValueError("a Time is not negative")
        object.__setattr__(self, "nanoseconds", _nanoseconds(seconds, nanoseconds))
        object.__setattr__(self, "clock_type", clock_type)

    def to_msg(self) -> Message:
        """As `builtin_interfaces/msg/Time`."""
        return _message("Time", self.nanoseconds)

    @classmethod
    def from_msg(cls, message: Message, clock_type: ClockType = ClockType.ROS_TIME) -> Time:
        """From `builtin_interfaces/msg/Time`."""
        return cls(seconds=message.sec, nanoseconds=message.nanosec, clock_type=clock_type)


class Clock:
    """Shows the time of one kind; a ROS_TIME clock can be driven from `/clock`."""

    def __init__(self, *, clock_type: ClockType = ClockType.SYSTEM_TIME) -> None:
        self._clock_type = clock_type
        self._override: int | None = None  # nanoseconds, while simulated time is active

    @property
    def ros_time_is_active(self) -> bool:
        """Whether the time comes from `/clock`."""
        return self._override is not None

    def nanoseconds(self) -> int:
        """The present time in nanoseconds."""
        if self._override is not None:
            return self._override
        steady = self._clock_type == ClockType.STEADY_TIME
        return time.monotonic_ns() if steady else time.time_ns()

    def now(self) -> Time:
        """The present time."""
        return Time(nanoseconds=self.nanoseconds(), clock_type=self._clock_type)

    def set_ros_time_override(self, nanoseconds: int | None) -> None:
        """Show this time until the next call; None returns to the system's clock."""
        if self._clock_type != ClockType.ROS_TIME:
            raise TypeError("only a ROS_TIME clock can be driven")
        self._override = nanoseconds
