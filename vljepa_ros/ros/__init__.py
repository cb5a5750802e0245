"""Chooses the ROS runtime: real rclpy, or the built-in one.

Nodes use `from vljepa_ros import ros`, with the names and semantics of rclpy. The available names
are listed in `builtin/api.py`; `native.py` has the same names from rclpy. The environment variable
VLJEPA_ROS_RUNTIME chooses: `auto` (default: rclpy if it can be imported), `rclpy` or `builtin`.
"""

from __future__ import annotations

import os
import signal
import threading
import traceback
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from types import FrameType
from typing import TYPE_CHECKING, Any

from vljepa_ros.ros.events import DeadlineMissed as DeadlineMissed
from vljepa_ros.ros.events import IncompatibleQoS as IncompatibleQoS

_SPIN_S = 0.2  # seconds between two checks of the stop flag: the longest delay of a signal
_VARIABLE = "VLJEPA_ROS_RUNTIME"


RUNTIME = os.environ.get(_VARIABLE, "") or "auto"
if RUNTIME not in ("auto", "rclpy", "builtin"):
    raise ImportError(f"{_VARIABLE}={RUNTIME!r}: allowed are auto, rclpy and builtin")
if RUNTIME == "auto":
    RUNTIME = "rclpy" if find_spec("rclpy") is not None else "builtin"

if TYPE_CHECKING or RUNTIME == "builtin":
    from vljepa_ros.ros.builtin import api as _runtime
    from vljepa_ros.ros.builtin.api import *  # noqa: F403
else:
    from vljepa_ros.ros import native as _runtime
    from vljepa_ros.ros.native import *  # noqa: F403


def find_interface(name: str) -> type[Any] | None:
    """As `interface`, but None if the package is not installed."""
    try:
        return _runtime.interface(name)
    except LookupError:
        return None


def steady_clock() -> _runtime.Clock:
    """A clock that never jumps and does not follow simulated time."""
    return _runtime.Clock(clock_type=_runtime.ClockType.STEADY_TIME)


def form_bond(node: _runtime.Node) -> Callable[[], None]:
    """Form a bond with nav2_lifecycle_manager for an active node, if bondpy is installed.

    The topic is `bond` in the node's namespace and the id is the node's name, as in Nav2.

    Returns:
        A function that breaks the bond.
    """
    if RUNTIME != "rclpy" or find_spec("bondpy") is None:
        return lambda: None
    from bondpy.bondpy import Bond

    bond = Bond(node, "bond", node.get_name())
    bond.start()

    def break_bond() -> None:
        bond.shutdown()
        node.destroy_subscription(bond.sub)
        node.destroy_publisher(bond.pub)

    return break_bond


class StopFlag:
    """Flag that SIGINT and SIGTERM set.

    A plain attribute, no threading.Event: a second signal may interrupt the handler of the first
    while it holds the event's lock, and would then deadlock.
    """

    def __init__(self) -> None:
        self.raised = False
        _handle_signals(self._raise)

    def _raise(self, number: int, frame: FrameType | None) -> None:
        self.raised = True


def _handle_signals(handler: Any) -> None:
    """Set the handler of SIGINT and SIGTERM, in the main thread only, as Python requires."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, handler)
        signal.signal(signal.SIGTERM, handler)


def run(make_nodes: Callable[[], Sequence[Any]], args: Sequence[str] | None = None) -> int:
    """Run a program of nodes until SIGINT, SIGTERM or `shutdown`.

    Signals may arrive once or twice, at any time. An exception in a callback is logged and does not
    end the program. Both signals stay ignored afterwards, so that a late second Ctrl-C does not
    disturb the exit of the interpreter.

    Args:
        make_nodes: Creates the nodes, after the graph was joined. Its exceptions are raised after
            cleaning up.
        args: Command line; None: `sys.argv`.

    Returns:
        The exit code: 0 after a signal, 2 if the graph cannot be joined, because arguments or
        environment are invalid, or there is no network; the reason is logged.
    """
    logger = _runtime.get_logger("vljepa_ros")
    stop = StopFlag()
    nodes: list[Any] = []
    executor: Any = None
    try:
        try:
            _runtime.init(args)
        except (ValueError, RuntimeError) as error:
            logger.error(" ".join(str(error).split()))
            return 2
        executor = _runtime.SingleThreadedExecutor()
        nodes = list(make_nodes())
        for node in nodes:
            executor.add_node(node)
        while not stop.raised and executor.context.ok():
            try:
                executor.spin_once(timeout_sec=_SPIN_S)
            except Exception:
                if not executor.context.ok():
                    break
                text = "a callback raised an exception:\n" + traceback.format_exc()
                logger.error(text, throttle_duration_sec=1.0)
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
        _runtime.shutdown()
    return 0
