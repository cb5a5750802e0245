"""CUSUM: publish when the distance from the segment, summed beyond an allowance, is too large.

Page's test (Biometrika 1954) on the cosine distance between the smoothed embedding and the mean of
the segment: S = max(0, S + distance - allowance).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.perception.change.detector import BREAK, BaseDetector, Change, unit

FIRST_SAMPLE = 0.25  # seconds that the first sample of a segment is worth


@dataclass(frozen=True)
class CusumConfig:
    """threshold: sum in cosine distance * seconds. allowance: cosine distance that counts as none,
    0..2.

    smoothing: time constant, seconds. memory: seconds of the segment's running mean, above 0.
    min_gap, max_gap: seconds.
    """

    threshold: float = 0.1
    allowance: float = 0.08
    smoothing: float = 0.3
    memory: float = 2.0
    min_gap: float = 1.0
    max_gap: float = 5.0

    def __post_init__(self) -> None:
        """Check the ranges.

        :raises ValueError: a setting is out of its range.
        """
        if not self.memory > 0:
            raise ValueError(f"memory is {self.memory}, allowed: above 0")
        for name in ("threshold", "allowance", "smoothing", "min_gap"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}, allowed: at least 0")


class Cusum(BaseDetector):
    """See the module; the interface is `ChangeDetector`."""

    def __init__(self, config: CusumConfig) -> None:
        self.config = config
        super().__init__(config.max_gap, config.threshold)

    @property
    def present(self) -> NDArray[np.float32] | None:
        """[D]: the smoothed state."""
        return None if self._smooth is None else unit(self._smooth)

    def _reset_rule(self) -> None:
        self._smooth: NDArray[np.float32] | None = None
        self._mean: NDArray[np.float32] | None = None
        self._seconds = 0.0  # of samples in the mean
        self._onset: float | None = None

    def _update(self, stamp: float, sample: NDArray[np.float32], step: float) -> Change | None:
        """`drift` is the sum here."""
        if self._smooth is None or self._mean is None:
            self._smooth = self._mean = sample
            return self._published.publish(stamp, stamp, sample)
        if step == BREAK:
            self._smooth, self.drift, step = sample, 0.0, 0.0
        elif self.config.smoothing:
            weight = np.float32(1.0 - math.exp(-step / self.config.smoothing))
            self._smooth = self._smooth + weight * (sample - self._smooth)
        else:
            self._smooth = sample
        distance = 1.0 - float(unit(self._smooth) @ unit(self._mean))
        self.drift = max(0.0, self.drift + (distance - self.config.allowance) * step)
        if self.drift == 0.0:
            self._onset = None
        elif self._onset is None:
            self._onset = stamp
        if self.drift > self.threshold and self._published.gap_passed(stamp, self.config.min_gap):
            change = self._published.publish(
                stamp, stamp if self._onset is None else self._onset, self._smooth
            )
            self._mean, self._seconds, self.drift, self._onset = self._smooth, 0.0, 0.0, None
            return change
        self._seconds = min(self._seconds + step, self.config.memory)
        if self._seconds > 0.0:
            weight = np.float32(min(1.0, step / (self._seconds + FIRST_SAMPLE)))
            self._mean = self._mean + weight * (sample - self._mean)
        return None
