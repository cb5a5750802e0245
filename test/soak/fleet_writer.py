"""Writes into the memory of a fleet until it is killed: `fleet_writer.py NAME LOCATION FIRST`.

It prints each number whose row has been acknowledged: written, says `flush`.
"""

from __future__ import annotations

import sys
import time

import numpy as np

from vljepa_ros.perception.memory.episodic import EpisodicMemory, MemorySettings
from vljepa_ros.perception.memory.row import SAMPLE, Row

DIM, MODEL, BATCH = 64, "fleet-test", 16
PACE_S, UPKEEP_S = 1.0, 20.0  # a round reads every version of the last five minutes: a store that
# is written without a pause, and kept up every two seconds, occupied a local server's whole core
MILLISECOND = 1_000_000


def main() -> None:
    """Write numbered rows: the number is the stamp in milliseconds."""
    name, location, first = sys.argv[1], sys.argv[2], int(sys.argv[3])
    problems: list[str] = []
    settings = MemorySettings(location, MODEL, DIM, batch_rows=BATCH, upkeep_period=UPKEEP_S)
    memory = EpisodicMemory(settings, problems.append)
    vectors = np.random.default_rng(0).standard_normal((100, DIM)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    number = first
    while True:
        for _ in range(BATCH):
            stamp = number * MILLISECOND
            memory.remember(Row(SAMPLE, name, stamp, stamp, stamp, vectors[number % 100]))
            number += 1
        if memory.flush(60.0):
            print(f"acknowledged {number}", flush=True)
            time.sleep(PACE_S)
        else:
            print(f"trouble {problems[-1] if problems else 'late'}"[:300], flush=True)
            time.sleep(0.5)


if __name__ == "__main__":
    main()
