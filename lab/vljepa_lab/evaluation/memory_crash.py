"""Kill test of the memory: a writing process is killed with SIGKILL, the store must survive it.

`python -m vljepa_lab.evaluation.memory_crash FOLDER FIRST BATCH` is the process that is killed.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from vljepa_ros.perception.memory.episodic import EpisodicMemory, MemorySettings
from vljepa_ros.perception.memory.row import SAMPLE, Row
from vljepa_ros.perception.memory.store import open_store

DIM = 64
MODEL = "crash-test"
MILLISECOND = 1_000_000


def kill_test(folder: Path, kills: int, *, batch: int = 32, seed: int = 0) -> dict[str, Any]:
    """Kill a writer `kills` times, at moments 0 to 1 s after its first row; look at the store each
    time.

    :return: kills, opened (how often the store opened), rows, rows_handed_over, largest_loss (rows
        handed over and not found after one kill), batch, holes (rows missing before a later one:
        a batch that was not written whole).
    :raises RuntimeError: the writer ended by itself.
    """
    rng = np.random.default_rng(seed)
    opened = holes = largest = handed_over = 0
    found = 0
    open_store(folder, MODEL, DIM, create=True)
    for kill in range(kills):
        first = (kill + 1) * 10_000_000
        handed = _killed_writer(folder, first, batch, float(rng.uniform(0.0, 1.0)))
        stamps = open_store(folder, MODEL, DIM).ends() // MILLISECOND
        opened += 1
        mine = np.sort(stamps[stamps >= first])
        holes += int(np.any(mine != first + np.arange(mine.size)))
        largest = max(largest, handed - mine.size)
        handed_over += handed
        if stamps.size < found:
            holes += 1  # what an earlier run wrote is gone
        found = int(stamps.size)
    return {
        "kills": kills,
        "opened": opened,
        "rows": found,
        "rows_handed_over": handed_over,
        "largest_loss": largest,
        "batch": batch,
        "holes": holes,
    }


def write_until_killed(folder: str, first: int, batch: int) -> None:
    """Write numbered rows (the number is the stamp in ms) and print each number handed over.

    Upkeep runs five times a second, so that kills hit compaction too.
    """
    settings = MemorySettings(
        folder, MODEL, DIM, batch_rows=batch, batch_seconds=0.02, upkeep_period=0.2
    )
    memory = EpisodicMemory(settings)
    vectors = np.random.default_rng(0).standard_normal((100, DIM)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    number = first
    while True:
        if memory.status().pending >= batch:  # what is in flight is a part of the one batch
            time.sleep(0.001)
            continue
        stamp = number * MILLISECOND
        memory.remember(Row(SAMPLE, "front", stamp, stamp, stamp, vectors[number % 100]))
        print(number, flush=True)
        number += 1


def _killed_writer(folder: Path, first: int, batch: int, delay: float) -> int:
    """Kill a writer `delay` seconds after its first batch; returns the rows handed over."""
    command = [sys.executable, "-m", __spec__.name, str(folder), str(first), str(batch)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert child.stdout is not None
        # It waits for the first batch to be on the disk before it hands over one more row.
        begun = b"".join(child.stdout.readline() for _ in range(batch + 1))
        time.sleep(delay)
    finally:
        child.kill()
        output, errors = child.communicate()
    numbers = (begun + output).split(b"\n")[:-1]
    if not numbers or child.returncode != -9:
        raise RuntimeError(f"the writer ended by itself: {errors.decode()[-500:]}")
    return int(numbers[-1]) - first + 1


if __name__ == "__main__":
    write_until_killed(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
