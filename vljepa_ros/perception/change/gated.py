"""What all detectors share: bad samples are refused and counted before the rule sees them."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.perception.change.interface import Change
from vljepa_ros.perception.change.published import PublishedState
from vljepa_ros.perception.change.samples import SampleGate


class GatedDetector(ABC):
    """A `ChangeDetector` but for its rule: `_take` judges a sample, `_forget` starts anew.

    drift, threshold: see `ChangeDetector`.

    :param max_gap: seconds without a sample after which the next one counts as a break.
    """

    def __init__(self, max_gap: float, threshold: float) -> None:
        self.threshold = threshold
        self._gate = SampleGate(max_gap)
        self.reset()

    @property
    def refused(self) -> int:
        """Samples refused so far."""
        return self._gate.refused

    def reset(self) -> None:
        """Forget everything, the published state too."""
        self._gate.reset()
        self._told = PublishedState()
        self.drift = 0.0
        self._forget()

    def observe(self, stamp: float, embedding: NDArray[np.float32]) -> Change | None:
        """Take one sample; see `ChangeDetector.observe`."""
        admitted = self._gate.admit(stamp, embedding)
        return None if admitted is None else self._take(stamp, *admitted)

    @abstractmethod
    def _forget(self) -> None:
        """Forget what the rule knows of the stream."""

    @abstractmethod
    def _take(self, stamp: float, sample: NDArray[np.float32], step: float) -> Change | None:
        """Judge a sample, [D] float32 with L2 norm 1, `step` seconds after the last one (BREAK
        where it does not continue it)."""
