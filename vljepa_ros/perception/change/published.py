"""What was told last: the published state, when, and how far the present one is from it."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.perception.change.interface import CHANGE, FIRST, Change
from vljepa_ros.perception.change.samples import unit

Vector = NDArray[np.float32]


class PublishedState:
    """The last published state of one stream."""

    def __init__(self) -> None:
        self.state: Vector | None = None
        self.stamp = -math.inf

    def publish(self, stamp: float, onset: float, vector: Vector, reason: str = CHANGE) -> Change:
        """Make `vector` ([D] float32, any length above 0) the published state."""
        state = unit(vector)
        if self.state is None:
            change = Change(stamp, stamp, state, 0.0, FIRST)
        else:
            distance = max(0.0, 1.0 - float(state @ self.state))
            change = Change(stamp, min(onset, stamp), state, distance, reason)
        self.state = state
        self.stamp = stamp
        return change

    def drift(self, vector: Vector) -> float:
        """Cosine distance of `vector` from the published state; 0 before there is one."""
        return 0.0 if self.state is None else 1.0 - float(unit(vector) @ self.state)

    def rested(self, stamp: float, min_gap: float) -> bool:
        """Whether the minimum gap has passed. Time that jumped back starts it anew."""
        self.stamp = min(self.stamp, stamp)
        return stamp - self.stamp >= min_gap
