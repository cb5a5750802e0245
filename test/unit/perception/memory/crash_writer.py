"""Writes numbered rows until it is killed; prints the number of each row that it handed over."""

from __future__ import annotations

import sys

from memory_rows import DIM, MODEL, row

from vljepa_ros.perception.memory.episodic import EpisodicMemory, MemorySettings

location, first, batch = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
memory = EpisodicMemory(
    MemorySettings(
        location, MODEL, DIM, batch_rows=batch, batch_seconds=0.05, upkeep_period=0.2
    )
)
for number in range(first, first + 1_000_000):
    if memory.status().pending >= batch:  # never more than one batch beyond the one in flight
        memory.flush()
    memory.remember(row(float(number), seed=number % 100))
    print(memory.status().written, flush=True)
