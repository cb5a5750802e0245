"""Ten hours of one camera in seconds: heartbeats, threshold and a restart in mid-stream."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vljepa_lab.evaluation.change.spread import Progress
from vljepa_ros.engines.protocol import Generated
from vljepa_ros.perception.change.anchor_drift import AnchorDrift
from vljepa_ros.perception.change.anchor_drift_config import AnchorDriftConfig
from vljepa_ros.perception.narrator import Narration, Narrator

HOURS, RATE, DIM = 10, 2.0, 256
HEARTBEAT_EVERY = 5.0  # seconds
CHANGE_EVERY = 600.0  # seconds
NOISE = 0.4  # of the norm of a state
RESTART = 0.5  # of the whole, in the middle between two changes


def endure(progress: Progress) -> dict[str, Any]:
    """Play ten hours with a change every ten minutes and a restart after five hours.

    missed_heartbeats: times that nothing was told for longer than the heartbeat and a sample.
    threshold_drift: median threshold of the last hour over that of the second, less 1.
    duplicates: events told after the restart although nothing had changed since. missed, extra:
    changes without an event within 5 s, and events without one.
    """
    count, every = int(HOURS * 3600 * RATE), int(CHANGE_EVERY * RATE)
    restart = int(RESTART * count) + every // 2
    rng = np.random.default_rng(0)
    states = (rng.normal(size=(count // every, DIM)) / DIM**0.5).astype(np.float32)
    narrator = _narrator(states)
    told: list[Narration] = []
    limits = np.empty(count)
    for index in range(count):
        if index % every == 0:
            progress("hours endured", index // int(3600 * RATE), HOURS)
        if index == restart:
            last, narrator = narrator.last, _narrator(states)
            assert last is not None
            narrator.restore(last)
        noise = rng.normal(size=DIM) * (NOISE / DIM**0.5)
        state = states[index // every] + noise.astype(np.float32)
        narration = narrator.observe(index / RATE, state)
        if narration is not None:
            told.append(narration)
        limits[index] = narrator.detector.threshold
    progress("hours endured", HOURS, HOURS)
    stamps = np.array([narration.stamp for narration in told] + [count / RATE])
    changes = np.array([narration.stamp for narration in told if narration.news])
    truth = np.arange(0.0, count / RATE, CHANGE_EVERY)
    found = [bool(((changes >= at) & (changes <= at + 5.0)).any()) for at in truth]
    again = (changes >= restart / RATE) & (
        changes < (restart / RATE // CHANGE_EVERY + 1) * CHANGE_EVERY
    )
    hour = int(3600 * RATE)
    return {
        "hours": HOURS,
        "missed_heartbeats": int((np.diff(stamps) > HEARTBEAT_EVERY + 1.0 / RATE + 1e-6).sum()),
        "threshold_drift": float(
            np.median(limits[-hour:]) / np.median(limits[hour : 2 * hour]) - 1
        ),
        "duplicates": int(again.sum()),
        "missed": int(len(found) - sum(found)),
        "extra": int(changes.size - sum(found)),
    }


def _narrator(states: NDArray[np.float32]) -> Narrator:
    """As the decoder node has it, but for the Y-Decoder: the text is the number of the state."""

    def generate(vectors: NDArray[np.float32]) -> list[Generated]:
        nearest = (vectors @ states.T).argmax(axis=1)
        return [Generated(f"state {number}", 1.0, True) for number in nearest]

    return Narrator(AnchorDrift(AnchorDriftConfig()), generate, heartbeat=HEARTBEAT_EVERY)
