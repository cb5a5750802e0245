"""How much an embedding moves while nothing changes: the yardstick of the adaptive threshold.

Two medians are followed by steps of fixed size in the logarithm (stochastic approximation of a
quantile, Robbins and Monro 1951), which outliers of any size move equally little: that of the
drift, learned only while no change is suspected, and that of the distance between neighbouring
samples, always learned. The second bounds the first from both sides: events in quick succession
cannot pass for quiet, and a camera that becomes noisy cannot lock the first one out for good.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]

START = 0.05  # cosine distance, before anything is known
LEAST = 2e-3  # cosine distance below which no level falls, so that it can rise again within minutes
LAG = 0.2  # seconds between the neighbouring samples that are compared, at least
LONGEST_LAG = 2.0  # seconds; samples further apart are no neighbours
EARLY = 10.0  # seconds of fast learning at the start
EARLY_RATE, RATE = 0.3, 0.04  # logarithm per second
LOWER, UPPER = 0.2, 0.9  # the quiet drift lies between these shares of the neighbour distance
NEIGHBOUR_QUANTILE = 0.4  # below the median: clips in transition are not quiet
UNREST_TIME = 0.6  # seconds over which sudden unrest is averaged
UNREST_FROM = 1.5  # times the usual distance between neighbours


class QuietLevel:
    """Level of the drift in a stream in which nothing changes, as a cosine distance."""

    def __init__(self) -> None:
        self._drift = START
        self._neighbour = 1.2 * START
        self._recent = 0.0
        self._age = 0.0
        self._sample: Vector | None = None
        self._stamp = -math.inf

    @property
    def level(self) -> float:
        """Median drift while quiet."""
        return max(LOWER * self._neighbour, min(self._drift, UPPER * self._neighbour))

    @property
    def unrest(self) -> float:
        """At least 1: by how much neighbours differ more than usual (shake, compression)."""
        return max(1.0, self._recent / (UNREST_FROM * self._neighbour))

    def sample(self, stamp: float, sample: Vector, step: float) -> None:
        """Take a sample, [D] with L2 norm 1, `step` seconds after the one before it."""
        self._age += step
        lag = stamp - self._stamp
        if 0.0 <= lag < LAG:
            return
        if self._sample is not None and 0.0 <= lag <= LONGEST_LAG:
            distance = max(0.0, 1.0 - float(sample @ self._sample))
            up = distance > self._neighbour
            self._neighbour = _moved(
                self._neighbour, self._rate * lag * (NEIGHBOUR_QUANTILE - (0.0 if up else 1.0))
            )
            limited = min(distance, 4.0 * self._neighbour)
            self._recent += min(1.0, step / UNREST_TIME) * (limited - self._recent)
        self._sample, self._stamp = sample, stamp

    def quiet(self, drift: float, step: float) -> None:
        """Learn from the drift of a sample at which no change is suspected."""
        self._drift = _moved(
            self._drift, self._rate * step * (0.5 if drift > self._drift else -0.5)
        )

    @property
    def _rate(self) -> float:
        return 2.0 * (EARLY_RATE if self._age < EARLY else RATE)


def _moved(level: float, by: float) -> float:
    return max(LEAST, level * math.exp(by))
