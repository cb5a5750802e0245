"""The one thread that owns a model: requests first, then the newest frames.

The worker knows neither camera nor model. It has a bounded queue of requests, each with a deadline,
and between them it calls a `step` that does one piece of the continuous work. A request that takes
long is made of slices: between two of them come new requests and the frames.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from types import GeneratorType
from typing import Any, Generic, TypeVar

T = TypeVar("T")
Slices = Generator[None, None, T]  # work that others may interrupt where it yields


class Busy(RuntimeError):  # noqa: N818  (the name is the answer)
    """The queue is full: ask again later."""


class DeadlineError(TimeoutError):
    """A request was not answered in time."""


class Request(Generic[T]):
    """One question to the worker; it is answered exactly once, whoever comes first.

    :param run: does the work, in the worker's thread, and returns the result or Slices that do;
        between slices the deadline is looked at, within one it may call `check`.
    :param done: receives the result or the exception, in any thread.
    :param patience: seconds until it is answered with a DeadlineError.
    """

    def __init__(
        self,
        run: Callable[[Request[T]], T | Slices[T]],
        done: Callable[[T | None, Exception | None], None],
        patience: float,
    ) -> None:
        self._run = run
        self._done = done
        self._patience = patience
        self._deadline = time.monotonic() + patience
        self._lock = threading.Lock()
        self._answered = False
        self._slices: Slices[T] | None = None

    def check(self) -> None:
        """Give up where nobody waits for the answer any more.

        :raises DeadlineError: the deadline has passed.
        """
        if self._answered or time.monotonic() > self._deadline:
            raise DeadlineError(f"no answer within {self._patience:g} s")

    def advance(self) -> bool:
        """Do the work, or the next slice of it; True once it is answered.

        Every exception is an answer, too.
        """
        try:
            self.check()
            if self._slices is None:
                result = self._run(self)
                if not isinstance(result, GeneratorType):
                    self.answer(result, None)  # type: ignore[arg-type]
                    return True
                self._slices = result
            next(self._slices)
        except StopIteration as end:
            self.answer(end.value, None)
        except Exception as error:
            self.answer(None, error)
        else:
            return False
        return True

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
        self._begun: deque[Request[Any]] = deque()
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
        # Under the lock: a request between two slices is either still running or has begun.
        with self._condition:
            thread, self._thread = self._thread, None
            waiting = [*self._waiting, *self._begun, *([self._running] if self._running else [])]
            self._waiting.clear()
            self._begun.clear()
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
            waiting = len(self._waiting) + len(self._begun)
            if waiting >= self._capacity:
                raise Busy(
                    f"busy: {waiting} requests wait already, "
                    f"allowed: {self._capacity}; ask again later"
                )
            self._waiting.append(request)
            self._condition.notify()

    def expire(self) -> None:
        """Answer requests whose time is over; call it a few times a second from another thread."""
        with self._condition:
            for request in (*self._begun, *([self._running] if self._running else [])):
                request.expire()
            self._waiting = deque(r for r in self._waiting if not r.expire())

    def _loop(self) -> None:
        me = threading.current_thread()
        due: float | None = 0.0
        while self._thread is me:
            with self._condition:
                while not self._waiting and not self._awake and self._thread is me:
                    pause = None if due is None else due - time.monotonic()
                    if self._begun or (pause is not None and pause <= 0):
                        break
                    self._condition.wait(pause)
                new = bool(self._waiting)
                stepping = not new and (
                    self._awake or (due is not None and due <= time.monotonic())
                )
                if not new:
                    self._awake = False
            if stepping and self._thread is me:
                due = self._advance()
            # A stream that always has a next frame leaves a slice between two of them.
            self._serve(self._waiting if new else self._begun)

    def _serve(self, queue: deque[Request[Any]]) -> None:
        """The first request of a queue: all of it, or a slice."""
        with self._condition:
            if not queue:
                return
            request = self._running = queue.popleft()
        answered = request.advance()
        with self._condition:
            self._running = None
            if not answered and self._thread is threading.current_thread():
                self._begun.append(request)

    def _advance(self) -> float | None:
        try:
            pause = self._step()
        except Exception as error:
            self._failed(error)
            pause = 1.0
        return None if pause is None else time.monotonic() + pause
