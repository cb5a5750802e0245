"""The single-threaded executor: waits, takes what is ready, calls back, one callback at a time."""

from __future__ import annotations

import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from typing import Any

from vljepa_ros.ros.builtin.context import default_context
from vljepa_ros.ros.builtin.dds import Reader, WaitSet
from vljepa_ros.ros.builtin.future import Future, ReentrantCallbackGroup, outcome
from vljepa_ros.ros.builtin.handles import Handler, NodeHandle
from vljepa_ros.ros.builtin.logging import get_logger

_LONGEST_WAIT_S = 1.0  # seconds; bounds how late a shutdown from outside is noticed


class Task(Future):
    """A coroutine that an executor runs; its result is what the coroutine returns.

    Args:
        coroutine: What to run.
        post: Calls a function from the executor's thread.
    """

    def __init__(
        self, coroutine: Coroutine[Any, Any, Any], post: Callable[[Handler], None]
    ) -> None:
        super().__init__()
        self._coroutine, self._post = coroutine, post

    def step(self) -> None:
        """Run until the coroutine waits or ends. Its exceptions are raised here, too."""
        try:
            awaited = self._coroutine.send(None)
        except StopIteration as end:
            self.set_result(end.value)
        except Exception as error:
            self.set_exception(error)
            raise
        else:
            if isinstance(awaited, Future):
                awaited.add_done_callback(lambda _: self._post(self.step))
            else:
                self._post(self.step)


class SingleThreadedExecutor:
    """Runs the callbacks of its nodes in the thread that spins."""

    def __init__(self) -> None:
        self.context = default_context()
        self._wait_set = WaitSet(self.context.participant)
        self._wait_set.attach(self.context.graph.reader)
        self._nodes: list[NodeHandle] = []
        self._posted: deque[Handler] = deque()
        self._round: Iterator[Handler] = iter(())
        self._found = False  # whether the round had a callback
        self._lock = threading.RLock()
        self._attached: set[Reader] = set()
        self._held: set[Reader | None] = set()
        self._shut_down = False
        self.context.on_shutdown(self.wake)

    def add_node(self, node: NodeHandle) -> bool:
        """Run the callbacks of `node`, too; False if that is so already."""
        with self._lock:
            if node in self._nodes:
                return False
            self._nodes = [*self._nodes, node]
        node.executor = self
        self.update()
        return True

    def remove_node(self, node: NodeHandle) -> None:
        """Stop running the callbacks of `node`."""
        with self._lock:
            if node not in self._nodes:
                return
            self._nodes = [n for n in self._nodes if n is not node]
        node.executor = None
        self.update()

    def update(self) -> None:
        """Watch the readers that the nodes have now."""
        self._attach()
        self.wake()

    def _attach(self) -> None:
        """Attach the readers whose callbacks may start; others would end a wait at once."""
        with self._lock:
            if not self.context.ok():
                return
            readers = {reader for node in self._nodes for reader in node.dds_endpoints()[0]}
            readers -= self._held
            for reader in self._attached - readers:
                self._wait_set.detach(reader)
            for reader in readers - self._attached:
                self._wait_set.attach(reader)
            self._attached = readers

    def wake(self) -> None:
        """End a wait now. Safe from any thread, at any time."""
        if self.context.ok():
            self._wait_set.wake()

    def post(self, handler: Handler) -> None:
        """Call `handler` from the spinning thread. Safe from any thread."""
        self._posted.append(handler)
        self.wake()

    def create_task(self, callback: Callable[[], object]) -> Task:
        """Run a function or a coroutine function in the spinning thread; a future of its result."""
        task = Task(outcome(callback), self.post)
        self.post(task.step)
        return task

    def _ready(self) -> Iterator[Handler]:
        """One round over everything: each entity gives at most one callback."""
        for _ in range(len(self._posted)):
            yield self._posted.popleft()
        self.context.graph.refresh()
        held: set[Reader | None] = set()
        for node in self._nodes:
            for entity in node.entities():
                if not self.context.ok():
                    return
                group = entity.callback_group
                if not group.may_begin():
                    held.add(entity.reader)
                elif (handler := entity.take()) is not None:
                    yield partial(self._begin, handler, group)
        if held != self._held:
            self._held = held
            self._attach()

    def _next(self, deadline: float | None) -> Handler | None:
        """The next callback, None if there was none until `deadline` (monotonic seconds)."""
        looked = False
        while self.context.ok() and not self._shut_down:
            handler = next(self._round, None)
            if handler is not None:
                self._found = True
                return handler
            timeout = _LONGEST_WAIT_S
            if deadline is not None:
                timeout = min(timeout, deadline - time.monotonic())
                if timeout <= 0 and looked:
                    return None
            timeout = min([timeout, *(node.next_timer() for node in self._nodes)])
            # A wait ends at once where something is ready; only what was held back may have become
            # ready without its knowledge, by the callbacks since.
            if not self._posted and not (self._held and self._found):
                self._wait_set.wait(timeout)
            self._round, self._found, looked = self._ready(), False, True
        return None

    def _begin(self, handler: Handler, group: ReentrantCallbackGroup) -> None:
        result = handler()
        if hasattr(result, "send"):  # a coroutine
            task = Task(result, self.post)
            group.hold(task)
            task.add_done_callback(lambda _: self.wake())  # others of its group may begin
            task.step()

    def spin_once(self, timeout_sec: float | None = None) -> None:
        """Run one callback, waiting at most `timeout_sec` for it. Raises its exceptions."""
        forever = timeout_sec is None or timeout_sec < 0
        handler = self._next(None if forever else time.monotonic() + (timeout_sec or 0.0))
        if handler is not None:
            handler()

    def spin(self) -> None:
        """Run callbacks until `shutdown`. A callback that raises is logged and does not end it."""
        while self.context.ok() and not self._shut_down:
            try:
                self.spin_once(timeout_sec=_LONGEST_WAIT_S)
            except Exception:
                get_logger("vljepa_ros").error(
                    "a callback raised an exception:\n" + traceback.format_exc()
                )

    def shutdown(self) -> None:
        """Stop spinning; its nodes are free again."""
        self._shut_down = True
        for node in self._nodes:
            node.executor = None
        self.wake()


def spin(node: NodeHandle) -> None:
    """Run the callbacks of `node` until `shutdown`."""
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        executor.spin()
    finally:
        executor.remove_node(node)
