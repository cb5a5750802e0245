"""Uniform: publish every n-th sample, whatever it shows. The baseline of selective decoding."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.perception.change.gated import GatedDetector
from vljepa_ros.perception.change.interface import Change


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


class Uniform(GatedDetector):
    """See the module; the interface is `ChangeDetector`."""

    def __init__(self, config: UniformConfig) -> None:
        self.config = config
        super().__init__(math.inf, 0.0)

    def _forget(self) -> None:
        self.present: NDArray[np.float32] | None = None
        self._wait = self.config.phase

    def _take(self, stamp: float, sample: NDArray[np.float32], step: float) -> Change | None:
        self.present = sample
        self.drift = self._told.drift(sample)
        if self._wait > 0:
            self._wait -= 1
            return None
        self._wait = self.config.stride - 1
        return self._told.publish(stamp, stamp, sample)
