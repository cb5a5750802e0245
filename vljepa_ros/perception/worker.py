"""The thread that owns a model: it serves requests first, then the newest frames.

The worker does not depend on cameras or models. It has a bounded queue of requests, each with a
deadline, and between them it calls `step`, which does one piece of the continuous work. A long
request is a generator, a `CooperativeTask`: new requests and frames are served between its steps.
One that waits for new images pauses until `wake` is called.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from types import GeneratorType
from typing import Any, Generic, TypeVar, cast

T = TypeVar("T")
CooperativeTask = Generator[float | str | None, None, T]
"""Other work is done whenever it yields. After a number the next step follows `wake`, or comes this
many seconds later at the latest; a text is its progress, for the error of a timeout."""

LONGEST_STEP_S = 10.0
"""How long `stop` waits for the current step: object storage, or a GPU, may hang."""
MAX_WAITING = 128
"""Requests that may wait, as documented in the services: some seconds of work at a few milliseconds
each, and as many as the middleware queues."""


def finished(task: CooperativeTask[T]) -> T:
    """Run a task to its end, without other work in between."""
    while True:
        try:
            next(task)
        except StopIteration as end:
            return cast(T, end.value)


class QueueFullError(RuntimeError):
    """The worker accepts no request now: its queue is full, or it is not running."""


class DeadlineError(TimeoutError):
    """A request was not completed in time."""


class Request(Generic[T]):
    """One piece of work, answered exactly once: by a result, an exception or the deadline.

    Args:
        run: Does the work in the worker's thread and returns the result, or a CooperativeTask that
            returns it. The deadline is checked between the steps of a task; within a step `run` may
            call `check`.
        on_done: Receives the result or the exception, in any thread.
        timeout: Seconds until it is answered with a DeadlineError.

    Attributes:
        paused_until: Time of the steady clock at which its task wants the next step; 0: now.
    """

    def __init__(
        self,
        run: Callable[[Request[T]], T | CooperativeTask[T]],
        on_done: Callable[[T | None, Exception | None], None],
        timeout: float,
    ) -> None:
        self._run = run
        self._on_done = on_done
        self._timeout = timeout
        self._deadline = time.monotonic() + timeout
        self._lock = threading.Lock()
        self._answered = False
        self._task: CooperativeTask[T] | None = None
        self._progress = ""
        self.paused_until = 0.0

    def check(self) -> None:
        """Raise if the request is already answered or its deadline has passed.

        Raises:
            DeadlineError: In both cases.
        """
        if self._answered or time.monotonic() > self._deadline:
            raise DeadlineError(f"no answer within {self._timeout:g} s{self._progress}")

    def step(self) -> bool:
        """Run it, or the next step of its task; an exception is passed on as its answer.

        Returns:
            Whether it is answered.
        """
        try:
            self.check()
            if self._task is None:
                result = self._run(self)
                if not isinstance(result, GeneratorType):
                    self.answer(result, None)  # type: ignore[arg-type]
                    return True
                self._task = result
            hint = next(self._task)
            self.paused_until = time.monotonic() + hint if isinstance(hint, int | float) else 0.0
            self._progress = f": {hint}" if isinstance(hint, str) else ""
        except StopIteration as end:
            self.answer(end.value, None)
        except Exception as error:
            self.answer(None, error)
        else:
            return False
        return True

    def answer(self, result: T | None, error: Exception | None) -> None:
        """Pass on the result, unless the request is already answered."""
        with self._lock:
            if self._answered:
                return
            self._answered = True
        self._on_done(result, error)

    def expire(self) -> bool:
        """Answer with a DeadlineError if it is late; returns whether it has been answered."""
        try:
            self.check()
        except DeadlineError as error:
            self.answer(None, error)
            return True
        return False


class Worker:
    """A thread that runs from `start` to `stop`, and may be started again.

    Args:
        on_error: Called with an exception of the continuous work; the worker continues.
        capacity: Requests that may wait.
    """

    def __init__(self, on_error: Callable[[Exception], None], capacity: int = MAX_WAITING) -> None:
        self._step: Callable[[], float | None] = lambda: None
        self._on_error = on_error
        self._capacity = capacity
        self._waiting: deque[Request[Any]] = deque()
        self._begun: deque[Request[Any]] = deque()
        self._paused: list[Request[Any]] = []
        self._wakes = 0
        self._running: Request[Any] | None = None
        self._condition = threading.Condition()
        self._awake = False
        self._busy_since = math.inf
        self._thread: threading.Thread | None = None

    def start(self, step: Callable[[], float | None], name: str = "model") -> None:
        """Start the thread; does nothing if it is already running.

        Args:
            step: Does one piece of continuous work and returns the seconds until the next may be
                due, or None if there is nothing to do until `wake`.
            name: Of the thread.
        """
        if self._thread is None:
            self._step = step
            self._thread = threading.Thread(target=self._loop, name=name, daemon=True)
            self._thread.start()

    def stop(self, timeout: float = LONGEST_STEP_S) -> bool:
        """End the thread after the current step; requests are answered with QueueFullError.

        Args:
            timeout: Seconds to wait for that step.

        Returns:
            False if it has not ended by then; the thread ends after it.
        """
        # Under the lock: a request between two steps is either still running or has begun.
        with self._condition:
            thread, self._thread = self._thread, None
            waiting = [*self._waiting, *self._requests_begun()]
            self._waiting.clear()
            self._begun.clear()
            self._paused.clear()
            self._condition.notify()
        for request in waiting:
            request.answer(None, QueueFullError("the model is being unloaded"))
        if thread is not None:
            thread.join(timeout)
        return thread is None or not thread.is_alive()

    @property
    def busy_for(self) -> float:
        """Seconds for which the current step has been running; 0: the thread waits."""
        return max(0.0, time.monotonic() - self._busy_since)

    def wake(self, stepping: bool = True) -> None:
        """Continue paused tasks, and then call `step`, soon.

        Args:
            stepping: False: `step` has nothing to do; without a paused task the thread sleeps on.
        """
        with self._condition:
            self._wakes += 1
            self._awake |= stepping
            if stepping or self._paused:
                self._waiting.extend(self._paused)
                self._paused.clear()
                self._condition.notify()

    def submit(self, request: Request[Any]) -> None:
        """Queue a request.

        Raises:
            QueueFullError: Too many are waiting, or the worker is not running.
        """
        with self._condition:
            if self._thread is None:
                raise QueueFullError("the model is not loaded")
            waiting = len(self._waiting) + len(self._begun) + len(self._paused)
            if waiting >= self._capacity:
                raise QueueFullError(
                    f"busy: {waiting} requests wait already, "
                    f"allowed: {self._capacity}; ask again later"
                )
            self._waiting.append(request)
            self._condition.notify()

    def expire(self) -> None:
        """Answer late requests with an error; call it a few times a second from another thread."""
        with self._condition:
            for request in self._requests_begun():
                request.expire()
            self._waiting = deque(r for r in self._waiting if not r.expire())
            self._paused = [r for r in self._paused if not r.expire()]

    def _requests_begun(self) -> list[Request[Any]]:
        running = [self._running] if self._running else []
        return [*running, *self._begun, *self._paused]

    def _loop(self) -> None:
        me = threading.current_thread()
        due: float | None = 0.0
        while self._thread is me:
            with self._condition:
                self._busy_since = math.inf
                while not self._waiting and not self._awake and self._thread is me:
                    ends = [one.paused_until for one in self._paused]
                    earliest = min(ends if due is None else [due, *ends], default=None)
                    pause = None if earliest is None else earliest - time.monotonic()
                    if self._begun or (pause is not None and pause <= 0):
                        break
                    self._condition.wait(pause)
                now = self._busy_since = time.monotonic()
                self._waiting.extend(one for one in self._paused if one.paused_until <= now)
                self._paused = [one for one in self._paused if one.paused_until > now]
                new = bool(self._waiting)
                stepping = not new and (self._awake or (due is not None and due <= now))
                if not new:
                    self._awake = False
            if stepping and self._thread is me:
                try:
                    wait = self._step()
                except Exception as error:
                    self._on_error(error)
                    wait = 1.0
                due = None if wait is None else time.monotonic() + wait
            # Between two frames of a continuous stream one step of a task is run.
            self._serve(new)

    def _serve(self, new: bool) -> None:
        """Run the first new request, or the next step of a task."""
        with self._condition:
            queue = self._waiting if new else self._begun
            if not queue:
                return
            request = self._running = queue.popleft()
            wakes = self._wakes
        answered = request.step()
        with self._condition:
            self._running = None
            if answered or self._thread is not threading.current_thread():
                return
            if not request.paused_until:
                self._begun.append(request)
            elif self._wakes == wakes:
                self._paused.append(request)
            else:  # what it waits for may have arrived meanwhile
                self._waiting.append(request)
