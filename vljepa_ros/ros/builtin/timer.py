"""Timers on any clock, and guard conditions."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .clock import Clock

if TYPE_CHECKING:
    from .node import Node


class Timer:
    """Calls back every `timer_period_ns` of its clock."""

    def __init__(
        self, node: Node, period_ns: int, callback: Callable[[], Any], clock: Clock
    ) -> None:
        if period_ns < 0:
            raise ValueError(f"a timer's period is not negative: {period_ns} ns")
        self._node = node
        self.timer_period_ns, self.callback, self.clock = period_ns, callback, clock
        self._next = clock.nanoseconds() + period_ns
        self._cancelled = False

    def is_ready(self) -> bool:
        """Whether the callback is due."""
        return not self._cancelled and self.time_until_next_call() <= 0

    def time_until_next_call(self) -> int:
        """Nanoseconds to the next call, negative where it is late."""
        now = self.clock.nanoseconds()
        if self._next - now > self.timer_period_ns:  # the clock jumped back
            self._next = now + self.timer_period_ns
        return self._next - now

    def wait_time(self) -> float | None:
        """Seconds until the next call; None where waiting does not bring it nearer."""
        if self._cancelled or self.clock.ros_time_is_active:
            return None
        return max(0, self.time_until_next_call()) / 1e9

    def take(self) -> Callable[[], Any] | None:
        """The callback if it is due; calls that were missed are skipped."""
        if not self.is_ready():
            return None
        late = self.clock.nanoseconds() - self._next
        self._next += self.timer_period_ns * (1 + late // max(1, self.timer_period_ns))
        return self.callback

    def cancel(self) -> None:
        """Stop until `reset`."""
        self._cancelled = True

    def is_canceled(self) -> bool:
        """Whether it is stopped."""
        return self._cancelled

    def reset(self) -> None:
        """Start anew: the next call is one period from now."""
        self._next = self.clock.nanoseconds() + self.timer_period_ns
        self._cancelled = False
        self._node.wake()

    def destroy(self) -> None:
        """Stop for good."""
        self._cancelled = True


class GuardCondition:
    """Calls back in the executor's thread after `trigger` in any thread."""

    def __init__(self, node: Node, callback: Callable[[], Any]) -> None:
        self._node, self.callback = node, callback
        self._triggered = threading.Event()
        self._destroyed = False

    def trigger(self) -> None:
        """Ask for one call."""
        self._triggered.set()
        self._node.wake()

    def take(self) -> Callable[[], Any] | None:
        """The callback, if asked for."""
        if self._destroyed or not self._triggered.is_set():
            return None
        self._triggered.clear()
        return self.callback

    def destroy(self) -> None:
        """Ignore what comes."""
        self._destroyed = True
