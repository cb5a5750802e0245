"""How much evidence a change needs, and how the robot's turns and infrared raise the threshold.

Two kinds of changes need more evidence, because a mistake would cost more than the delay:

A *return* to the state before the last one, which is not urgent, needs RETURN_FACTOR times the
evidence.

A change in a *quiet* stream. Changes are modelled with an unknown rate and a gamma prior of one
change in EXPECTED_INTERVAL_S. Past observations are discounted with the time constant MEMORY_S; n
changes in t seconds, so discounted, give the rate (1 + n) / (EXPECTED_INTERVAL_S + t), the hazard
rate of Bayesian change-point detection (Adams and MacKay 2007). The evidence needed grows with the
logarithm of how much lower this rate is than the initial one, up to MAX_QUIET_FACTOR. One false
alarm in an hour does not undo that; events in quick succession do at once.

While the camera turns, and until no clip shows the turn, the threshold is higher: another
view of the same scene moves an embedding although its meaning has not changed. The turn rate comes
from odometry or an IMU; an IMU at the camera measures shaking as well.

A switch to infrared, and back, also moves the embedding of an unchanged scene. It is recognised by
the colour that the whole image loses or regains. The detector is suspended until no clip shows
both.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from vljepa_ros.perception.change.detector import Vector, cosine_distance

RETURN_FACTOR = 2.0  # times the evidence
RETURN_SHARE = 0.5  # of the drift: a state nearer than that to the one before the last is a return
EXPECTED_INTERVAL_S = 120.0  # from one change to the next, before anything is known
MEMORY_S = 1800.0
EVIDENCE_PER_LOG = 0.5  # how much more evidence is needed where the rate is lower by a factor of e
MAX_QUIET_FACTOR = 2.0  # times the evidence
SUSPENDED = 20.0  # on the threshold: more than an embedding can move
GREY = 0.02  # mean saturation up to which a picture has no colour; compression leaves about 0.005
LOST_SHARE = 1.0 / 3.0  # of its usual saturation: a picture that keeps more has not lost its colour
RETURNED_SHARE = 0.5  # of what was lost: a picture that has so much has its colour back
SATURATION_MEMORY = 0.1  # weight of a sample in the usual saturation


class ChangePrior:
    """Rate of changes of a stream, and the state before the last change."""

    def __init__(self) -> None:
        self._before: Vector | None = None
        self._stamp: float | None = None
        self._changes = 0.0
        self._seconds = 0.0

    def record_change(self, stamp: float, before: Vector | None) -> None:
        """Record a published change; `before` ([D] float32) is the state that it ended, or None."""
        self.advance(stamp)
        self._changes += 1.0
        self._before = before

    def evidence_factor(self, stamp: float, present: Vector, drift: float) -> float:
        """Factor on the usual evidence that a change needs now, at least 1.

        Args:
            stamp: seconds.
            present: [D] float32; the smoothed state.
            drift: its cosine distance from the published one.
        """
        self.advance(stamp)
        expected = EXPECTED_INTERVAL_S
        rarer = (expected + self._seconds) / (expected * (1.0 + self._changes))
        quiet = 1.0 + EVIDENCE_PER_LOG * math.log(rarer) if rarer > 1.0 else 1.0
        factor = min(MAX_QUIET_FACTOR, quiet)
        before = self._before
        returns = before is not None and cosine_distance(present, before) < RETURN_SHARE * drift
        return RETURN_FACTOR * factor if returns else factor

    def advance(self, stamp: float) -> None:
        """Discount past observations; time that jumps back counts as none.

        The first call is the beginning of the stream, or its continuation after a restart.
        """
        passed = 0.0 if self._stamp is None else max(0.0, stamp - self._stamp)
        kept = math.exp(-passed / MEMORY_S)
        self._changes *= kept
        self._seconds = self._seconds * kept + MEMORY_S * (1.0 - kept)
        self._stamp = stamp


@dataclass(frozen=True)
class TurnGuardConfig:
    """Settings of the turn guard.

    Attributes:
        rate: rad/s, 0 or more, from which the robot counts as turning.
        factor: on the threshold, at least 1. A factor of 20 is more than an embedding can move: no
            change is published, and a lasting one is published after the turn.
        hold: seconds after its end for which a turn still counts: a clip's length and a second in
            which the smoothed embedding comes back.
    """

    rate: float = 0.1
    factor: float = SUSPENDED
    hold: float = 2.5


class TurnGuard:
    """Raises the threshold during and after turns of the robot, if turn rates are known."""

    def __init__(self, config: TurnGuardConfig) -> None:
        self.config = config
        self._turned = -math.inf

    def turn(self, stamp: float, rate: float) -> None:
        """Take the turn rate, rad/s of either sign, at `stamp` seconds. NaN counts as none."""
        if abs(rate) >= self.config.rate and math.isfinite(stamp):
            self._turned = stamp

    def factor(self, stamp: float) -> float:
        """Factor on the threshold at `stamp`. A later turn (time jumped back) is forgotten."""
        if self._turned > stamp + self.config.hold:
            self._turned = -math.inf
        return self.config.factor if stamp - self._turned <= self.config.hold else 1.0


class ColourGuard:
    """Raises the threshold when the whole image of a camera loses or regains its colour.

    Attributes:
        hold: seconds for which a switch has an effect: a clip's length and the smoothing.
        switches: number of switches.
    """

    def __init__(self, hold: float) -> None:
        self.hold = hold
        self.switches = 0
        self._usual: float | None = None
        self._grey = False
        self._stamp = -math.inf

    def observe(self, stamp: float, saturation: float) -> bool:
        """Take an image; returns whether it is the first without colour or the first with it.

        Args:
            stamp: seconds.
            saturation: mean of the image, 0..1; negative values and NaN, not known, count as none.
        """
        if not saturation >= 0.0:
            return False
        if self._usual is None:
            self._usual, self._grey = saturation, saturation <= GREY
            return False
        least = max(GREY, RETURNED_SHARE * self._usual)
        most = min(GREY, LOST_SHARE * self._usual)
        if saturation > least if self._grey else saturation <= most:
            self._grey = not self._grey
            self._stamp = stamp
            self.switches += 1
            return True
        if not self._grey:
            self._usual += SATURATION_MEMORY * (saturation - self._usual)
        return False

    def factor(self, stamp: float) -> float:
        """Factor on the threshold at `stamp`, as of TurnGuard: it suspends the detector."""
        return SUSPENDED if 0.0 <= stamp - self._stamp <= self.hold else 1.0
