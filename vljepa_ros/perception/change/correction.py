"""A change that goes on after it was told: the better state is told again, once.

A change is told early, for the sake of delay, from samples whose clips still show what was before.
Where the stream has moved on from that by far while the change lasts, the mean of all of it is
worth another decode. It is no change of its own: it keeps the onset.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.perception.change.samples import cosine_distance

Vector = NDArray[np.float32]

MOVED = 2.5  # limits between what was told and the mean of the samples since


class Correction:
    """Of the change told last."""

    def __init__(self) -> None:
        self.onset = -math.inf
        self._told: Vector | None = None  # None: nothing is left to be corrected
        self._since: Vector | None = None  # sum of the samples since
        self._count = 0
        self._stamp = self._until = -math.inf

    def open(self, stamp: float, onset: float, state: Vector, seconds: float) -> None:
        """`state`, [D] with L2 norm 1, was told at `stamp`; it may be corrected for `seconds`."""
        self._told, self._since, self._count = state, None, 0
        self._stamp, self._until, self.onset = stamp, stamp + seconds, onset

    def take(self, stamp: float, sample: Vector) -> None:
        """Take a sample, [D] with L2 norm 1."""
        if self._told is None:
            return
        if self._stamp < stamp <= self._until:
            self._since = sample if self._since is None else self._since + sample
            self._count += 1
        else:  # too late, or time jumped back
            self._told = self._since = None

    def due(self, limit: float) -> Vector | None:
        """What is to be told in place of the last state, [D]: its mean with the samples since; or
        None. At most one for each change.

        :param limit: cosine distance that counts as a change now.
        """
        if self._told is None or self._since is None:
            return None
        if cosine_distance(self._since, self._told) <= MOVED * limit:
            return None
        better = (self._told + self._since) / np.float32(self._count + 1)
        self._told = self._since = None
        return better
