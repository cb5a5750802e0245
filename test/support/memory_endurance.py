"""What wears a memory out: a writing process that is killed, and days of writing in minutes.

`python memory_endurance.py FOLDER FIRST BATCH` is the process that is killed.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from vljepa_lab.bench.memory import MODEL as SOAK_MODEL
from vljepa_lab.bench.memory import made_row, robot_queries, robot_vectors
from vljepa_lab.bench.samples import drift_per_minute, note, quantiles, resident_mib
from vljepa_ros.models.config import Calibration
from vljepa_ros.perception.memory.episodic import EpisodicMemory, MemorySettings
from vljepa_ros.perception.memory.row import SAMPLE, Row
from vljepa_ros.perception.memory.search import MomentQuery
from vljepa_ros.perception.memory.store import MemoryMissingError, open_store
from vljepa_ros.perception.memory.upkeep import Retention

CRASH_DIM, CRASH_MODEL = 64, "crash-test"
MILLISECOND = 1_000_000
SOAK_DIM = 256
RATE = 500.0  # rows a second; a robot makes one to ten
KEPT = 30_000  # rows that retention keeps: enough for an index
ROUNDS = 60  # of upkeep in a soak
WARM_UP = 0.4  # share of the time in which the store and the caches fill up; not measured
THUMBNAIL = 1000  # bytes


def kill_test(folder: Path, kills: int, *, batch: int = 32, seed: int = 0) -> dict[str, Any]:
    """Kill a writer with SIGKILL, 0 to 1 s after its first row; look at the store each time.

    Returns:
        kills, opened (how often the store opened), rows, rows_handed_over, largest_loss (rows
        handed over and not found after one kill), batch, holes (rows missing before a later one:
        a batch that was not written whole).

    Raises:
        RuntimeError: The writer ended by itself.
    """
    rng = np.random.default_rng(seed)
    opened = holes = largest = handed_over = 0
    found = 0
    open_store(folder, CRASH_MODEL, CRASH_DIM, create=True)
    for kill in range(kills):
        first = (kill + 1) * 10_000_000
        handed = _killed_writer(folder, first, batch, float(rng.uniform(0.0, 1.0)))
        stamps = open_store(folder, CRASH_MODEL, CRASH_DIM).ends() // MILLISECOND
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
        folder, CRASH_MODEL, CRASH_DIM, batch_rows=batch, batch_seconds=0.02, upkeep_period=0.2
    )
    memory = EpisodicMemory(settings)
    vectors = np.random.default_rng(0).standard_normal((100, CRASH_DIM)).astype(np.float32)
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
    command = [sys.executable, __file__, str(folder), str(first), str(batch)]
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


def soak(folder: Path, seconds: float) -> dict[str, Any]:
    """Write 500 rows a second with thumbnails, ask once a second, tidy 60 times.

    Days of writing, forgetting, upkeep and queries in minutes: does the process grow?

    Returns:
        Resident memory after the warm-up and at the end, its slope, what the process has written
        to the disk, what a stream of 10 rows a second would cost, and the queries.
    """
    span = KEPT / 2.0 * 1e9  # rows are half a second apart
    settings = MemorySettings(
        str(folder),
        SOAK_MODEL,
        SOAK_DIM,
        batch_seconds=1.0,
        max_pending=100_000,
        upkeep_period=seconds / ROUNDS,
        retention=Retention(max_age=span / 1e9),
    )
    problems: list[str] = []
    memory = EpisodicMemory(settings, problems.append)
    block, meanings = robot_vectors(20_000, SOAK_DIM)
    vectors = block(0, 20_000)
    asked = robot_queries(meanings, 100)
    noise = np.random.default_rng(0).bytes(THUMBNAIL + 1000)
    times: list[float] = []
    resident: list[float] = []
    taken: list[float] = []
    rows = 0
    begin = time.monotonic()
    used = written = first = 0.0
    while (now := time.monotonic() - begin) < seconds:
        while rows < now * RATE:
            image = noise[rows % 1000 :][:THUMBNAIL]
            memory.remember(made_row(rows, vectors[rows % len(vectors)], thumbnail=image))
            rows += 1
        if now >= len(times):
            times.append(now)
            resident.append(resident_mib())
            if len(times) % 30 == 0:
                note(f"{now:.0f} s, {rows} rows, {resident[-1]:.0f} MiB")
            if now >= WARM_UP * seconds:
                if not first:
                    used, written, first = time.process_time(), written_bytes(), rows
                taken.append(_ask(memory, asked[len(times) % len(asked)]))
        time.sleep(0.01)
    used, written, first = time.process_time() - used, written_bytes() - written, rows - first
    kept = memory.status()
    closed = memory.close(120.0)
    measured = [i for i, at in enumerate(times) if at >= WARM_UP * seconds]
    growth = drift_per_minute([times[i] for i in measured], [resident[i] for i in measured])
    return {
        "seconds": round(seconds),
        "rows": rows,
        "robot_hours_at_1_row_a_second": round(rows / 3600, 1),
        "resident_mib": [round(resident[i], 1) for i in (measured[0], measured[-1])],
        "resident_mib_max": round(max(resident), 1),
        "growth_mib_per_minute": round(growth, 3),
        "growth_mib_per_100000_rows": round(growth / (60.0 * RATE) * 100_000, 2),
        "bytes_written_per_row": round(written / max(first, 1)),
        "bytes_of_a_row": 2 * SOAK_DIM + THUMBNAIL,
        "share_of_a_core_at_10_rows_per_second": round(10.0 * used / max(first, 1), 4),
        "find_ms": quantiles(taken, 2),
        "dropped": kept.dropped,
        "closed": closed,
        "problems": problems,
    }


def _ask(memory: EpisodicMemory, vector: Any) -> float:
    begin = time.perf_counter()
    try:
        memory.find(MomentQuery("x"), vector, Calibration())
    except MemoryMissingError:
        return 0.0
    return 1000.0 * (time.perf_counter() - begin)


def written_bytes() -> float:
    """Bytes that this process has sent towards the disk, 0 where the system does not tell."""
    try:
        return float(psutil.Process().io_counters().write_bytes)
    except (AttributeError, psutil.Error, OSError):
        return 0.0


if __name__ == "__main__":
    write_until_killed(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
