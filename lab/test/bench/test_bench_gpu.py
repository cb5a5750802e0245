"""The mechanics of the script for a GPU: on a CPU, at small sizes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import bench_gpu
import psutil
import pytest

PATIENCE_S = 100.0


def run(*options: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, bench_gpu.__file__, "--device", "cpu", *options])


def test_killed_between_two_parts_it_leaves_what_it_had(tmp_path: Path) -> None:
    out, end = tmp_path / "gpu.json", time.monotonic() + PATIENCE_S
    process = run("--tiny", "--parts", "device,eager8,train", "--out", str(out))
    while not out.exists() and time.monotonic() < end:
        time.sleep(0.05)
    children = []
    while not children and time.monotonic() < end:  # the second part has begun
        children = psutil.Process(process.pid).children()
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    found = json.loads(out.read_text())
    assert set(found["parts"]) == {"device"}
    assert found["parts"]["device"]["peak_tflops_fp32"] > 0
    assert found["run"]["cores"] > 0
    _, alive = psutil.wait_procs(children, timeout=PATIENCE_S)
    assert alive == [], "the part ends with the script"


def test_what_is_absent_or_has_no_time_is_a_line(tmp_path: Path) -> None:
    out = tmp_path / "gpu.json"
    assert run("--parts", "device,train", "--minutes", "0.01", "--out", str(out)).wait() == 1
    parts = json.loads(out.read_text())["parts"]
    assert {part["not_run"] for part in parts.values()} == {"no time was left"}


def test_a_part_that_does_not_exist_is_refused(capfd: pytest.CaptureFixture[str]) -> None:
    assert run("--parts", "no such").wait() == 2
    assert "allowed: device, eager8" in capfd.readouterr().err
