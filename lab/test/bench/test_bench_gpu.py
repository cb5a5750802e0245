"""The mechanics of the script for a GPU, with parts of its own."""

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

SCRIPT = f"""
import os, sys, time
sys.path.insert(0, {str(Path(bench_gpu.__file__).parent)!r})
import bench_gpu
def first(args, save):
    save({{"half": 1}})
    save({{"whole": 2, "tiny": args.tiny}})
def hangs(args, save):
    save({{"half": 1}})
    time.sleep(300)
def crashes(args, save):
    os.abort()
parts = (first, hangs, crashes)
bench_gpu.PARTS = {{part.__name__: bench_gpu.Part(part, 60.0) for part in parts}}
sys.exit(bench_gpu.main())
"""


class Run:
    """The script with these parts, in a process of its own."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.out, script = folder / "gpu.json", folder / "script.py"
        script.write_text(SCRIPT)
        command = [sys.executable, str(script), "--device", "cpu", "--out", str(self.out), *options]
        self.process = subprocess.Popen(command)

    def parts(self) -> dict[str, dict[str, object]]:
        return dict(json.loads(self.out.read_text())["parts"])


def test_killed_between_two_parts_it_leaves_what_it_had(tmp_path: Path) -> None:
    run, end = Run(tmp_path, "--tiny", "--parts", "first,hangs"), time.monotonic() + PATIENCE_S
    children: list[psutil.Process] = []
    while not (run.out.exists() and children) and time.monotonic() < end:
        time.sleep(0.05)
        children = psutil.Process(run.process.pid).children()
    os.kill(run.process.pid, signal.SIGKILL)
    run.process.wait()
    found = run.parts()["first"]
    assert set(run.parts()) == {"first"}
    assert (found["whole"], found["tiny"]) == (2, True)
    assert psutil.wait_procs(children, timeout=PATIENCE_S)[1] == [], "they end with the script"


def test_a_hang_or_a_crash_loses_one_part(tmp_path: Path) -> None:
    run = Run(tmp_path, "--parts", "crashes,hangs,first", "--minutes", "0.3")
    assert run.process.wait() == 1
    parts = run.parts()
    assert parts["crashes"]["failed"]["exit_code"] == -signal.SIGABRT  # type: ignore[index]
    assert parts["hangs"]["half"] == 1
    assert "within" in str(parts["hangs"]["not_finished"])
    assert parts["first"]["not_run"] == "no time was left"


def test_a_part_that_does_not_exist_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["bench_gpu.py", "--parts", "no such"])
    with pytest.raises(SystemExit):
        bench_gpu.main()
    assert "allowed: device, eager8" in capsys.readouterr().err
