"""Consecutive difference: publish when a sample differs from the one before it.

The usual first idea. Clips overlap, so a change comes as a ramp of small steps, and noise is as
large as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.perception.change.interface import Change
from vljepa_ros.perception.change.published import PublishedState
from vljepa_ros.perception.change.samples import BREAK, SampleGate

__all__ = ["ConsecutiveDifference", "ConsecutiveDifferenceConfig"]


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


class ConsecutiveDifference:
    """See the module; the interface is `ChangeDetector`."""

    def __init__(self, config: ConsecutiveDifferenceConfig) -> None:
        self.config = config
        self.threshold = config.threshold
        self._gate = SampleGate(config.max_gap)
        self.reset()

    @property
    def refused(self) -> int:
        """Samples refused so far."""
        return self._gate.refused

    def reset(self) -> None:
        """Forget everything."""
        self._gate.reset()
        self._told = PublishedState()
        self.present: NDArray[np.float32] | None = None
        self.drift = 0.0

    def observe(self, stamp: float, embedding: NDArray[np.float32]) -> Change | None:
        """Take one sample; see `ChangeDetector.observe`. `drift` is the difference here."""
        admitted = self._gate.admit(stamp, embedding)
        if admitted is None:
            return None
        sample, step = admitted
        before, self.present = self.present, sample
        if before is None:
            return self._told.publish(stamp, stamp, sample)
        self.drift = 0.0 if step == BREAK else 1.0 - float(sample @ before)
        if self.drift <= self.threshold or not self._told.rested(stamp, self.config.min_gap):
            return None
        return self._told.publish(stamp, stamp, sample)
