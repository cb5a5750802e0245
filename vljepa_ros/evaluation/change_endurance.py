"""Ten hours of one camera in seconds: heartbeats, threshold and a restart in mid-stream."""

from __future__ import annotations

from typing import Any

import numpy as np

from vljepa_ros.evaluation.change_eval import Progress
from vljepa_ros.perception.change.anchor_drift import AnchorDrift, AnchorDriftConfig
from vljepa_ros.perception.change.interface import HEARTBEAT, Change

__all__ = ["endure"]

HOURS, RATE, DIM = 10, 2.0, 256
HEARTBEAT_EVERY = 5.0  # seconds
CHANGE_EVERY = 600.0  # seconds
NOISE = 0.4  # of the norm of a state
RESTART = 0.5  # of the whole, in the middle between two changes


def endure(progress: Progress) -> dict[str, Any]:
    """Play ten hours with a change every ten minutes and a restart after five.

    missed_heartbeats: times that nothing was told for longer than the heartbeat and a sample.
    threshold_drift: median threshold of the last hour over that of the second, less 1.
    duplicates: changes told after the restart although there was none since. missed, extra:
    changes not told within 5 s, and told without one.
    """
    config = AnchorDriftConfig(heartbeat=HEARTBEAT_EVERY)
    count, every = int(HOURS * 3600 * RATE), int(CHANGE_EVERY * RATE)
    restart = int(RESTART * count) + every // 2
    rng = np.random.default_rng(0)
    detector = AnchorDrift(config)
    told: list[Change] = []
    limits = np.empty(count)
    state = np.zeros(DIM, np.float32)
    for index in range(count):
        if index % every == 0:
            progress("hours endured", index // int(3600 * RATE), HOURS)
            state = (rng.normal(size=DIM) / DIM**0.5).astype(np.float32)
        if index == restart:
            published, detector = detector.published, AnchorDrift(config)
            assert published is not None
            detector.restore(published)
        noise = rng.normal(size=DIM) * (NOISE / DIM**0.5)
        change = detector.observe(index / RATE, state + noise.astype(np.float32))
        if change is not None:
            told.append(change)
        limits[index] = detector.threshold
    progress("hours endured", HOURS, HOURS)
    stamps = np.array([change.stamp for change in told] + [count / RATE])
    changes = np.array([change.stamp for change in told if change.reason != HEARTBEAT])
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
