"""The whole `main()` of a program of nodes, the same on both runtimes."""

from __future__ import annotations

import signal
import threading
import traceback
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

_SPIN_S = 0.2  # seconds between two looks at the stop flag: how late a signal is noticed, at most


class StopFlag:
    """Raised by SIGINT and SIGTERM once `watch` was called.

    A plain attribute, no threading.Event: a second signal may interrupt the handler of the first
    while that holds the event's lock, and would then wait for it for ever.
    """

    def __init__(self) -> None:
        self.raised = False

    def watch(self) -> None:
        """Handle both signals."""
        _handle_signals(self._raise)

    def _raise(self, number: int, frame: FrameType | None) -> None:
        self.raised = True


def _handle_signals(handler: Any) -> None:
    """Set the handler of SIGINT and SIGTERM, but in the main thread only, as Python demands."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, handler)
        signal.signal(signal.SIGTERM, handler)


def run_nodes(
    runtime: Any, make_nodes: Callable[[], Sequence[Any]], args: Sequence[str] | None
) -> int:
    """Make nodes and run them until SIGINT or SIGTERM (once, twice, at any time) or `shutdown`.

    An exception in a callback is logged, and ends nothing. Both signals stay ignored afterwards, so
    that a late second Ctrl-C does not disturb the interpreter's end.

    Args:
        runtime: `vljepa_ros.ros.builtin.api` or `vljepa_ros.ros.native`.
        make_nodes: Makes the nodes, after the graph was joined. What it raises is raised, after
            cleaning up.
        args: Command line; None takes `sys.argv`.

    Returns:
        The exit code: 0 after a signal.
    """
    logger = runtime.get_logger("vljepa_ros")
    stop = StopFlag()
    stop.watch()
    nodes: list[Any] = []
    executor: Any = None
    try:
        runtime.init(args)
        executor = runtime.SingleThreadedExecutor()
        nodes = list(make_nodes())
        for node in nodes:
            executor.add_node(node)
        while not stop.raised and executor.context.ok():
            try:
                executor.spin_once(timeout_sec=_SPIN_S)
            except Exception:
                if not executor.context.ok():
                    break
                logger.error("a callback raised an exception:\n" + traceback.format_exc())
    finally:
        # From here on nothing may interrupt: a second Ctrl-C often follows within 200 ms.
        _handle_signals(signal.SIG_IGN)
        for node in nodes:
            try:
                node.destroy_node()
            except Exception:
                logger.error("destroy_node raised:\n" + traceback.format_exc())
        if executor is not None:
            executor.shutdown()
        runtime.shutdown()
    return 0
