"""The one place that knows which ROS this is: real rclpy, or the built-in runtime.

Nodes say `from vljepa_ros import ros` and use rclpy's names and semantics. What they may use is
listed in `builtin/api.py`; `native.py` has the same names from rclpy. The environment variable
VLJEPA_ROS_RUNTIME chooses: `auto` (default: rclpy if it can be imported), `rclpy` or `builtin`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from vljepa_ros.ros.events import IncompatibleQoS as IncompatibleQoS
from vljepa_ros.ros.run import run_nodes

_VARIABLE = "VLJEPA_ROS_RUNTIME"


def _choose() -> str:
    wanted = os.environ.get(_VARIABLE, "") or "auto"
    if wanted not in ("auto", "rclpy", "builtin"):
        raise ImportError(f"{_VARIABLE}={wanted!r}: allowed are auto, rclpy and builtin")
    if wanted == "auto":
        return "rclpy" if find_spec("rclpy") is not None else "builtin"
    return wanted


RUNTIME: str = _choose()

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


def run(make_nodes: Callable[[], Sequence[Any]], args: Sequence[str] | None = None) -> int:
    """The whole `main()` of a program of nodes: see `vljepa_ros.ros.run.run_nodes`."""
    return run_nodes(_runtime, make_nodes, args)
