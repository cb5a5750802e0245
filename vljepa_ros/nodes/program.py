"""Runs one node: `scripts/NAME`, or `python -m vljepa_ros.nodes.program NAME`.

Almost nothing is imported before the signal handlers are set, not even typing: loading a node takes
up to seconds, and Ctrl-C must end it cleanly in that time, too.
"""

from __future__ import annotations

import os
import signal
import sys
from importlib import import_module

REMEDY = "on ROS: rosdep install, pip install -r requirements-ros.txt (doc/install.md)"


def leave_quietly_on_signals() -> None:
    """Exit with code 0 at SIGINT or SIGTERM, until `ros.run` sets its own handlers.

    At once: there is nothing to close yet, and a module that is being imported might catch an
    exception raised by a handler.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: os._exit(0))


def make_node(name: str) -> object:
    """Create the node of module `name` of this package; autostart applies."""
    kind = "".join(part.title() for part in name.split("_"))
    node: object = getattr(import_module(f"vljepa_ros.nodes.{name}"), kind)()
    if hasattr(node, "autostart"):
        node.autostart()
    return node


def missing_package(error: ImportError, remedy: str = REMEDY) -> str:
    """One line about a package that is missing or cannot be imported."""
    from importlib.util import find_spec

    text = str(error).strip().partition("\n")[0]
    package = (error.name or "").partition(".")[0]
    if isinstance(error, ModuleNotFoundError) and package:
        text = f"the Python package {package} is not installed"
    if package in ("cyclonedds", "rosbags") and find_spec("rclpy") is None:
        return f"{text}, and no ROS 2 is sourced: . /opt/ros/DISTRIBUTION/setup.bash"
    return f"{text}; {remedy}"


def run_node(name: str) -> None:
    """Run one node until Ctrl-C, with the command-line options of ROS."""
    leave_quietly_on_signals()
    try:
        from vljepa_ros import allocator

        if name == "memory_node":  # first: importing rclpy starts threads
            allocator.share_heap()
        from vljepa_ros import ros

        code = ros.run(lambda: [make_node(name)])
    except ImportError as error:
        raise SystemExit(f"{name}: {missing_package(error)}") from None
    raise SystemExit(code)


if __name__ == "__main__":
    run_node(sys.argv[1])
