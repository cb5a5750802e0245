"""Consecutive difference: publish when a sample differs from the one before it.

The usual first idea. Clips overlap, so a change comes as a ramp of small steps, and noise is as
large as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.perception.change.detector import BREAK, BaseDetector, Change


@dataclass(frozen=True)
class ConsecutiveDifferenceConfig:
    """threshold: cosine distance, 0..2. min_gap, max_gap: seconds."""

    threshold: float = 0.1
    min_gap: float = 1.0
    max_gap: float = 5.0

    def __post_init__(self) -> None:
        """Check the ranges.

        :raises ValueError: a setting is out of its range.
        """
        if self.threshold < 0 or self.min_gap < 0 or self.max_gap <= 0:
            raise ValueError(f"{self}: threshold and min_gap must not be negative, max_gap above 0")


class ConsecutiveDifference(BaseDetector):
    """See the module; the interface is `ChangeDetector`."""

    def __init__(self, config: ConsecutiveDifferenceConfig) -> None:
        self.config = config
        super().__init__(config.max_gap, config.threshold)

    def _reset_rule(self) -> None:
        self.present: NDArray[np.float32] | None = None

    def _update(self, stamp: float, sample: NDArray[np.float32], step: float) -> Change | None:
        """`drift` is the difference here."""
        before, self.present = self.present, sample
        if before is None:
            return self._published.publish(stamp, stamp, sample)
        self.drift = 0.0 if step == BREAK else 1.0 - float(sample @ before)
        if self.drift <= self.threshold or not self._published.gap_passed(
            stamp, self.config.min_gap
        ):
            return None
        return self._published.publish(stamp, stamp, sample)
