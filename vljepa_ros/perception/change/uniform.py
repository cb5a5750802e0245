"""Uniform: publish every n-th sample, whatever it shows. The baseline of selective decoding."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.perception.change.interface import CHANGE, FIRST, Change
from vljepa_ros.perception.change.samples import SampleGate

__all__ = ["Uniform", "UniformConfig"]


@dataclass(frozen=True)
class UniformConfig:
    """stride: samples between publications, at least 1. phase: samples left out at first."""

    stride: int = 8
    phase: int = 0

    def __post_init__(self) -> None:
        """Check the ranges.

        :raises ValueError: a setting is out of its range.
        """
        if self.stride < 1:
            raise ValueError(f"stride is {self.stride}, allowed: at least 1")
        if self.phase < 0:
            raise ValueError(f"phase is {self.phase}, allowed: at least 0")


class Uniform:
    """See the module; the interface is `ChangeDetector`."""

    def __init__(self, config: UniformConfig) -> None:
        self.config = config
        self.threshold = 0.0
        self._gate = SampleGate(math.inf)
        self.reset()

    @property
    def refused(self) -> int:
        """Samples refused so far."""
        return self._gate.refused

    def reset(self) -> None:
        """Forget everything."""
        self._gate.reset()
        self.present: NDArray[np.float32] | None = None
        self.drift = 0.0
        self._anchor: NDArray[np.float32] | None = None
        self._wait = self.config.phase

    def observe(self, stamp: float, embedding: NDArray[np.float32]) -> Change | None:
        """Take one sample; see `ChangeDetector.observe`."""
        admitted = self._gate.admit(stamp, embedding)
        if admitted is None:
            return None
        self.present = admitted[0]
        self.drift = 0.0 if self._anchor is None else 1.0 - float(self.present @ self._anchor)
        if self._wait > 0:
            self._wait -= 1
            return None
        self._wait = self.config.stride - 1
        reason = FIRST if self._anchor is None else CHANGE
        self._anchor = self.present
        return Change(stamp, stamp, self.present, self.drift, reason)
