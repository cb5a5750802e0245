"""A node that lacks a package says so in one line, wherever in its start that is noticed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from vljepa_ros import allocator, ros
from vljepa_ros.nodes import program


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (
            ModuleNotFoundError("No module named 'cv2'", name="cv2"),
            "the Python package cv2 is not installed; on ROS: rosdep install, pip",
        ),
        (
            ImportError("pyarrow requires NumPy 2.0 or newer, found 1.26.4\n\nmore"),
            "pyarrow requires NumPy 2.0 or newer, found 1.26.4; on ROS: rosdep install,",
        ),
        (
            ModuleNotFoundError("No module named 'cyclonedds'", name="cyclonedds"),
            "the Python package cyclonedds is not installed, and no ROS 2 is sourced: . /opt/ros",
        ),
    ],
)
def test_what_cannot_be_imported_is_one_line(
    error: ImportError, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(make_nodes: Callable[[], Any]) -> int:
        make_nodes()
        return 0

    def missing(name: str) -> Any:
        raise error

    monkeypatch.setattr(ros, "run", run)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr(program, "leave_quietly_on_signals", lambda: None)
    monkeypatch.setattr(program, "make_node", missing)
    with pytest.raises(SystemExit) as stop:
        program.run_node("perception_node")
    assert str(stop.value).startswith(f"perception_node: {says}")
    assert "\n" not in str(stop.value)


@pytest.mark.parametrize(("name", "shared"), [("memory_node", True), ("camera_node", False)])
def test_a_memory_node_shares_heaps_before_it_has_threads(
    name: str, shared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Heaps that threads of ROS have by then are used by LanceDB's too: 170 MB an hour."""
    order: list[str] = []
    monkeypatch.setattr(allocator, "share_heap", lambda: order.append("shared"))
    monkeypatch.setattr(ros, "run", lambda make_nodes: order.append("run"))
    monkeypatch.setattr(program, "leave_quietly_on_signals", lambda: None)
    with pytest.raises(SystemExit):
        program.run_node(name)
    assert order == (["shared", "run"] if shared else ["run"])


def test_heaps_are_shared_before_ros_is_imported() -> None:
    """Importing rclpy starts two threads, and each had a heap by the time heaps were limited."""
    steps = (
        "import sys",
        "from vljepa_ros import allocator",
        "from vljepa_ros.nodes import program",
        "allocator.share_heap = lambda: sys.exit('vljepa_ros.ros' in sys.modules)",
        "program.run_node('memory_node')",
    )
    assert subprocess.run([sys.executable, "-c", "; ".join(steps)], check=False).returncode == 0
