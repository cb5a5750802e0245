"""Anchor drift: distance of the smoothed embedding from the last published state; hysteresis.

A change is suspected when the drift passes `threshold`, and dropped when it falls below
`release * threshold`. It is confirmed once it has lasted for `settle` seconds and `min_gap` seconds
have passed since the last one; the state is the mean of the samples of the second half of the wait,
because the samples before still show the transition.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.perception.change.interface import CHANGE, FIRST, Change, usable

__all__ = ["AnchorDrift", "AnchorDriftConfig"]


@dataclass(frozen=True)
class AnchorDriftConfig:
    """Settings of the detector.

    threshold: cosine distance, 0..2. release: 0..1, share of it. smoothing: time constant, seconds.
    settle, min_gap: seconds. lag: seconds by which an embedding trails the scene (half a clip),
    taken off the onset.
    """

    threshold: float = 0.25
    release: float = 0.8
    smoothing: float = 0.4
    settle: float = 0.6
    min_gap: float = 1.0
    lag: float = 0.0

    def __post_init__(self) -> None:
        """Check the ranges.

        :raises ValueError: a setting is out of its range.
        """
        allowed = {
            "threshold": (0.0, 2.0),
            "release": (0.0, 1.0),
            "smoothing": (0.0, 3600.0),
            "settle": (0.0, 3600.0),
            "min_gap": (0.0, 3600.0),
            "lag": (0.0, 3600.0),
        }
        for name, (low, high) in allowed.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} is {value}, allowed: {low} to {high}")


class AnchorDrift:
    """See the module; the interface is `ChangeDetector`."""

    def __init__(self, config: AnchorDriftConfig) -> None:
        self.config = config
        self._refused = 0
        self._since: float | None = None
        self._sum: NDArray[np.float32] | None = None
        self.reset()

    @property
    def refused(self) -> int:
        """Samples refused so far."""
        return self._refused

    @property
    def drift(self) -> float:
        """Cosine distance of the smoothed state from the published one."""
        return self._drift

    @property
    def threshold(self) -> float:
        """The drift above which a change is suspected."""
        return self.config.threshold

    @property
    def present(self) -> NDArray[np.float32] | None:
        """[D] float32, L2 norm 1: the smoothed state."""
        return None if self._smooth is None else _unit(self._smooth)

    def reset(self) -> None:
        """Forget everything."""
        self._anchor: NDArray[np.float32] | None = None
        self._smooth: NDArray[np.float32] | None = None
        self._stamp = -math.inf
        self._published = -math.inf
        self._drift = 0.0
        self._drop_suspicion()

    def observe(self, stamp: float, embedding: NDArray[np.float32]) -> Change | None:
        """Take one sample; see `ChangeDetector.observe`."""
        sample = usable(embedding, None if self._anchor is None else self._anchor.size)
        if sample is None:
            self._refused += 1
            return None
        if stamp == self._stamp:
            return None
        step = stamp - self._stamp
        self._stamp = stamp
        if self._anchor is None or self._smooth is None:
            self._anchor = self._smooth = sample
            self._published = stamp
            return Change(stamp, stamp, sample, 0.0, FIRST)
        if step < 0:
            self._smooth = sample
            self._published = min(self._published, stamp)
            self._drop_suspicion()
        else:
            weight = 1.0 - math.exp(-step / self.config.smoothing) if self.config.smoothing else 1.0
            self._smooth = self._smooth + np.float32(weight) * (sample - self._smooth)
        self._drift = 1.0 - float(_unit(self._smooth) @ self._anchor)
        return self._judge(stamp, sample)

    def _judge(self, stamp: float, sample: NDArray[np.float32]) -> Change | None:
        suspected = self._since is not None
        if self._drift <= self.config.threshold * (self.config.release if suspected else 1.0):
            self._drop_suspicion()
            return None
        if self._since is None:
            self._since = stamp
        waited = stamp - self._since
        if waited >= self.config.settle / 2:
            self._sum = sample if self._sum is None else self._sum + sample
        too_early = stamp - self._published < self.config.min_gap
        if waited < self.config.settle or too_early or self._sum is None:
            return None
        assert self._anchor is not None
        state = _unit(self._sum)
        distance = 1.0 - float(state @ self._anchor)
        onset = self._since - self.config.lag
        self._anchor = self._smooth = state
        self._published = stamp
        self._drift = 0.0
        self._drop_suspicion()
        return Change(stamp, onset, state, distance, CHANGE)

    def _drop_suspicion(self) -> None:
        self._since = None
        self._sum = None


def _unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    norm = float(np.linalg.norm(vector))
    return vector / np.float32(norm) if norm > 1e-12 else vector
