"""The one place that knows which ROS this is: real rclpy, or the built-in runtime.

Nodes say ``from vljepa_ros import ros`` and use rclpy's names and semantics. The environment
variable VLJEPA_ROS_RUNTIME chooses: ``auto`` (default: rclpy where it can be imported), ``rclpy``
or ``builtin``.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import TYPE_CHECKING

from .events import IncompatibleQoS

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
    from .builtin import *  # noqa: F403
    from .builtin import __all__ as _names
else:
    from .native import *  # noqa: F403
    from .native import __all__ as _names

__all__ = [*_names, "RUNTIME", "IncompatibleQoS"]
