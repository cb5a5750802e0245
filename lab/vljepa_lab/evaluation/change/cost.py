"""What a detector costs: time for each sample."""

from __future__ import annotations

import statistics
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vljepa_lab.evaluation.change.detectors import DEFAULT, DETECTORS
from vljepa_lab.evaluation.change.embedding import Progress

DIM = 1536
RATE_HZ = 4.0
CHANGE_EVERY = 80  # samples
SAMPLES = 4000
PIECE = 200  # samples timed together


def observe_cost(progress: Progress) -> dict[str, Any]:
    """Microseconds for each `observe` at 1536-d.

    observe_us: median, observe_us_p99: of pieces of 200 samples, changes included, in the time of
    this process. control_us: one dot product and one scaling of such a vector, in the same run.
    others_us: medians of the other detectors.
    """
    stream = _stream()
    times = {}
    for number, (name, kind) in enumerate(DETECTORS.items()):
        progress("detectors timed", number, len(DETECTORS))
        times[name] = _times(kind.make(kind.default, None), stream)
    own = times.pop(DEFAULT)
    return {
        "dim": DIM,
        "observe_us": statistics.median(own),
        "observe_us_p99": float(np.quantile(own, 0.99)),
        "control_us": _control(stream),
        "others_us": {name: statistics.median(each) for name, each in times.items()},
    }


def _stream() -> NDArray[np.float32]:
    """[SAMPLES, DIM]: another direction every 20 s, with noise of half its norm."""
    rng = np.random.default_rng(0)
    states = rng.normal(size=(SAMPLES // CHANGE_EVERY, DIM)) / DIM**0.5
    noise = 0.5 * rng.normal(size=(SAMPLES, DIM)) / DIM**0.5
    return (np.repeat(states, CHANGE_EVERY, axis=0) + noise).astype(np.float32)


def _times(detector: Any, stream: NDArray[np.float32]) -> list[float]:
    """Microseconds for each sample, of each piece but the first ones."""
    times = []
    for start in range(0, SAMPLES, PIECE):
        begun = time.process_time()
        for index in range(start, start + PIECE):
            detector.observe(index / RATE_HZ, stream[index])
        times.append((time.process_time() - begun) / PIECE * 1e6)
    return times[2:]


def _control(stream: NDArray[np.float32]) -> float:
    begun = time.process_time()
    for vector in stream:
        vector * np.float32(1.0 / float(vector @ vector) ** 0.5)
    return (time.process_time() - begun) / SAMPLES * 1e6
