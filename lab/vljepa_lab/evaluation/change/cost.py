"""What a detector costs: time for each sample, and whether it grows over many."""

from __future__ import annotations

import gc
import os
import pickle
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vljepa_lab.evaluation.change.detectors import DEFAULT, DETECTORS
from vljepa_lab.evaluation.change.spread import Progress

DIM = 1536
RATE = 4.0  # samples a second
EVERY = 80  # samples from one change to the next
LAP = 4000  # samples that are drawn, and played again and again
PIECE = 200  # samples timed together


def times(progress: Progress) -> dict[str, Any]:
    """Microseconds for each `observe` at 1536-d.

    observe_us: median, observe_us_p99: of pieces of 200 samples, changes included, in the time of
    this process. control_us: one dot product and one scaling of such a vector, in the same run.
    others_us: medians of the other detectors.
    """
    stream = _stream()
    found = {}
    for number, (name, kind) in enumerate(DETECTORS.items()):
        progress("detectors timed", number, len(DETECTORS))
        found[name] = _times(kind.make(kind.default, None), stream)
    own = found.pop(DEFAULT)
    return {
        "dim": DIM,
        "observe_us": statistics.median(own),
        "observe_us_p99": float(np.quantile(own, 0.99)),
        "control_us": _control(stream),
        "others_us": {name: statistics.median(times) for name, times in found.items()},
    }


def growth(samples: int) -> dict[str, Any]:
    """Bytes that the default holds after many samples of 1536-d.

    state_bytes: of the detector, pickled, after `samples`; state_grown_bytes, process_grown_bytes:
    how much more than after the first lap.
    """
    stream = _stream()
    kind = DETECTORS[DEFAULT]
    detector = kind.make(kind.default, None)
    laps = max(2, -(-samples // LAP))
    sizes: list[int] = []
    for lap in range(laps):
        for index, sample in enumerate(stream):
            detector.observe((lap * LAP + index) / RATE, sample)
        if lap in (0, laps - 1):
            gc.collect()
            sizes.append(len(pickle.dumps(detector)))
            sizes.append(_resident())
    return {
        "samples": laps * LAP,
        "state_bytes": sizes[2],
        "state_grown_bytes": sizes[2] - sizes[0],
        "process_grown_bytes": sizes[3] - sizes[1],
    }


def _stream() -> NDArray[np.float32]:
    """[LAP, DIM]: another direction every 20 s, with noise of half its norm."""
    rng = np.random.default_rng(0)
    states = rng.normal(size=(LAP // EVERY, DIM)) / DIM**0.5
    noise = 0.5 * rng.normal(size=(LAP, DIM)) / DIM**0.5
    return (np.repeat(states, EVERY, axis=0) + noise).astype(np.float32)


def _times(detector: Any, stream: NDArray[np.float32]) -> list[float]:
    """Microseconds for each sample, of each piece but the first ones."""
    times = []
    for start in range(0, LAP, PIECE):
        begun = time.process_time()
        for index in range(start, start + PIECE):
            detector.observe(index / RATE, stream[index])
        times.append((time.process_time() - begun) / PIECE * 1e6)
    return times[2:]


def _control(stream: NDArray[np.float32]) -> float:
    begun = time.process_time()
    for vector in stream:
        vector * np.float32(1.0 / float(vector @ vector) ** 0.5)
    return (time.process_time() - begun) / LAP * 1e6


def _resident() -> int:
    """Bytes of this process in memory; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
