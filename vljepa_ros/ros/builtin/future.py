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
    """A result that comes later. `set_result` may be called from any thread."""

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
        """The result, None while there is none; raises what `set_exception` was given."""
        if self._exception is not None:
            raise self._exception
        return self._result

    def set_result(self, result: object) -> None:
        """Give the result, the first one counts; the callbacks run now, in this thread."""
        self._finish(result=result)

    def set_exception(self, exception: BaseException) -> None:
        """Give an exception in place of a result."""
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


class ReentrantCallbackGroup:
    """Its callbacks may begin at any time."""

    def may_begin(self) -> bool:
        """Whether another callback may begin."""
        return True

    def hold(self, task: Future) -> None:
        """Note that a callback has begun and awaits: `task` is done when it has ended."""


class GatedCallbackGroup(ReentrantCallbackGroup):
    """Its callbacks begin only while a function says so; what arrives meanwhile waits in DDS.

    Args:
        is_open: Called in the executor's thread, whenever it looks what may begin.
    """

    def __init__(self, is_open: Callable[[], bool]) -> None:
        self._is_open = is_open

    def may_begin(self) -> bool:
        """Whether another callback may begin."""
        return self._is_open()


class MutuallyExclusiveCallbackGroup(ReentrantCallbackGroup):
    """One callback after the other: the next begins when the one before has ended.

    One thread runs all callbacks, so none ever run side by side. But a coroutine that awaits has
    not ended, and rclpy lets nothing else of its group begin until it has: one that
    awaits what another callback of the same group brings waits for ever. So it is here, too.
    """

    def __init__(self) -> None:
        self._task: Future | None = None

    def may_begin(self) -> bool:
        """Whether another callback may begin."""
        return self._task is None or self._task.done()

    def hold(self, task: Future) -> None:
        """Let no other callback begin until `task` is done."""
        self._task = task
