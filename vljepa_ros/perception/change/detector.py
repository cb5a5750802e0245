"""Base of the change detectors: checks samples, keeps the published state."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]

FIRST = "first"
CHANGE = "change"
CORRECTION = "correction"

BREAK = math.inf  # the step of a sample that does not continue the ones before it


@dataclass(frozen=True)
class Change:
    """A change of the meaning of the scene.

    Attributes:
        stamp: seconds; the sample at which the change was confirmed.
        onset: seconds; estimated beginning of the change, not after `stamp`.
        state: [D] float32, L2 norm 1; the new state, fit to be decoded (not a sample of the
            transition).
        distance: cosine distance, 0..2, from the state published before; 0 for the first.
        reason: FIRST for the first state of a stream, else CHANGE; CORRECTION if the last published
            change went on afterwards: it keeps the onset and has a better state.
    """

    stamp: float
    onset: float
    state: Vector
    distance: float
    reason: str


def usable(embedding: Vector, dim: int | None) -> Vector | None:
    """Normalise a sample.

    Args:
        embedding: [D] float32.
        dim: required length; None: any.

    Returns:
        [D] float32 with L2 norm 1; None if it has another length, is zero or not finite.
    """
    vector = np.asarray(embedding, dtype=np.float32).reshape(-1)
    if dim is not None and vector.size != dim:
        return None
    norm = math.sqrt(float(vector @ vector))  # nan and inf come through
    if not 1e-6 <= norm < math.inf:
        return None
    return vector * np.float32(1.0 / norm)


def unit(vector: Vector) -> Vector:
    """[D] scaled to L2 norm 1; a vector of almost zero norm is returned unchanged."""
    norm = math.sqrt(float(vector @ vector))
    return vector * np.float32(1.0 / norm) if norm > 1e-12 else vector


def visual_weights(dim: int, visual_dim: int) -> Vector:
    """[dim] factors that damp all but the last `visual_dim` entries, so that only those count.

    Dividing a state by them restores the other entries. 0: all entries count.
    """
    weights = np.ones(dim, np.float32)
    weights[: dim - visual_dim if visual_dim else 0] = 1e-3
    return weights


def cosine_distance(one: Vector, other: Vector) -> float:
    """Cosine distance, 0..2, of two vectors [D] of any norm; 1 if one has no direction."""
    norms = float(one @ one) * float(other @ other)
    return 1.0 - float(one @ other) / math.sqrt(norms) if norms > 1e-24 else 1.0


class PublishedState:
    """The last published state of one stream: [D] float32 with L2 norm 1, and its stamp."""

    def __init__(self) -> None:
        self.state: Vector | None = None
        self.stamp = -math.inf

    def publish(self, stamp: float, onset: float, vector: Vector, reason: str = CHANGE) -> Change:
        """Make `vector` ([D] float32, any norm above 0) the published state."""
        state = unit(vector)
        if self.state is None:
            change = Change(stamp, stamp, state, 0.0, FIRST)
        else:
            distance = max(0.0, 1.0 - float(state @ self.state))
            change = Change(stamp, min(onset, stamp), state, distance, reason)
        self.state = state
        self.stamp = stamp
        return change

    def gap_passed(self, stamp: float, min_gap: float) -> bool:
        """Whether `min_gap` seconds have passed. A jump back in time restarts the gap."""
        self.stamp = min(self.stamp, stamp)
        return stamp - self.stamp >= min_gap


class ChangeDetector(ABC):
    """Detects changes in one stream, in constant time and memory, without a clock.

    Invalid samples are refused before the rule of a detector (`_update`) is called.

    Attributes:
        max_gap: seconds without a sample after which the next one counts as a break.
        threshold: the drift above which a change is suspected, for plots.
        refused: samples refused so far: not finite, zero, or of another length than before.
        drift: cosine distance of the present (smoothed) state from the published one; 0 before it.
    """

    def __init__(self, max_gap: float, threshold: float) -> None:
        """Start with an empty stream."""
        self.max_gap = max_gap
        self.threshold = threshold
        self.refused = 0
        self.reset()

    @property
    @abstractmethod
    def present(self) -> Vector | None:
        """[D] float32, L2 norm 1: the present state, which `describe` decodes; None: unknown."""

    def restore(self, state: Vector) -> None:
        """Set the published state, [D] float32, after a restart, without publishing it again.

        Raises:
            TypeError: this detector cannot start from a state.
            ValueError: `state` is zero or not finite.
        """
        raise TypeError(f"{type(self).__name__} cannot start from a state")

    def reset(self) -> None:
        """Forget everything but the number of refused samples: the next sample is a FIRST."""
        self._last_stamp = -math.inf
        self._dim: int | None = None
        self._published = PublishedState()
        self.drift = 0.0
        self._reset_rule()

    def observe(self, stamp: float, embedding: Vector) -> Change | None:
        """Take one sample; returns a change if one is confirmed by it.

        Args:
            stamp: seconds. A stamp before the last one (a bag in a loop) drops a suspicion, but
                keeps the published state. A repeated stamp is ignored.
            embedding: [D] float32; normalised here.
        """
        sample = usable(embedding, self._dim)
        if sample is None or not math.isfinite(stamp):
            self.refused += 1
            return None
        step = stamp - self._last_stamp
        if step == 0.0:
            return None
        self._last_stamp = stamp
        self._dim = sample.size
        return self._update(stamp, sample, step if 0.0 < step <= self.max_gap else BREAK)

    @abstractmethod
    def _reset_rule(self) -> None:
        """Reset the state of the rule."""

    @abstractmethod
    def _update(self, stamp: float, sample: Vector, step: float) -> Change | None:
        """Judge a sample.

        Args:
            stamp: seconds.
            sample: [D] float32, L2 norm 1.
            step: seconds after the last sample; BREAK for the first one, after a gap longer than
                `max_gap` and if time jumped back.
        """
