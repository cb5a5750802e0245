"""Ctrl-C on the real programs, once and twice with any gap: exit code 0, no traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from graph import MODEL

import vljepa_ros
from vljepa_ros.cli.bringup import BringupConfig, commands
from vljepa_ros.resources import share_dir

ROOT = Path(vljepa_ros.__file__).parents[1]
SCRIPTS = [share_dir() / "scripts", share_dir().parents[1] / "lib" / "vljepa_ros"]  # or colcon's

pytestmark = [
    pytest.mark.timeout(300),  # starting a program takes long on a busy machine
    pytest.mark.usefixtures("domain"),
]


def environment() -> dict[str, str]:
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, "PYTHONPATH": path}


def begin(command: list[str], log: Path, ready: str) -> subprocess.Popen[bytes]:
    """A process that has said `ready`."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=environment(), stdout=output, stderr=subprocess.STDOUT
        )
    end = time.monotonic() + 150.0
    while ready not in log.read_text(encoding="utf-8", errors="replace"):
        assert process.poll() is None, log.read_text(encoding="utf-8")
        assert time.monotonic() < end, log.read_text(encoding="utf-8")
        time.sleep(0.05)
    return process


def interrupt(process: subprocess.Popen[bytes], gap: float | None) -> int:
    process.send_signal(signal.SIGINT)
    if gap is not None:
        time.sleep(gap)
        process.send_signal(signal.SIGINT)
    try:
        return process.wait(60.0)
    finally:
        process.kill()


@pytest.mark.parametrize(
    ("name", "gap"),
    [
        ("perception_node", None),
        ("perception_node", 0.0),
        ("perception_node", 0.05),
        ("perception_node", 0.2),
        ("selective_decoder_node", 0.1),
        ("camera_node", None),
        ("camera_node", 0.15),
    ],
)
def test_the_scripts_end_cleanly(tmp_path: Path, name: str, gap: float | None) -> None:
    script = next((folder / name for folder in SCRIPTS if (folder / name).is_file()), None)
    if script is None:
        pytest.skip("neither the source tree nor a colcon install")
    assert os.access(script, os.X_OK)
    log = tmp_path / "log.txt"
    command = [sys.executable, str(script), "--ros-args"]
    ready = "on onnxruntime"
    if name == "camera_node":
        command += ["-p", f"source:={tmp_path}"]
        ready = "no images"
    else:
        command += ["-p", f"model:={MODEL}"]
    process = begin(command, log, ready)
    assert interrupt(process, gap) == 0, log.read_text(encoding="utf-8")
    assert "Traceback" not in log.read_text(encoding="utf-8")


@pytest.mark.parametrize("library", ["numpy", "onnxruntime"])
def test_ctrl_c_while_a_node_is_loading(tmp_path: Path, library: str) -> None:
    log = tmp_path / "log.txt"
    command = [sys.executable, "-m", "vljepa_ros.nodes.program", "perception_node"]
    command += ["--ros-args", "-p", f"model:={MODEL}"]
    process = begin(command, log, "")
    end = time.monotonic() + 60.0
    while library not in Path(f"/proc/{process.pid}/maps").read_text():
        assert time.monotonic() < end, f"{library} is never loaded"
        time.sleep(0.005)
    assert interrupt(process, None) == 0, log.read_text(encoding="utf-8")
    assert "Traceback" not in log.read_text(encoding="utf-8")


def test_all_nodes_in_one_process_end_cleanly(tmp_path: Path) -> None:
    config = BringupConfig(source="none", model=MODEL)
    arguments = commands(config)["perception"][4:]
    code = (
        "import sys; from vljepa_ros.cli import bringup;"
        f"sys.exit(bringup.run(bringup.BringupConfig(source='none', model={MODEL!r})))"
    )
    assert "--ros-args" in arguments
    log = tmp_path / "log.txt"
    process = begin([sys.executable, "-c", code], log, "perception_node]: model")
    assert interrupt(process, 0.1) == 0, log.read_text(encoding="utf-8")
    assert "Traceback" not in log.read_text(encoding="utf-8")
