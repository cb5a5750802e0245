"""The single-threaded executor: waits, takes what is ready, calls back, one callback at a time."""

from __future__ import annotations

import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from .callback_groups import ReentrantCallbackGroup
from .context import default_context
from .future import Future, Task
from .logging import get_logger

if TYPE_CHECKING:
    from .node import Node

Handler = Callable[[], Any]
_FREE = ReentrantCallbackGroup()
_LONGEST_WAIT = 1.0  # seconds; bounds how late a shutdown from outside is seen


class ShutdownException(Exception):  # noqa: N818 - rclpy's name
    """The executor was shut down while it waited."""


class SingleThreadedExecutor:
    """Runs the callbacks of its nodes in the thread that spins."""

    def __init__(self, *, context: Any = None) -> None:
        self._context = context or default_context()
        self._wait_set = self._context.wait_set()
        self._wait_set.attach(self._context.graph.reader)
        self._nodes: list[Node] = []
        self._posted: deque[Handler] = deque()
        self._pass: Iterator[Handler] = iter(())
        self._lock = threading.RLock()
        self._attached: dict[int, Any] = {}  # id of a reader: the reader
        self._shut_down = False
        self._context.on_shutdown(self.wake)

    @property
    def context(self) -> Any:
        """The context it was made in."""
        return self._context

    def add_node(self, node: Node) -> bool:
        """Run the callbacks of `node`, too; False where that is so already."""
        with self._lock:
            if node in self._nodes:
                return False
            self._nodes = [*self._nodes, node]
        node.executor = self
        self.update()
        return True

    def remove_node(self, node: Node) -> None:
        """Leave the callbacks of `node` alone."""
        with self._lock:
            if node not in self._nodes:
                return
            self._nodes = [n for n in self._nodes if n is not node]
        node.executor = None
        self.update()

    def get_nodes(self) -> list[Node]:
        """Its nodes."""
        return list(self._nodes)

    def update(self) -> None:
        """Watch the readers that the nodes have now."""
        with self._lock:
            if not self._context.ok():
                return
            wanted = {
                id(entity.reader): entity.reader
                for node in self._nodes
                for entity in node.readers()
                if entity.reader is not None
            }
            for key in [k for k in self._attached if k not in wanted]:
                self._wait_set.detach(self._attached.pop(key))
            for key, reader in wanted.items():
                if key not in self._attached:
                    self._wait_set.attach(reader)
                    self._attached[key] = reader
        self.wake()

    def wake(self) -> None:
        """End a wait now. Safe from any thread, at any time."""
        if self._context.ok():
            self._wait_set.wake()

    def post(self, handler: Handler) -> None:
        """Call `handler` from the spinning thread. Safe from any thread."""
        self._posted.append(handler)
        self.wake()

    def create_task(self, callback: Any, *args: Any, **kwargs: Any) -> Task:
        """Run a function, a coroutine function or a coroutine; a future of its result."""

        async def run() -> Any:
            result = callback(*args, **kwargs) if callable(callback) else callback
            return await result if hasattr(result, "__await__") else result

        task = Task(run(), self)
        self.post(task.step)
        return task

    def _ready(self) -> Iterator[Handler]:
        """One round over everything: each entity gives at most one callback."""
        for _ in range(len(self._posted)):
            yield self._posted.popleft()
        self._context.graph.refresh()
        for node in self._nodes:
            for entity in node.waitables():
                if not self._context.ok():
                    return
                group = getattr(entity, "callback_group", _FREE)  # QoS events have none
                handler = entity.take() if group.may_begin() else None
                if handler is not None:
                    yield partial(self._begin, handler, group)

    def _next(self, deadline: float | None) -> Handler | None:
        """The next callback, None when there was none until `deadline` (monotonic seconds)."""
        while self._context.ok() and not self._shut_down:
            handler = next(self._pass, None)
            if handler is None:
                self._pass = self._ready()
                handler = next(self._pass, None)
            if handler is not None:
                return handler
            timeout = _LONGEST_WAIT
            if deadline is not None:
                timeout = min(timeout, deadline - time.monotonic())
                if timeout <= 0:
                    return None
            for node in self._nodes:
                for timer in node.timers:
                    due = timer.wait_time()
                    if due is not None:
                        timeout = min(timeout, due)
            if not self._posted:
                self._wait_set.wait(timeout)
        return None

    def _begin(self, handler: Handler, group: ReentrantCallbackGroup) -> None:
        result = handler()
        if hasattr(result, "send"):  # a coroutine
            task = Task(result, self)
            group.hold(task)
            task.add_done_callback(lambda _: self.wake())  # others of its group may begin
            task.step()

    def spin_once(self, timeout_sec: float | None = None) -> None:
        """Run one callback, waiting at most `timeout_sec` for it. Raises what that raises."""
        forever = timeout_sec is None or timeout_sec < 0
        deadline = None if forever else time.monotonic() + (timeout_sec or 0.0)
        handler = self._next(deadline)
        if handler is not None:
            handler()

    def spin(self) -> None:
        """Run callbacks until `shutdown`. A callback that raises is logged, and ends nothing."""
        while self._context.ok() and not self._shut_down:
            try:
                self.spin_once(timeout_sec=_LONGEST_WAIT)
            except Exception:
                get_logger("vljepa_ros").error(
                    "a callback raised an exception:\n" + traceback.format_exc()
                )

    def spin_until_future_complete(self, future: Future, timeout_sec: float | None = None) -> None:
        """Run callbacks until `future` is done or `timeout_sec` has passed."""
        future.add_done_callback(lambda _: self.wake())
        deadline = None if timeout_sec is None else time.monotonic() + timeout_sec
        while self._context.ok() and not self._shut_down and not future.done():
            left = _LONGEST_WAIT if deadline is None else deadline - time.monotonic()
            if left <= 0:
                return
            self.spin_once(timeout_sec=min(left, 0.1))

    def shutdown(self, timeout_sec: float | None = None) -> bool:
        """Stop spinning; its nodes are free again."""
        del timeout_sec  # one thread: nothing runs beside the caller
        self._shut_down = True
        for node in self._nodes:
            node.executor = None
        self.wake()
        return True


_global: SingleThreadedExecutor | None = None


def get_global_executor() -> SingleThreadedExecutor:
    """The executor of `spin` and `spin_once`."""
    global _global
    if _global is None or not _global.context.ok():
        _global = SingleThreadedExecutor()
    return _global


def spin(node: Node, executor: SingleThreadedExecutor | None = None) -> None:
    """Run the callbacks of `node` until `shutdown`."""
    executor = executor or get_global_executor()
    executor.add_node(node)
    try:
        executor.spin()
    finally:
        executor.remove_node(node)


def spin_once(
    node: Node,
    *,
    executor: SingleThreadedExecutor | None = None,
    timeout_sec: float | None = None,
) -> None:
    """Run one callback of `node`, waiting at most `timeout_sec` for it."""
    executor = executor or get_global_executor()
    added = executor.add_node(node)
    try:
        executor.spin_once(timeout_sec)
    finally:
        if added:
            executor.remove_node(node)


def spin_until_future_complete(
    node: Node,
    future: Future,
    executor: SingleThreadedExecutor | None = None,
    timeout_sec: float | None = None,
) -> None:
    """Run the callbacks of `node` until `future` is done."""
    executor = executor or get_global_executor()
    added = executor.add_node(node)
    try:
        executor.spin_until_future_complete(future, timeout_sec)
    finally:
        if added:
            executor.remove_node(node)
