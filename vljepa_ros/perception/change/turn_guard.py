"""Turn guard: while the camera turns, and until nothing shows the turn, changes must be larger.

Another view of the same scene moves an embedding although its meaning has not changed. The turn
rate comes from odometry or an IMU; an IMU at the camera tells of shaking as well.
"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class TurnGuardConfig:
    """rate: rad/s from which the robot counts as turning. factor: on the threshold, at least 1.

    hold: seconds for which a turn is felt after its end: a clip's length and a second in which the
    smoothed embedding comes back. A factor of 20 is more than an embedding can move: no change is
    told, and one that lasts is told after the turn.
    """

    rate: float = 0.1
    factor: float = 20.0
    hold: float = 2.5

    def __post_init__(self) -> None:
        """Check the ranges.

        :raises ValueError: a setting is out of its range.
        """
        if self.rate < 0 or self.hold < 0:
            raise ValueError(f"{self}: rate and hold must not be negative")
        if self.factor < 1:
            raise ValueError(f"factor is {self.factor}, allowed: at least 1")


class TurnGuard:
    """Knows when the robot turned last. Without turn rates it changes nothing."""

    def __init__(self, config: TurnGuardConfig) -> None:
        self.config = config
        self._turned = -math.inf

    def turn(self, stamp: float, rate: float) -> None:
        """Take the turn rate, rad/s of either sign, at `stamp` seconds. NaN counts as none."""
        if abs(rate) >= self.config.rate and math.isfinite(stamp):
            self._turned = stamp

    def factor(self, stamp: float) -> float:
        """On the threshold at `stamp`. A later turn (time jumped back) is forgotten."""
        if self._turned > stamp + self.config.hold:
            self._turned = -math.inf
        return self.config.factor if stamp - self._turned <= self.config.hold else 1.0
