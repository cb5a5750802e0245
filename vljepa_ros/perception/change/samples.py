"""What each detector does first with a sample: refuse, normalise, notice a break in time."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.perception.change.interface import usable

BREAK = math.inf  # the step of a sample that does not continue the ones before it


class SampleGate:
    """Lets the samples of one stream in.

    :param max_gap: seconds without a sample after which the next one counts as a break.
    """

    def __init__(self, max_gap: float) -> None:
        self.max_gap = max_gap
        self.refused = 0
        self.reset()

    def reset(self) -> None:
        """Forget the stream; the number of refused samples stays."""
        self._stamp = -math.inf
        self._dim: int | None = None

    def admit(
        self, stamp: float, embedding: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], float] | None:
        """The sample and the seconds since the one before it.

        Returns None for a sample that is not finite, zero or of another length than the first
        (counted in `refused`), and for a repeated stamp. The step is BREAK for the first sample,
        after a long gap and where time jumps back.
        """
        sample = usable(embedding, self._dim)
        if sample is None or not math.isfinite(stamp):
            self.refused += 1
            return None
        step = stamp - self._stamp
        if step == 0.0:
            return None
        self._stamp = stamp
        self._dim = sample.size
        return sample, step if 0.0 < step <= self.max_gap else BREAK


def unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    """[D] scaled to L2 norm 1; a vector too short to have a direction comes back as it is."""
    norm = math.sqrt(float(vector @ vector))
    return vector * np.float32(1.0 / norm) if norm > 1e-12 else vector


def cosine_distance(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Of two vectors of any length, 0..2; 1 where one of them has no direction."""
    norms = float(one @ one) * float(other @ other)
    return 1.0 - float(one @ other) / math.sqrt(norms) if norms > 1e-24 else 1.0
