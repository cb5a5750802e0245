"""Window variance: publish when the embeddings of a short window differ among themselves.

The one sentence of VL-JEPA (arXiv 2512.10942, section 4.6) on online decoding: smooth the stream,
decode when the variance of the local window passes a threshold.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.perception.change.detector import BREAK, BaseDetector, Change


@dataclass(frozen=True)
class WindowVarianceConfig:
    """threshold: variance, 0..1. window: samples, 2 to 256. min_gap, max_gap: seconds."""

    threshold: float = 0.12
    window: int = 8
    min_gap: float = 1.0
    max_gap: float = 5.0

    def __post_init__(self) -> None:
        """Check the ranges.

        :raises ValueError: a setting is out of its range.
        """
        if not 2 <= self.window <= 256:
            raise ValueError(f"window is {self.window}, allowed: 2 to 256 samples")
        if self.threshold < 0 or self.min_gap < 0 or self.max_gap <= 0:
            raise ValueError(f"{self}: threshold and min_gap must not be negative, max_gap above 0")


class WindowVariance(BaseDetector):
    """See the module; the interface is `ChangeDetector`."""

    def __init__(self, config: WindowVarianceConfig) -> None:
        self.config = config
        super().__init__(config.max_gap, config.threshold)

    @property
    def present(self) -> NDArray[np.float32] | None:
        """[D]: the newest sample."""
        return self._window[-1] if self._window else None

    def _reset_rule(self) -> None:
        self._window: deque[NDArray[np.float32]] = deque(maxlen=self.config.window)

    def _update(self, stamp: float, sample: NDArray[np.float32], step: float) -> Change | None:
        """`drift` is the variance here."""
        if step == BREAK:
            self._window.clear()
        self._window.append(sample)
        if self._published.state is None:
            return self._published.publish(stamp, stamp, sample)
        mean = np.mean(self._window, axis=0)
        self.drift = 1.0 - float(mean @ mean)  # the samples have norm 1
        if self.drift <= self.threshold or not self._published.gap_passed(
            stamp, self.config.min_gap
        ):
            return None
        newer = list(self._window)[len(self._window) // 2 :]
        return self._published.publish(stamp, stamp, np.mean(newer, axis=0))
