from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from vljepa_ros import ros

Program = Callable[..., "subprocess.Popen[str]"]

MAIN = """
import sys
from vljepa_ros import ros

class Worker(ros.LifecycleNode):
    def __init__(self):
        super().__init__(sys.argv[1])
        self.declare_parameter("rate", 5.0)
        self.create_timer(0.01, self.tick)
        self.ticks = 0

    def tick(self):
        self.ticks += 1
        if self.ticks in (3, 4, 5):
            raise ValueError("a bad callback")
        if self.ticks == 10:
            print("running")

sys.exit(ros.run(lambda: [Worker(), ros.Node("other")], sys.argv))
"""


@pytest.mark.parametrize(
    ("number", "gap_ms"),
    [(signal.SIGINT, gap) for gap in (None, 0, 2, 20, 100, 200)] + [(signal.SIGTERM, None)],
)
def test_signals_once_and_twice_end_cleanly(
    program: Program, number: signal.Signals, gap_ms: int | None
) -> None:
    process = program(MAIN, "worker", "--ros-args", "-r", "__ns:=/robot", "-p", "rate:=2.0")
    assert process.stdout is not None
    assert process.stdout.readline() == "running\n"
    process.send_signal(number)
    if gap_ms is not None:
        time.sleep(gap_ms / 1000)
        process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    # that of the bad callback, once in a while, and nothing at the end
    assert errors.count("Traceback") == 1
    assert "a bad callback" in errors


def test_signals_that_interrupt_each_other_end_cleanly(program: Program) -> None:
    """A handler may be interrupted by the next signal: it must not wait for anything."""
    process = program(MAIN, "worker")
    assert process.stdout is not None
    assert process.stdout.readline() == "running\n"
    for _ in range(3000):
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 0


def test_nodes_that_cannot_be_made_say_why(program: Program) -> None:
    process = program(MAIN, "bad name")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "invalid node name" in errors.lower()
    assert "'bad name'" in errors


@pytest.mark.parametrize("content", ["worker: {rate: 1.0}\n", "worker: [rate, 1.0\n", "- worker\n"])
def test_arguments_that_cannot_be_read_are_one_line(
    program: Program, tmp_path: Path, content: str
) -> None:
    file = tmp_path / "params.yaml"
    file.write_text(content)
    process = program(MAIN, "worker", "--ros-args", "--params-file", str(file))
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "Traceback" not in errors
    assert str(file) in errors
    if ros.RUNTIME == "builtin":
        assert errors.count("\n") == 1


def choose(runtime: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from vljepa_ros import ros; print(ros.RUNTIME)"],
        env={**os.environ, "VLJEPA_ROS_RUNTIME": runtime},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_runtime_is_chosen_by_the_environment() -> None:
    if find_spec("cyclonedds") is not None and find_spec("rosbags") is not None:
        assert choose("builtin").stdout == "builtin\n"
    assert choose("").stdout == f"{'builtin' if find_spec('rclpy') is None else 'rclpy'}\n"
    wrong = choose("ros1")
    assert wrong.returncode != 0
    assert "allowed are auto, rclpy and builtin" in wrong.stderr


def test_no_module_is_passed_off_as_rclpy() -> None:
    if ros.RUNTIME == "builtin":
        assert "rclpy" not in sys.modules
