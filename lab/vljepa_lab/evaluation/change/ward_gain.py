"""Online Ward gain: publish when splitting the newest samples in two explains them much better.

The gain of a split into n1 and n2 samples with means m1 and m2 is n1 n2 / (n1 + n2) |m1 - m2|^2:
the merge cost of Ward (1963), and the generalised likelihood ratio of a change of mean under white
noise (Basseville and Nikiforov 1993, section 2.4.3).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.perception.change.detector import BREAK, BaseDetector, Change, unit


@dataclass(frozen=True)
class WardGainConfig:
    """threshold: gain, above 0. window: samples, 4 to 256. after: samples a new state needs, at
    least 1.

    min_gap, max_gap: seconds.
    """

    threshold: float = 0.8
    window: int = 16
    after: int = 2
    min_gap: float = 1.0
    max_gap: float = 5.0

    def __post_init__(self) -> None:
        """Check the ranges.

        :raises ValueError: a setting is out of its range.
        """
        if not 4 <= self.window <= 256:
            raise ValueError(f"window is {self.window}, allowed: 4 to 256 samples")
        if not 1 <= self.after < self.window:
            raise ValueError(f"after is {self.after}, allowed: 1 to window - 1")
        if self.threshold < 0 or self.min_gap < 0 or self.max_gap <= 0:
            raise ValueError(f"{self}: threshold and min_gap must not be negative, max_gap above 0")


def split_gains(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """[n-1] gain of each split of [n, D] samples; entry i has i + 1 samples before the split."""
    count = len(samples)
    before = np.cumsum(samples, axis=0)[:-1]
    first = np.arange(1, count, dtype=np.float32)
    # |m1 - m2| with m2 from the total; n1 n2 / n |m1 - m2|^2 = |n s1 - n1 s|^2 / (n n1 n2)
    spread = count * before - first[:, None] * (before[-1] + samples[-1])
    return np.einsum("nd,nd->n", spread, spread) / (count * first * (count - first))


class WardGain(BaseDetector):
    """See the module; the interface is `ChangeDetector`."""

    def __init__(self, config: WardGainConfig) -> None:
        self.config = config
        super().__init__(config.max_gap, config.threshold)

    @property
    def present(self) -> NDArray[np.float32] | None:
        """[D]: mean of the newest samples."""
        return unit(np.mean(self._samples[-self.config.after :], axis=0)) if self._samples else None

    def _reset_rule(self) -> None:
        self._samples: list[NDArray[np.float32]] = []
        self._stamps: list[float] = []

    def _update(self, stamp: float, sample: NDArray[np.float32], step: float) -> Change | None:
        """`drift` is the best gain here."""
        if step == BREAK:
            self._samples, self._stamps = [], []
        self._samples = [*self._samples[1 - self.config.window :], sample]
        self._stamps = [*self._stamps[1 - self.config.window :], stamp]
        if self._published.state is None:
            return self._published.publish(stamp, stamp, sample)
        after = self.config.after
        self.drift = 0.0
        if len(self._samples) <= after:
            return None
        gains = split_gains(np.stack(self._samples))[: len(self._samples) - after]
        split = int(gains.argmax()) + 1
        self.drift = float(gains[split - 1])
        if self.drift <= self.threshold or not self._published.gap_passed(
            stamp, self.config.min_gap
        ):
            return None
        onset = self._stamps[split]
        self._samples, self._stamps = self._samples[split:], self._stamps[split:]
        return self._published.publish(stamp, onset, np.mean(self._samples, axis=0))
