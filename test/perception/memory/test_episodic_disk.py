"""A disk that fills up or turns read-only under a running memory: a real small one, mounted in a
namespace of its own (where the system allows it), and what frees it again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from memory_rows import ENVIRONMENT

NAMESPACE = ["unshare", "--user", "--map-root-user", "--mount"]
PATIENCE = 120.0

PRELUDE = """
import json, os, pathlib, subprocess, sys, time
import numpy as np
from memory_rows import DIM, MODEL, row, vector
from vljepa_ros.models.config import Calibration
from vljepa_ros.perception.memory.episodic import EpisodicMemory, MemorySettings
from vljepa_ros.perception.memory.search import MomentQuery
from vljepa_ros.perception.memory.store import open_store

disk = pathlib.Path(sys.argv[1])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)], check=True)
problems = []
settings = MemorySettings(str(disk / "memory"), MODEL, DIM, batch_rows=8, batch_seconds=0.05)
memory = EpisodicMemory(settings, problems.append)
rng = np.random.default_rng(0)

def until(condition):
    end = time.monotonic() + 60.0
    while not condition():
        assert time.monotonic() < end, memory.status()
        time.sleep(0.01)

def see(seconds, size=4000):
    for second in seconds:
        assert memory.remember(row(float(second), thumbnail=rng.bytes(size))) is None

def found():
    return len(memory.find(MomentQuery("x"), vector(3), Calibration()))

for first in range(0, 40, 10):  # four commits, however busy the machine: something to compact
    see(range(first, first + 10))
    assert memory.flush(60.0)
"""

FULL = """
with open(disk / "ballast", "wb", buffering=0) as ballast:  # takes what is left
    try:
        while True:
            ballast.write(bytes(4096))
    except OSError:
        pass
see(range(40, 60))
until(lambda: memory.status().problem)
problem = memory.status().problem
still = found()
files = sum(1 for _ in disk.rglob("*.lance"))
for _ in range(5):
    memory.flush(60.0)
left_behind = sum(1 for _ in disk.rglob("*.lance")) - files
(disk / "ballast").unlink()
assert memory.flush(60.0)
assert memory.close(60.0)
print(json.dumps({
    "problem": problem,
    "found": still,
    "left_behind": left_behind,
    "rows": open_store(disk / "memory").count(),
    "dropped": memory.status().dropped,
    "problems": problems,
}))
"""

READ_ONLY = """
remount = ["mount", "-o"]
subprocess.run([*remount, "remount,ro", str(disk)], check=True)
see(range(40, 50))
until(lambda: memory.status().problem)
problem = memory.status().problem
still = found()
try:
    memory.tidy()
    tidied = ""
except Exception as error:
    tidied = str(error)
subprocess.run([*remount, "remount,rw", str(disk)], check=True)
assert memory.flush(60.0)
memory.tidy()
assert memory.close(60.0)
print(json.dumps({
    "problem": problem,
    "found": still,
    "tidied": tidied,
    "rows": open_store(disk / "memory").count(),
    "problems": problems,
}))
"""


def on_a_small_disk(place: Path, script: str) -> dict[str, Any]:
    """Run a script whose only disk is a tmpfs of 4 MB; skip where that cannot be mounted."""
    mount = ["sh", "-c", 'mount -t tmpfs -o size=4m tmpfs "$0"', str(place)]
    try:
        allowed = subprocess.run([*NAMESPACE, *mount], capture_output=True, timeout=PATIENCE)
    except FileNotFoundError:
        pytest.skip("no unshare here")
    if allowed.returncode != 0:
        pytest.skip("no mount namespaces here")
    done = subprocess.run(
        [*NAMESPACE, sys.executable, "-c", PRELUDE + script, str(place)],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env=ENVIRONMENT,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return dict(json.loads(done.stdout))


def test_full_disk_is_reported_and_nothing_is_lost_when_there_is_room_again(tmp_path: Path) -> None:
    result = on_a_small_disk(tmp_path, FULL)
    assert "cannot write to the memory" in result["problem"]
    assert result["found"] > 0
    assert result["left_behind"] == 0
    assert result["rows"] == 60
    assert result["dropped"] == 0
    assert result["problems"][-1] == ""


def test_read_only_disk_is_reported_and_can_still_be_searched(tmp_path: Path) -> None:
    result = on_a_small_disk(tmp_path, READ_ONLY)
    assert "cannot write to the memory" in result["problem"]
    assert "Read-only file system" in result["problem"]
    assert "cannot compact the memory" in result["tidied"]
    assert result["found"] > 0
    assert result["rows"] == 50
    assert result["problems"][-1] == ""
