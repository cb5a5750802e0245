"""What every change detector offers: `observe` one embedding at a time, sometimes a Change."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

FIRST = "first"
CHANGE = "change"
CORRECTION = "correction"
HEARTBEAT = "heartbeat"


@dataclass(frozen=True)
class Change:
    """The meaning of the scene changed.

    stamp: seconds; the sample at which the change was confirmed.
    onset: seconds; estimated beginning of the change, not after `stamp`.
    state: [D] float32, L2 norm 1; the new state, fit to be decoded (not a sample of the
    transition). distance: cosine distance between the state published before and this one, 0..2; 0
    for the first. reason: FIRST for the first state of a stream, else CHANGE; CORRECTION where the
    change told last went on after it had been told: its onset, a better state; HEARTBEAT where
    nothing changed for long and the detector was asked to tell the present state again.
    """

    stamp: float
    onset: float
    state: NDArray[np.float32]
    distance: float
    reason: str


class ChangeDetector(Protocol):
    """Watches one stream. Constant time and memory for each sample; it reads no clock."""

    @property
    def refused(self) -> int:
        """Samples refused so far: not finite, zero, or of another length than the ones before."""

    @property
    def drift(self) -> float:
        """Cosine distance of the present (smoothed) state from the last published one; 0 before
        it."""

    @property
    def threshold(self) -> float:
        """The drift above which a change is suspected, for plots."""

    @property
    def present(self) -> NDArray[np.float32] | None:
        """[D] float32, L2 norm 1: the present state as far as it is known; what `describe`
        decodes."""

    def observe(self, stamp: float, embedding: NDArray[np.float32]) -> Change | None:
        """Take one sample.

        :param stamp: seconds. A stamp before the last one (a bag in a loop) forgets
            what was suspected, never what was published. An equal stamp is ignored.
        :param embedding: [D] float32; normalised here.
        """

    def reset(self) -> None:
        """Forget everything, the published state too: the next sample is a FIRST."""


def usable(embedding: NDArray[np.float32], dim: int | None) -> NDArray[np.float32] | None:
    """[D] float32 with L2 norm 1, or None where the sample is to be refused.

    :param dim: the length of the samples before; None: any.
    """
    vector = np.asarray(embedding, dtype=np.float32).reshape(-1)
    if dim is not None and vector.size != dim:
        return None
    norm = math.sqrt(float(vector @ vector))  # nan and inf come through
    if not 1e-6 <= norm < math.inf:
        return None
    return vector * np.float32(1.0 / norm)
