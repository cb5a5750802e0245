"""Ten hours of one camera in seconds: heartbeats, threshold and a restart in mid-stream."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vljepa_lab.evaluation.change.spread import Progress
from vljepa_ros.engines.protocol import Generated
from vljepa_ros.perception.change.anchor_drift import AnchorDrift, AnchorDriftConfig
from vljepa_ros.perception.selective_decoder import SceneUpdate, SelectiveDecoder

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
    decoder = _decoder(states)
    told: list[SceneUpdate] = []
    limits = np.empty(count)
    for index in range(count):
        if index % every == 0:
            progress("hours endured", index // int(3600 * RATE), HOURS)
        if index == restart:
            last, decoder = decoder.last, _decoder(states)
            assert last is not None
            decoder.restore(last)
        noise = rng.normal(size=DIM) * (NOISE / DIM**0.5)
        state = states[index // every] + noise.astype(np.float32)
        update = decoder.observe(index / RATE, state)
        if update is not None:
            told.append(update)
        limits[index] = decoder.detector.threshold
    progress("hours endured", HOURS, HOURS)
    stamps = np.array([update.stamp for update in told] + [count / RATE])
    changes = np.array([update.stamp for update in told if update.is_event])
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


def _decoder(states: NDArray[np.float32]) -> SelectiveDecoder:
    """As the decoder node has it, but for the Y-Decoder: the text is the number of the state."""

    def generate(vectors: NDArray[np.float32]) -> list[Generated]:
        nearest = (vectors @ states.T).argmax(axis=1)
        return [Generated(f"state {number}", 1.0, True) for number in nearest]

    return SelectiveDecoder(AnchorDrift(AnchorDriftConfig()), generate, heartbeat=HEARTBEAT_EVERY)
