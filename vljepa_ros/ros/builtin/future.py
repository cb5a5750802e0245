"""Future and Task: results that come later, and coroutines that wait for them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .executor import SingleThreadedExecutor


class Future:
    """A result that comes later. `set_result` may be called from any thread."""

    def __init__(self, *, executor: Any = None) -> None:
        del executor  # accepted for rclpy's signature; callbacks run where the result is set
        self._lock = threading.Lock()
        self._done = self._cancelled = False
        self._result: Any = None
        self._exception: BaseException | None = None
        self._callbacks: list[Callable[[Future], Any]] = []

    def __await__(self) -> Generator[Future, None, Any]:
        while not self._done and not self._cancelled:
            yield self
        return self.result()

    def done(self) -> bool:
        """Whether there is a result or an exception."""
        return self._done or self._cancelled

    def cancelled(self) -> bool:
        """Whether `cancel` came first."""
        return self._cancelled

    def result(self) -> Any:
        """The result, None while there is none; raises what `set_exception` was given."""
        if self._exception is not None:
            raise self._exception
        return self._result

    def exception(self) -> BaseException | None:
        """The exception, None where there is none."""
        return self._exception

    def set_result(self, result: Any) -> None:
        """Give the result; the callbacks run now, in this thread."""
        self._finish(result, None, False)

    def set_exception(self, exception: BaseException) -> None:
        """Give an exception in place of a result."""
        self._finish(None, exception, False)

    def cancel(self) -> None:
        """Give up waiting; a result that comes later is ignored."""
        self._finish(None, None, True)

    def _finish(self, result: Any, exception: BaseException | None, cancelled: bool) -> None:
        with self._lock:
            if self._done or self._cancelled:
                return
            self._result, self._exception = result, exception
            self._done, self._cancelled = not cancelled, cancelled
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback(self)

    def add_done_callback(self, callback: Callable[[Future], Any]) -> None:
        """Call `callback(self)` when done; now, if that is already so."""
        with self._lock:
            if not (self._done or self._cancelled):
                self._callbacks.append(callback)
                return
        callback(self)

    def remove_done_callback(self, callback: Callable[[Future], Any]) -> bool:
        """Undo `add_done_callback`; whether it was there."""
        with self._lock:
            if callback in self._callbacks:
                self._callbacks.remove(callback)
                return True
        return False


class Task(Future):
    """A coroutine that an executor runs; its own result is what the coroutine returns."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], executor: SingleThreadedExecutor):
        super().__init__()
        self._coroutine, self._executor = coroutine, executor

    def step(self) -> None:
        """Run until the coroutine waits or ends. What it raises is raised here, too."""
        if self.done():
            self._coroutine.close()
            return
        try:
            awaited = self._coroutine.send(None)
        except StopIteration as end:
            self.set_result(end.value)
        except Exception as error:
            self.set_exception(error)
            raise
        else:
            if isinstance(awaited, Future):
                awaited.add_done_callback(lambda _: self._executor.post(self.step))
            else:
                self._executor.post(self.step)
