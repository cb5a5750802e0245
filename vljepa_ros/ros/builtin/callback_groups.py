"""Which callbacks may begin while another one awaits something.

One thread runs all callbacks, so none ever run side by side. But a coroutine that awaits has not
ended, and rclpy lets nothing else of a mutually exclusive group begin until it has: whoever awaits
what another callback of the same group brings, waits for ever. So it is here, too.
"""

from __future__ import annotations

from typing import Any


class ReentrantCallbackGroup:
    """Its callbacks may begin at any time."""

    def may_begin(self) -> bool:
        """Whether another callback may begin."""
        return True

    def hold(self, task: Any) -> None:
        """A callback that began is not at its end."""


class MutuallyExclusiveCallbackGroup(ReentrantCallbackGroup):
    """One callback after the other: the next begins when the one before has ended."""

    def __init__(self) -> None:
        self._task: Any = None

    def may_begin(self) -> bool:
        """Whether another callback may begin."""
        return self._task is None or self._task.done()

    def hold(self, task: Any) -> None:
        """A callback that began is not at its end."""
        self._task = task
