"""Ten million samples through one detector: its state does not grow."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import psutil
import pytest

from vljepa_ros.perception.change.anchor_drift import AnchorDrift, AnchorDriftConfig

pytestmark = pytest.mark.timeout(0)

DIM, RATE_HZ = 1536, 4.0
CHANGE_EVERY, LAP = 80, 4000  # samples; a lap is drawn once and played again and again


def noisy_stream() -> np.ndarray:
    """[LAP, DIM]: another direction every 20 s, with noise of half its norm."""
    rng = np.random.default_rng(0)
    states = rng.normal(size=(LAP // CHANGE_EVERY, DIM)) / DIM**0.5
    noise = 0.5 * rng.normal(size=(LAP, DIM)) / DIM**0.5
    return (np.repeat(states, CHANGE_EVERY, axis=0) + noise).astype(np.float32)


def test_the_default_detector_does_not_grow(
    request: pytest.FixtureRequest, keep: Callable[[dict[str, Any]], None]
) -> None:
    stream, detector, process = noisy_stream(), AnchorDrift(AnchorDriftConfig()), psutil.Process()
    laps = max(2, -(-request.config.getoption("--samples") // LAP))
    state_bytes, process_bytes = [], []
    for lap in range(laps):
        for index, sample in enumerate(stream):
            detector.observe((lap * LAP + index) / RATE_HZ, sample)
        if lap in (0, laps - 1):
            state_bytes.append(len(pickle.dumps(detector)))
            process_bytes.append(process.memory_info().rss)
    keep(
        {
            "samples": laps * LAP,
            "state_bytes": state_bytes[1],
            "state_grown_bytes": state_bytes[1] - state_bytes[0],
            "process_grown_bytes": process_bytes[1] - process_bytes[0],
        }
    )
    assert state_bytes[1] == state_bytes[0]
