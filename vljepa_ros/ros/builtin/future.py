"""Futures, and which callbacks may begin while another one awaits a future."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from typing import Any, TypeAlias

Callback: TypeAlias = Callable[[Any], Any]
"""Of a message, a goal or a status; with a coroutine function the executor runs it to its end."""
ServiceCallback: TypeAlias = Callable[[Any, Any], Any]
"""Given request and response; gives the response, or a coroutine that does."""


class Future:
    """A result that arrives later. `set_result` may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._done = False
        self._result: Any = None
        self._exception: BaseException | None = None
        self._callbacks: list[Callable[[Future], Any]] = []

    def __await__(self) -> Generator[Future, None, Any]:
        while not self._done:
            yield self
        return self.result()

    def done(self) -> bool:
        """Whether there is a result or an exception."""
        return self._done

    def result(self) -> Any:
        """The result, None until it is set; raises the exception given to `set_exception`."""
        if self._exception is not None:
            raise self._exception
        return self._result

    def set_result(self, result: object) -> None:
        """Set the result; only the first one counts. The callbacks run now, in this thread."""
        self._finish(result=result)

    def set_exception(self, exception: BaseException) -> None:
        """Set an exception in place of a result."""
        self._finish(exception=exception)

    def _finish(self, result: object = None, exception: BaseException | None = None) -> None:
        with self._lock:
            if self._done:
                return
            self._result, self._exception, self._done = result, exception, True
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback(self)

    def add_done_callback(self, callback: Callable[[Future], object]) -> None:
        """Call `callback(self)` when done; now, if that is already so."""
        with self._lock:
            if not self._done:
                self._callbacks.append(callback)
                return
        callback(self)


async def outcome(callback: Callable[..., Any], *arguments: Any) -> Any:
    """The result of a function or a coroutine function."""
    result = callback(*arguments)
    return await result if hasattr(result, "__await__") else result


class ReentrantCallbackGroup:
    """Its callbacks may start at any time."""

    def may_begin(self) -> bool:
        """Whether another callback may start."""
        return True

    def hold(self, task: Future) -> None:
        """Note that a callback has begun and awaits: `task` is done when it has ended."""


class GatedCallbackGroup(ReentrantCallbackGroup):
    """Its callbacks start only while `is_open` allows it; messages wait in DDS meanwhile.

    Args:
        is_open: Called in the executor's thread before a callback starts.
    """

    def __init__(self, is_open: Callable[[], bool]) -> None:
        self._is_open = is_open

    def may_begin(self) -> bool:
        """Whether another callback may start."""
        return self._is_open()


class MutuallyExclusiveCallbackGroup(ReentrantCallbackGroup):
    """Runs one callback at a time: the next starts when the one before has ended.

    All callbacks run in one thread, so none run concurrently. But a coroutine that awaits has not
    ended, and as in rclpy no other callback of its group starts until it has: one that awaits the
    result of another callback of its group waits forever.
    """

    def __init__(self) -> None:
        self._task: Future | None = None

    def may_begin(self) -> bool:
        """Whether another callback may start."""
        return self._task is None or self._task.done()

    def hold(self, task: Future) -> None:
        """Start no other callback until `task` is done."""
        self._task = task
