"""How much evidence a change needs before it is told: less where changes are to be expected.

Two things make a change wait, because a mistake about it would cost more than the delay:

A *return* to the state before the last one. What was told is over, which is no urgent news. It
needs `RETURN` times the evidence.

A *quiet* stream. Changes are taken to come at an unknown rate with a gamma prior: one change in
`EXPECTED` seconds. What was seen counts less and less, with the time constant `MEMORY`; n changes
in t seconds, so counted, make the expected rate (1 + n) / (EXPECTED + t), the hazard rate of
Bayesian change-point detection (Adams and MacKay 2007). The evidence needed grows with the
logarithm of how much lower it is than at first, up to `PATIENCE`. One false alarm in an hour does
not undo that; events in quick succession do at once.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.perception.change.samples import cosine_distance

Vector = NDArray[np.float32]

RETURN = 2.0  # times the evidence
BACK = 0.5  # of the drift: a state nearer than that to the one before the last is a return
EXPECTED = 120.0  # seconds from one change to the next, before anything is known
MEMORY = 1800.0  # seconds
PER_LOG = 0.5  # how much more evidence is needed where the rate is lower by a factor of e
PATIENCE = 2.0  # times the evidence, at most


class Readiness:
    """Of one stream."""

    def __init__(self) -> None:
        self._before: Vector | None = None
        self._stamp: float | None = None
        self._changes = 0.0
        self._seconds = 0.0

    def told(self, stamp: float, before: Vector | None) -> None:
        """A change was told; `before` ([D] float32) is the state that it ended, None where that
        is not known."""
        self._advance(stamp)
        self._changes += 1.0
        self._before = before

    def begin(self, stamp: float) -> None:
        """The stream begins, or goes on after a restart."""
        self._advance(stamp)

    def factor(self, stamp: float, present: Vector, drift: float) -> float:
        """Times the usual evidence that a change needs now, at least 1.

        :param present: [D] float32; the smoothed state. drift: its cosine distance from the
            published one.
        """
        self._advance(stamp)
        rarer = (EXPECTED + self._seconds) / (EXPECTED * (1.0 + self._changes))
        patience = min(PATIENCE, 1.0 + PER_LOG * math.log(rarer)) if rarer > 1.0 else 1.0
        if self._before is not None and cosine_distance(present, self._before) < BACK * drift:
            return RETURN * patience
        return patience

    def _advance(self, stamp: float) -> None:
        """Let what was seen count less; time that jumps back counts as none."""
        passed = 0.0 if self._stamp is None else max(0.0, stamp - self._stamp)
        kept = math.exp(-passed / MEMORY)
        self._changes *= kept
        self._seconds = self._seconds * kept + MEMORY * (1.0 - kept)
        self._stamp = stamp
