"""The one thread that owns a model: requests first, then the newest frames.

The worker knows neither camera nor model. It has a bounded queue of requests, each with a deadline,
and between them it calls a `step` that does one piece of the continuous work.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

__all__ = ["Busy", "DeadlineError", "Request", "Worker"]

T = TypeVar("T")


class Busy(RuntimeError):  # noqa: N818  (the name is the answer)
    """The queue is full: ask again later."""


class DeadlineError(TimeoutError):
    """A request was not answered in time."""


class Request(Generic[T]):
    """One question to the worker; it is answered exactly once, whoever comes first.

    :param run: does the work, in the worker's thread; it may call `check` now and then.
    :param done: receives the result or the exception, in any thread.
    :param patience: seconds until it is answered with a DeadlineError.
    """

    def __init__(
        self,
        run: Callable[[Request[T]], T],
        done: Callable[[T | None, Exception | None], None],
        patience: float,
    ) -> None:
        self._run = run
        self._done = done
        self._patience = patience
        self._deadline = time.monotonic() + patience
        self._lock = threading.Lock()
        self._answered = False

    def check(self) -> None:
        """Give up where nobody waits for the answer any more.

        :raises DeadlineError: the deadline has passed.
        """
        if self._answered or time.monotonic() > self._deadline:
            raise DeadlineError(f"no answer within {self._patience:g} s")

    def run(self) -> None:
        """Do the work and answer; every exception is an answer too."""
        try:
            self.check()
            result = self._run(self)
        except Exception as error:
            self.answer(None, error)
        else:
            self.answer(result, None)

    def answer(self, result: T | None, error: Exception | None) -> None:
        """Answer, unless that has happened."""
        with self._lock:
            if self._answered:
                return
            self._answered = True
        self._done(result, error)

    def expire(self) -> bool:
        """Answer with a DeadlineError if it is time; True once it is answered, in whatever way."""
        try:
            self.check()
        except DeadlineError as error:
            self.answer(None, error)
            return True
        return False


class Worker:
    """Runs from `start` to `stop`.

    :param step: does one piece of continuous work and returns the seconds until the next may be
    due; None: nothing to do until `wake`.
    :param failed: told of an exception that `step` raised; the worker goes on.
    :param capacity: requests that may wait.
    """

    def __init__(
        self,
        step: Callable[[], float | None],
        failed: Callable[[Exception], None],
        capacity: int = 8,
    ) -> None:
        self._step = step
        self._failed = failed
        self._capacity = capacity
        self._waiting: deque[Request[Any]] = deque()
        self._running: Request[Any] | None = None
        self._condition = threading.Condition()
        self._awake = False
        self._thread: threading.Thread | None = None

    def start(self, name: str = "model") -> None:
        """Begin; at once where it runs already."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._loop, name=name, daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Answer all requests with Busy, finish the piece of work at hand, and end the thread."""
        thread, self._thread = self._thread, None
        with self._condition:
            waiting = [*self._waiting, *([self._running] if self._running else [])]
            self._waiting.clear()
            self._condition.notify()
        for request in waiting:
            request.answer(None, Busy("the model is being unloaded"))
        if thread is not None:
            thread.join()

    def wake(self) -> None:
        """There may be something to do for `step`."""
        with self._condition:
            self._awake = True
            self._condition.notify()

    def submit(self, request: Request[Any]) -> None:
        """Let a request wait for its turn.

        :raises Busy: too many wait already, or the worker does not run.
        """
        with self._condition:
            if self._thread is None:
                raise Busy("the model is not loaded")
            if len(self._waiting) >= self._capacity:
                raise Busy(
                    f"busy: {len(self._waiting)} requests wait already, "
                    f"allowed: {self._capacity}; ask again later"
                )
            self._waiting.append(request)
            self._condition.notify()

    def expire(self) -> None:
        """Answer requests whose time is over; call it a few times a second from another thread."""
        with self._condition:
            if self._running is not None:
                self._running.expire()
            self._waiting = deque(r for r in self._waiting if not r.expire())

    def _loop(self) -> None:
        me = threading.current_thread()
        due: float | None = 0.0
        while self._thread is me:
            with self._condition:
                while not self._waiting and not self._awake and self._thread is me:
                    pause = None if due is None else due - time.monotonic()
                    if pause is not None and pause <= 0:
                        break
                    self._condition.wait(pause)
                self._running = self._waiting.popleft() if self._waiting else None
                if self._running is None:
                    self._awake = False
            if self._running is not None:
                self._running.run()
                self._running = None
            elif self._thread is me:
                due = self._advance()

    def _advance(self) -> float | None:
        try:
            pause = self._step()
        except Exception as error:
            self._failed(error)
            pause = 1.0
        return None if pause is None else time.monotonic() + pause
