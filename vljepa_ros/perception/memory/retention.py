"""What the memory forgets: by age and by size on the disk."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vljepa_ros.perception.memory.row import SAMPLE
from vljepa_ros.perception.memory.store import MemoryStore

SIZE_TARGET = 0.9
"""Shrink to this share of `max_bytes`, so that not every round deletes."""


@dataclass(frozen=True)
class Retention:
    """How long rows are kept; 0: no limit.

    max_age: seconds. max_sample_age: seconds, for samples only: the segments around them stay.
    max_bytes: size on the local disk.
    """

    max_age: float = 0.0
    max_sample_age: float = 0.0
    max_bytes: int = 0

    def __post_init__(self) -> None:
        for name in ("max_age", "max_sample_age", "max_bytes"):
            value = getattr(self, name)
            if not value >= 0:
                raise ValueError(f"{name} is {value}, allowed: 0 (no limit) or above")


def forget(store: MemoryStore, retention: Retention) -> int:
    """Delete what is too old or too much; returns the number of rows deleted.

    Age is counted from the newest row, not from the clock of the machine: a bag from last year, or
    simulated time, must not be forgotten at once. The disk space of deleted rows comes back with
    the next `compact`.
    """
    before = store.count()
    if before == 0:
        return 0
    ends = store.ends()
    newest = int(ends.max())
    if retention.max_age > 0:
        store.delete_ended_before(newest - round(retention.max_age * 1e9))
    if retention.max_sample_age > 0:
        store.delete_ended_before(newest - round(retention.max_sample_age * 1e9), SAMPLE)
    if retention.max_bytes > 0:
        size = store.disk_bytes()
        if size > retention.max_bytes:
            share = 1.0 - SIZE_TARGET * retention.max_bytes / size
            ends = store.ends()
            surplus = min(int(np.ceil(share * ends.size)), ends.size - 1)
            if surplus > 0:
                store.delete_ended_before(int(np.partition(ends, surplus)[surplus]))
    return before - store.count()
