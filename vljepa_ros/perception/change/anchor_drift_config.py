"""Settings of anchor drift, and what its one knob means."""

from __future__ import annotations

import math
from dataclasses import dataclass

ONE_AN_HOUR = 2.7  # strictness at which a disturbed stream gives about one false alarm an hour
PER_LOG = 0.2  # how much of it a factor of e in false alarms is worth


def strictness(sensitivity: float) -> float:
    """Multiple of the quiet level at which `sensitivity` false alarms an hour are expected."""
    return ONE_AN_HOUR - PER_LOG * math.log(sensitivity)


@dataclass(frozen=True)
class AnchorDriftConfig:
    """Settings of the detector.

    threshold: cosine distance, 0..2, below which nothing is a change of meaning. release: 0..1,
    share of the threshold. smoothing: time constant, seconds. settle: seconds that a change must
    last; up to three times as long where it is barely above the limit. min_gap: seconds.
    lag: seconds taken off the onset. max_gap: seconds without a sample after which what was
    suspected is forgotten. sensitivity: expected false alarms per hour of a disturbed camera,
    0.001..1000; the one knob most users need. memory: seconds of quiet samples in the reference.
    clip: seconds a clip spans; the onset lies at most so far before the suspicion. slow: seconds,
    see the module. heartbeat: seconds without a publication after which the present state is told
    as a HEARTBEAT; 0: never.
    """

    threshold: float = 0.06
    release: float = 0.8
    smoothing: float = 0.3
    settle: float = 0.7
    min_gap: float = 1.0
    lag: float = 0.0
    max_gap: float = 5.0
    sensitivity: float = 1.0
    memory: float = 12.0
    clip: float = 1.5
    slow: float = 10.0
    heartbeat: float = 0.0

    def __post_init__(self) -> None:
        """Check the ranges.

        :raises ValueError: a setting is out of its range.
        """
        allowed = {
            "threshold": (0.0, 2.0),
            "release": (0.0, 1.0),
            "smoothing": (0.0, 3600.0),
            "settle": (0.0, 3600.0),
            "min_gap": (0.0, 3600.0),
            "lag": (0.0, 3600.0),
            "max_gap": (0.0, math.inf),
            "sensitivity": (1e-3, 1e3),
            "memory": (1.0, 3600.0),
            "clip": (0.0, 3600.0),
            "slow": (0.1, math.inf),
            "heartbeat": (0.0, math.inf),
        }
        for name, (low, high) in allowed.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} is {value}, allowed: {low} to {high}")
