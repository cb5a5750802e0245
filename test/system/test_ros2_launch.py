"""The launch file as users start it, where there is a ROS: `ros2 launch`, and Ctrl-C."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from code_size import ROOT

pytestmark = [
    pytest.mark.skipif(shutil.which("ros2") is None, reason="needs a sourced ROS 2"),
    pytest.mark.timeout(300),  # starting three programs takes long on a busy machine
    pytest.mark.usefixtures("domain"),
]


def begin(
    log: Path, *arguments: str, file: Sequence[str] = ("vljepa_ros", "perception.launch.py")
) -> subprocess.Popen[bytes]:
    pytest.importorskip("launch_ros")
    with log.open("wb") as output:
        return subprocess.Popen(
            ["ros2", "launch", *file, *arguments],
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def says(process: subprocess.Popen[bytes], log: Path, *texts: str) -> None:
    """Wait until the log says all of it."""
    end = time.monotonic() + 150.0
    while not all(text in log.read_text(encoding="utf-8") for text in texts):
        assert process.poll() is None, log.read_text(encoding="utf-8")
        assert time.monotonic() < end, log.read_text(encoding="utf-8")
        time.sleep(0.1)


def ended(process: subprocess.Popen[bytes]) -> int | None:
    """Its exit code; None where it still runs after a minute and a half."""
    try:
        return process.wait(90.0)
    except subprocess.TimeoutExpired:
        return None


@pytest.mark.parametrize("gap", [None, 0.0, 0.05, 0.2])
def test_ctrl_c_once_or_twice_ends_with_0_and_no_traceback(
    tmp_path: Path, gap: float | None
) -> None:
    """As a terminal sends it: to `ros2 launch` and to all nodes, and launch passes it on again."""
    log = tmp_path / "log.txt"
    process = begin(log, "source:=demo")
    try:
        loaded = "perception_node]: model", "selective_decoder_node]: model"
        says(process, log, *loaded, "process started with pid")
        os.killpg(process.pid, signal.SIGINT)
        if gap is not None:
            time.sleep(gap)
            os.killpg(process.pid, signal.SIGINT)
        code = ended(process)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    text = log.read_text(encoding="utf-8")
    # Once in about sixty, Jazzy's launch itself stayed after "again, ignoring..." and the end of
    # all its processes: that is none of ours, so only a code that it gave counts.
    assert code in (0, None), text
    assert "Traceback" not in text
    started = text.count("process started with pid")
    assert started >= 3
    assert text.count("process has finished cleanly") == started, text


def test_arguments_reach_the_nodes(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    arguments = ["cameras:=left,right", "image:=/left/image", "decoder:=false"]
    process = begin(log, *arguments, "namespace:=robot", "log_level:=debug", "autostart:=false")
    try:
        says(process, log, "perception_node")
        name = "/robot/vljepa/perception_node"
        for parameter, value in (
            ("cameras", "['left', 'right']"),
            ("left.image_topic", "/left/image"),
            ("right.image_topic", "/camera/image_raw"),
            ("autostart", "False"),
        ):
            assert value in ask("param", "get", name, parameter)
        assert "unconfigured" in ask("lifecycle", "get", name)
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.wait(60.0)
    assert "selective_decoder" not in log.read_text(encoding="utf-8")


def test_the_example_of_two_cameras(tmp_path: Path) -> None:
    log, example = tmp_path / "log.txt", ROOT / "examples" / "two_cameras.launch.py"
    process = begin(log, "arm:=/arm/compressed", file=[str(example)])
    try:
        says(process, log, "no image on '/front/image_raw'", "no image on '/arm/compressed'")
        assert ask("param", "get", "/vljepa/perception_node", "arm.rotate").strip().endswith("180")
        assert "person" in ask("param", "get", "/vljepa/trigger_node", "triggers")
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.wait(60.0)
    assert log.read_text(encoding="utf-8").count("overlay_node-") >= 2


def test_a_killed_node_comes_back_where_that_is_wanted(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    process = begin(log, "decoder:=false", "model:=nano", "use_respawn:=true")
    begun = r"\[trigger_node-\d+\]: process started with pid \[(\d+)\]"
    try:
        says(process, log, "trigger_node-2]: process started", "perception_node]: model")
        os.kill(int(re.findall(begun, log.read_text(encoding="utf-8"))[0]), signal.SIGKILL)
        says(process, log, "process has died")
        end = time.monotonic() + 60.0
        while len(re.findall(begun, log.read_text(encoding="utf-8"))) < 2:
            assert time.monotonic() < end, log.read_text(encoding="utf-8")
            time.sleep(0.1)
    finally:
        os.killpg(process.pid, signal.SIGINT)
        process.wait(60.0)


@pytest.mark.parametrize(
    ("argument", "why"),
    [
        ("params_file:=/no/such.yaml", "there is no file '/no/such.yaml'"),
        ("cameras:=front=/a front=/b", "names must differ, given: front, front"),
    ],
)
def test_a_wrong_argument_is_one_line_and_starts_nothing(
    tmp_path: Path, argument: str, why: str
) -> None:
    log = tmp_path / "log.txt"
    assert begin(log, argument).wait(90.0) == 1
    text = log.read_text(encoding="utf-8")
    assert why in text
    assert "Traceback" not in text
    assert "process started" not in text


def ask(command: str, verb: str, *arguments: str) -> str:
    """What a `ros2` command says, once it has found the node."""
    answer = subprocess.CompletedProcess[str]([], 1, "", "")
    end = time.monotonic() + 90.0
    while answer.returncode != 0 and time.monotonic() < end:
        answer = subprocess.run(
            ["ros2", command, verb, "--no-daemon", *arguments],
            capture_output=True,
            text=True,
            timeout=90.0,
            check=False,
        )
    return answer.stdout + answer.stderr
