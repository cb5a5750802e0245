"""The noise floor: how much an embedding moves while nothing changes, for the threshold.

Two quantiles are tracked by steps of fixed size in the logarithm (stochastic approximation,
Robbins and Monro 1951), which outliers of any size move equally little: the median of the drift,
learned only while no change is suspected, and a quantile of the distance between neighbouring
samples, always learned. The second bounds the first from both sides: events in quick succession
are not mistaken for quiet, and a camera that becomes noisy cannot stop the first from learning.
"""

from __future__ import annotations

import math

from vljepa_ros.perception.change.detector import Vector

INITIAL_DRIFT = 0.05  # cosine distance, before anything is known
MIN_LEVEL = 2e-3  # cosine distance; a lower level could not rise again within minutes
NEIGHBOUR_STEP_S = 0.2, 2.0  # neighbours that are compared lie so far apart, at least and at most
EARLY_S = 10.0  # the first seconds of a stream, in which levels move at the first of the rates
RATES = 0.6, 0.08  # logarithm per second, early and later
DRIFT_BOUNDS = 0.2, 0.9  # the quiet drift lies between these shares of the neighbour distance
NEIGHBOUR_QUANTILE = 0.4  # below the median: clips in transition are not quiet
BURST_S = 0.6  # seconds over which the neighbour distance is averaged to notice sudden noise
BURST_FACTOR = 1.5  # times the usual neighbour distance: above it the noise is a burst


class NoiseFloor:
    """The noise floor of one stream, as a cosine distance."""

    def __init__(self) -> None:
        self._drift = INITIAL_DRIFT
        self._neighbour = 1.2 * INITIAL_DRIFT
        self._recent = 0.0
        self._age = 0.0
        self._sample: Vector | None = None
        self._stamp = -math.inf

    @property
    def level(self) -> float:
        """Median drift while quiet."""
        low, high = DRIFT_BOUNDS
        return max(low * self._neighbour, min(self._drift, high * self._neighbour))

    @property
    def noise_burst(self) -> float:
        """Factor, at least 1, by which neighbours differ more than usual (shake, compression)."""
        return max(1.0, self._recent / (BURST_FACTOR * self._neighbour))

    def observe(self, stamp: float, sample: Vector, step: float) -> None:
        """Take a sample, [D] with L2 norm 1, `step` seconds after the one before it."""
        self._age += step
        lag = stamp - self._stamp
        shortest, longest = NEIGHBOUR_STEP_S
        if 0.0 <= lag < shortest:
            return
        if self._sample is not None and 0.0 <= lag <= longest:
            distance = max(0.0, 1.0 - float(sample @ self._sample))
            share = NEIGHBOUR_QUANTILE - (0.0 if distance > self._neighbour else 1.0)
            self._neighbour = _moved(self._neighbour, self._rate * lag * share)
            limited = min(distance, 4.0 * self._neighbour)
            self._recent += min(1.0, step / BURST_S) * (limited - self._recent)
        self._sample, self._stamp = sample, stamp

    def learn(self, drift: float, step: float) -> None:
        """Learn from the drift of a sample at which no change is suspected."""
        share = 0.5 if drift > self._drift else -0.5
        self._drift = _moved(self._drift, self._rate * step * share)

    @property
    def _rate(self) -> float:
        return RATES[0] if self._age < EARLY_S else RATES[1]


def _moved(level: float, by: float) -> float:
    return max(MIN_LEVEL, level * math.exp(by))
