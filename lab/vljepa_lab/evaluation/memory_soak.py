"""Soak of the memory: days of writing, forgetting, upkeep and queries in minutes; does it grow?"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from vljepa_lab.evaluation.bench_memory import MODEL, made_row, robot_queries, robot_vectors
from vljepa_lab.evaluation.timing import drift_per_minute, quantiles
from vljepa_ros.cli.package_process import resident_mib
from vljepa_ros.models.config import Calibration
from vljepa_ros.perception.memory.episodic import EpisodicMemory, MemorySettings
from vljepa_ros.perception.memory.failure import MemoryMissingError
from vljepa_ros.perception.memory.retention import Retention
from vljepa_ros.perception.memory.search import MomentQuery

DIM = 256
RATE = 500.0
"""Rows a second; a robot makes one to ten."""
KEPT = 30_000
"""Rows that retention keeps: enough for an index."""
ROUNDS = 60
"""Rounds of upkeep in a soak."""
WARM_UP = 0.4
"""Share of the time in which the store and the caches fill up; not measured."""
THUMBNAIL = 1000


def soak(folder: Path, seconds: float, note: Callable[[str], None]) -> dict[str, Any]:
    """Write 500 rows a second with thumbnails, ask once a second, tidy 60 times.

    :return: resident memory after the warm-up and at the end, its slope, what the process has
        written to the disk, what a stream of 10 rows a second would cost, and the queries.
    """
    span = KEPT / 2.0 * 1e9  # rows are half a second apart
    settings = MemorySettings(
        str(folder),
        MODEL,
        DIM,
        batch_seconds=1.0,
        max_pending=100_000,
        upkeep_period=seconds / ROUNDS,
        retention=Retention(max_age=span / 1e9),
    )
    problems: list[str] = []
    memory = EpisodicMemory(settings, problems.append)
    block, meanings = robot_vectors(20_000, DIM)
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
            resident.append(resident_mib(os.getpid()) or 0.0)
            if len(times) % 30 == 0:
                note(f"{now:.0f} s, {rows} rows, {resident[-1]:.0f} MiB")
            if now >= WARM_UP * seconds:
                if not first:
                    used, written, first = time.process_time(), _written(), rows
                taken.append(_ask(memory, asked[len(times) % len(asked)]))
        time.sleep(0.01)
    used, written, first = time.process_time() - used, _written() - written, rows - first
    kept = memory.status()
    closed = memory.close(120.0)
    measured = [i for i, at in enumerate(times) if at >= WARM_UP * seconds]
    return {
        "seconds": round(seconds),
        "rows": rows,
        "robot_hours_at_1_row_a_second": round(rows / 3600, 1),
        "resident_mib": [round(resident[i], 1) for i in (measured[0], measured[-1])],
        "resident_mib_max": round(max(resident), 1),
        "growth_mib_per_minute": round(
            drift_per_minute([times[i] for i in measured], [resident[i] for i in measured]), 3
        ),
        "growth_mib_per_100000_rows": round(
            drift_per_minute([times[i] for i in measured], [resident[i] for i in measured])
            / (60.0 * RATE)
            * 100_000,
            2,
        ),
        "bytes_written_per_row": round(written / max(first, 1)),
        "bytes_of_a_row": 2 * DIM + THUMBNAIL,
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


def _written() -> float:
    """Bytes that this process has sent towards the disk, 0 where the system does not tell."""
    try:
        text = Path("/proc/self/io").read_text(encoding="ascii")
    except OSError:
        return 0.0
    lines = dict(line.split(": ") for line in text.splitlines())
    return float(lines.get("write_bytes", 0))
