"""Maintains the store: deletes rows, compacts, builds the index, in a thread of its own."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.perception.memory.row import SAMPLE, one_line
from vljepa_ros.perception.memory.store import Filter, MemoryStore, MemoryStoreError

SIZE_TARGET = 0.9
"""Share of `max_bytes` to which the store is reduced, so that not every round deletes."""
CLOCK_TOLERANCE = 60_000_000_000
"""Allowed difference between the clocks of cameras and machine, nanoseconds."""


@dataclass(frozen=True)
class Retention:
    """How long rows are kept; 0: no limit.

    Attributes:
        max_age: seconds.
        max_sample_age: seconds, for samples only; segments stay.
        max_bytes: size on the local disk.
    """

    max_age: float = 0.0
    max_sample_age: float = 0.0
    max_bytes: int = 0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not 0 <= value < math.inf:
                raise ValueError(f"{name} is {value}, allowed: 0 (no limit) or above")


def forget(store: MemoryStore, retention: Retention) -> int:
    """Delete rows that are too old or too many; returns their number.

    Age is relative to the newest row of the same camera: cameras' clocks differ, and rows from last
    year or simulated time must not be deleted at once. A row from the future is not used for that,
    unless the camera has no others: a clock that was ahead for a while must not delete the rows
    before and after. The next `compact` frees the disk space.
    """
    before = store.count()
    cameras = [Filter(cameras=(camera,)) for camera in store.cameras()]
    newest = {camera: _newest(ends) for camera in cameras if (ends := store.ends(camera)).size}

    def forget_older(age: int, kind: str = "") -> None:
        for camera, end in newest.items():
            store.delete(replace(camera, kind=kind, ended_before=end - age))

    if retention.max_age > 0:
        forget_older(round(retention.max_age * 1e9))
    if retention.max_sample_age > 0:
        forget_older(round(retention.max_sample_age * 1e9), SAMPLE)
    if retention.max_bytes > 0:
        size = store.disk_bytes()
        if size > retention.max_bytes and newest:
            share = 1.0 - SIZE_TARGET * retention.max_bytes / size
            ages = [end - store.ends(camera) for camera, end in newest.items()]
            oldest = np.sort(np.concatenate(ages))[::-1]
            surplus = min(int(np.ceil(share * oldest.size)), oldest.size - 1)
            if surplus > 0:
                forget_older(int(oldest[surplus]))
    return before - store.count()


def _newest(ends: NDArray[np.int64]) -> int:
    present = ends[ends <= time.time_ns() + CLOCK_TOLERANCE]
    return int((present if present.size else ends).max())


def tidy(store: MemoryStore, retention: Retention, keep_versions: float = 300.0) -> int:
    """One round: merge small files, delete rows, build the index if it is worthwhile.

    Compaction comes first, so that space freed in the round before does not count as used.

    Args:
        store: an open store.
        retention: what is forgotten.
        keep_versions: seconds for which other processes may read an old version of the store.

    Returns:
        Number of deleted rows.
    """
    failed = None
    try:
        store.compact(keep_versions)
    except MemoryStoreError as error:  # a full disk has no room for it, which deletion makes
        failed = error
    forgotten = forget(store, retention)
    if failed is not None and not forgotten:
        raise failed
    if forgotten:
        store.compact(keep_versions)
    store.build_index()
    return forgotten


def compact_and_index(store: MemoryStore, keep_versions: float = 300.0) -> None:
    """Merge small files and build the index if it is worthwhile, without deleting rows."""
    store.compact(keep_versions)
    store.build_index()


class Upkeep:
    """Calls `work` every `period` seconds in its own thread.

    Exceptions are passed to `on_problem` (an empty text when it works again) and do not end it.

    Attributes:
        problem: Why the last round failed; empty if it did not.
    """

    def __init__(
        self,
        work: Callable[[], object],
        period: float,
        on_problem: Callable[[str], None] | None = None,
    ) -> None:
        self._work = work
        self._period = period
        self._on_problem = on_problem
        self.problem = ""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="memory-upkeep", daemon=True)
        self._thread.start()

    def close(self, timeout: float = 10.0) -> bool:
        """End the thread after the present round; False: it is still running."""
        self._stop.set()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stop.wait(self._period):
            try:
                self._work()
                now = ""
            except Exception as error:  # a disk may fail in any way; the next round may work
                now = one_line(error)
            before, self.problem = self.problem, now
            if now != before and self._on_problem is not None:
                self._on_problem(now)
