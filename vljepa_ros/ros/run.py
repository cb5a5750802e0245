"""The whole `main()` of a program of nodes, the same on both runtimes."""

from __future__ import annotations

import signal
import threading
import traceback
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any, Protocol

_SPIN_SECONDS = 0.2  # how late a signal is seen, at most


class Runtime(Protocol):
    """What `run_nodes` needs of a runtime."""

    def init(self, args: Sequence[str] | None) -> None:
        """Join the graph, without signal handlers."""

    def shutdown(self) -> None:
        """Leave the graph."""

    def executor(self) -> Any:
        """A single-threaded executor."""

    def log_error(self, text: str) -> None:
        """Log an error."""


class StopFlag:
    """Raised by SIGINT and SIGTERM once `watch` was called.

    A plain attribute, no threading.Event: a second signal may interrupt the handler of the first
    while that holds the event's lock, and would then wait for it for ever.
    """

    def __init__(self) -> None:
        self.raised = False

    def watch(self) -> None:
        """Handle both signals; does nothing outside the main thread, where Python forbids it."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, self._raise)
            signal.signal(signal.SIGTERM, self._raise)

    def _raise(self, number: int, frame: FrameType | None) -> None:
        self.raised = True


def _ignore_signals() -> None:
    """From here on nothing may interrupt: a second Ctrl-C often follows within 200 ms."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


def run_nodes(
    runtime: Runtime, make_nodes: Callable[[], Sequence[Any]], args: Sequence[str] | None
) -> int:
    """Make nodes and run them until SIGINT or SIGTERM (once, twice, at any time) or `shutdown`.

    Returns the exit code: 0 after a signal. What `make_nodes` raises is raised, after cleaning up.
    An exception in a callback is logged, and ends nothing. Both signals stay ignored afterwards, so
    that a late second Ctrl-C does not disturb the interpreter's end.
    """
    stop = StopFlag()
    stop.watch()
    nodes: list[Any] = []
    executor: Any = None
    try:
        runtime.init(args)
        executor = runtime.executor()
        nodes = list(make_nodes())
        for node in nodes:
            executor.add_node(node)
        while not stop.raised and executor.context.ok():
            try:
                executor.spin_once(timeout_sec=_SPIN_SECONDS)
            except Exception:
                if not executor.context.ok():
                    break
                runtime.log_error("a callback raised an exception:\n" + traceback.format_exc())
    finally:
        _ignore_signals()
        for node in nodes:
            try:
                node.destroy_node()
            except Exception:
                runtime.log_error("destroy_node raised:\n" + traceback.format_exc())
        if executor is not None:
            executor.shutdown()
        runtime.shutdown()
    return 0
