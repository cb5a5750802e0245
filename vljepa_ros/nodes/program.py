"""The program of one node: `scripts/NAME`, or `python -m vljepa_ros.nodes.program NAME`.

Almost nothing is imported before its signal handlers stand, not even typing: loading a node takes
up to seconds, and a Ctrl-C in that time is as good as a later one.
"""

from __future__ import annotations

import os
import signal
import sys
from importlib import import_module

REMEDY = "on ROS: rosdep install, pip install -r requirements-ros.txt (doc/install.md)"


def leave_quietly_on_signals() -> None:
    """End with exit code 0 at SIGINT or SIGTERM, until `ros.run` sets its own handlers.

    At once, for there is nothing to close yet, and because what is being imported may catch an
    exception that a handler raises.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: os._exit(0))


def make_node(name: str) -> object:
    """The node of the module `name` in this package, configured and activated if it shall be."""
    kind = "".join(part.title() for part in name.split("_"))
    node: object = getattr(import_module(f"vljepa_ros.nodes.{name}"), kind)()
    if hasattr(node, "autostart"):
        node.autostart()
    return node


def missing_package(error: ImportError, remedy: str = REMEDY) -> str:
    """One line about a package that is not installed, or that is and cannot be imported."""
    from importlib.util import find_spec

    text = str(error).strip().partition("\n")[0]
    package = (error.name or "").partition(".")[0]
    if isinstance(error, ModuleNotFoundError) and package:
        text = f"the Python package {package} is not installed"
    if package in ("cyclonedds", "rosbags") and find_spec("rclpy") is None:
        return f"{text}, and no ROS 2 is sourced: . /opt/ros/DISTRIBUTION/setup.bash"
    return f"{text}; {remedy}"


def run_node(name: str) -> None:
    """Run one node until Ctrl-C; the options are those of ROS."""
    leave_quietly_on_signals()
    try:
        from vljepa_ros import allocator, ros

        if name == "memory_node":
            allocator.share_heaps()
        code = ros.run(lambda: [make_node(name)])
    except ImportError as error:
        raise SystemExit(f"{name}: {missing_package(error)}") from None
    raise SystemExit(code)


if __name__ == "__main__":
    run_node(sys.argv[1])
