"""`vljepa up` and the commands that talk to it, each in a process of its own, on the shipped
model."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from vljepa_ros.cli.processes import PackageProcess

ROOT = Path(__file__).parents[2]
pytestmark = [
    pytest.mark.timeout(300),  # starting a program takes long on a busy machine
    pytest.mark.usefixtures("domain"),
]


DOOR = ("the door is open", "the door is closed")
EXAMPLES = {  # their arguments, and what they must print, sooner or later
    "ask.py": (["is the door open or closed?", "open", "closed"], r"(act|look again): "),
    "triggers.py": (["door", *DOOR], r"stop: door"),
    "wait_for.py": (["20", *DOOR], r"true since \d+"),
}


def vljepa(*arguments: str, timeout: float = 200.0) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "vljepa_ros.cli.main", *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        cwd=ROOT,
        check=False,
    )


@pytest.fixture(scope="module")
def graph(domain: int) -> Iterator[list[str]]:
    """The options that lead to a running graph."""
    options = ["--domain", str(domain)]  # no namespace: the examples look into /vljepa
    labels = f"perception_node:labels:=['is the door open or closed? | {' | '.join(DOOR)}']"
    start = ["up", *options, "--console", "--param", "port:=0", "--param", labels]
    with PackageProcess("vljepa_ros.cli.main", start) as process:
        end = time.monotonic() + 150
        while "selective_decoder_node" not in process.output():
            process.check()
            assert time.monotonic() < end, process.output()
            time.sleep(0.1)
        yield [*options, "--timeout", "90"]  # a busy machine is no failure
        assert "the console is at http://localhost:" in process.output()
        assert process.stop() == 0, process.output()
        assert "Traceback" not in process.output()


def test_ask_gives_all_scores_margin_and_the_clips_stamp(graph: list[str]):
    result = vljepa("ask", "is anybody in here?", "yes", "no", "--json", *graph)
    assert result.returncode == 0, result.stderr
    reply = json.loads(result.stdout)
    assert reply["candidates"] == ["yes", "no"]
    assert reply["answer"] == reply["candidates"][reply["index"]]
    assert len(reply["scores"]) == 2
    assert all(0 <= score <= 1 for score in reply["scores"])
    assert reply["margin"] == pytest.approx(abs(reply["scores"][0] - reply["scores"][1]), abs=1e-5)
    assert abs(reply["stamp"] - time.time()) < 3600, "the host's clock may be set meanwhile"
    assert reply["model_id"].startswith("nano")


def test_ask_for_a_person(graph: list[str]):
    result = vljepa("ask", "is the door open or closed?", "open", "closed", *graph)
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[0].split()[0] in ("open", "closed")
    assert lines[-1].startswith("margin ")


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_runs_beside_the_nodes(graph: list[str], name: str):
    arguments, expected = EXAMPLES[name]
    runner = str(ROOT / "test" / "support" / "rclpy_stand_in.py")
    command = [sys.executable, runner, str(ROOT / "examples" / name), *arguments]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        seen = []
        for line in process.stdout:
            seen.append(line)
            if re.match(expected, line):
                break
        else:
            pytest.fail(f"{name} never printed {expected}:\n{''.join(seen)}")
        process.terminate()


def test_ask_about_an_image_file(graph: list[str], tmp_path: Path):
    import cv2
    import numpy as np

    (clip,) = (ROOT / "models/nano/demo").glob("*.mp4")
    pictures = {"room": cv2.VideoCapture(str(clip)).read()[1], "grey": np.full((60, 80, 3), 90)}
    replies = {}
    for name, picture in pictures.items():
        cv2.imwrite(str(tmp_path / f"{name}.png"), picture)
        image = str(tmp_path / f"{name}.png")
        result = vljepa("ask", "which?", "a", "b", "--image", image, "--json", *graph)
        assert result.returncode == 0, result.stderr
        replies[name] = json.loads(result.stdout)
    assert len(replies["room"]["scores"]) == 2
    assert replies["grey"]["scores"] == [], "of no room of nano's world"


def test_what_the_node_refuses_is_one_line_and_code_1(graph: list[str]):
    result = vljepa("ask", "who?", "yes", "no", "--camera", "rear", *graph)
    assert result.returncode == 1
    assert "rear" in result.stderr
    assert "front" in result.stderr  # what is allowed
    assert result.stderr.count("\n") == 1


def test_info_names_model_engine_and_device(graph: list[str]):
    result = vljepa("info", "--json", *graph)
    assert result.returncode == 0, result.stderr
    info = json.loads(result.stdout)
    assert (info["name"], info["engine"], info["device"]) == ("nano", "onnxruntime", "cpu")
    folder = json.loads(vljepa("info", "--json", "--model", "nano").stdout)
    assert {key: info[key] for key in folder if key in info} == {
        key: folder[key] for key in folder if key in info
    }


def test_events_come_while_somebody_listens(graph: list[str]):
    result = vljepa("events", "--json", "--count", "1", *graph)
    assert result.returncode == 0, result.stderr
    event = json.loads(result.stdout.splitlines()[0])
    assert event["camera"] == "front"
    assert event["text"]
    assert event["onset"] <= event["stamp"]


def test_label_sets_the_vocabulary(graph: list[str]):
    result = vljepa("label", "is it day?", "day", "night", "--json", *graph)
    assert result.returncode == 0, result.stderr
    reply = json.loads(result.stdout)
    assert reply["accepted"] == 2
    again = vljepa("label", "is it day?", "day", "dusk", "night", *graph)
    assert again.stdout.startswith("3 labels in use")


def test_nobody_there_says_what_to_start(domain: int):
    result = vljepa(
        "ask", "who?", "me", "--timeout", "0.5", "--domain", str(domain), "--namespace", "nobody"
    )
    assert result.returncode == 1
    assert "vljepa up" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(("processes", "gap"), [(False, None), (False, 0.1), (True, 0.2)])
def test_ctrl_c_once_or_twice_ends_with_0_and_no_traceback(processes: bool, gap: float | None):
    options = ["--namespace", f"gone_{os.getpid()}"]
    options += ["--processes"] if processes else []
    with PackageProcess("vljepa_ros.cli.main", ["up", *options]) as process:
        end = time.monotonic() + 150
        while "perception_node" not in process.output() and time.monotonic() < end:
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGINT)
        if gap is not None:
            time.sleep(gap)
            os.kill(process.pid, signal.SIGINT)
        process.finish(60)
        assert "Traceback" not in process.output()
        assert "Error" not in process.output()


def test_ctrl_c_while_it_is_still_loading():
    with PackageProcess("vljepa_ros.cli.main", ["up"]) as process:
        end = time.monotonic() + 60
        maps = Path(f"/proc/{process.pid}/maps")
        while "numpy" not in maps.read_text() and time.monotonic() < end:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGINT)
        process.finish(60)
        assert "Traceback" not in process.output()
