"""Learns a label from embeddings of a state and of the state it must be distinguished from.

The result is a direction in the embedding space with a calibration.

It is a balanced ridge regression on the embeddings x of norm 1, in closed form. The probability is
fitted to the scores of frames whose recording was left out:

    p = sigmoid(a (u . x - n)),  u the direction, of norm 1

That is the formula of `Calibration` for one text: a taught label is compared like a text, with its
own calibration.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.models.calibration import EncodedText, sigmoid
from vljepa_ros.models.config import Calibration
from vljepa_ros.perception.vocabulary import VocabularyError

LEAST_FRAMES = 20  # of each state
LEAST_ACCURACY = 0.7  # balanced; chance is .5, and left-out frames of one recording are few
ENOUGH = 60  # frames of each state while they are being shown: some milliseconds
BLOCKS = 5  # stretches of a state's only recording, each left out once
RIDGE = 0.001  # of the mean squared distance of a frame from the centre
LEAST_LIKE = 0.5
"""Cosine, of the visual part, with the mean of both states: frames of the same clips stayed above,
those of other cameras below."""
TYPICAL = 0.95
"""Probability of a typical frame of the state: neighbouring frames say the same again, so that
hundreds of them are no more evidence than about twenty."""
Float = NDArray[np.float64]


class TeachingError(VocabularyError):
    """The examples do not make a label; `code` names a constant of msg/Result."""

    def __init__(self, message: str, code: str = "BAD_REQUEST") -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class TaughtLabel(EncodedText):
    """A learned state: its direction in the embedding space, `vector`, and calibration (a, n).

    Attributes:
        accuracy: balanced accuracy on left-out recordings, or parts of one, 0..1.
        across_recordings: whether whole recordings of both states were left out.
    """

    accuracy: float = math.nan
    across_recordings: bool = False


def fit(
    state: NDArray[np.float32],
    other: NDArray[np.float32],
    state_recordings: NDArray[np.integer] | None = None,
    other_recordings: NDArray[np.integer] | None = None,
    visual_dim: int = 0,
) -> TaughtLabel:
    """Learn a label from examples of two states.

    Args:
        state: [N, D] embeddings of L2 norm 1 that show the state, oldest first.
        other: [M, D] embeddings that show the other state.
        state_recordings: [N] index of the recording of each; None: all of one.
        other_recordings: [M], the same.
        visual_dim: Number of last entries of an embedding that describe the picture alone: pictures
            that resemble neither state in these, perhaps of another camera, score 0. 0: none, such
            pictures are not recognised.

    Raises:
        TeachingError: Fewer than LEAST_FRAMES of one state, or the states are too alike.
    """
    for what, shown in (("the state", state), ("the other state", other)):
        if len(shown) < LEAST_FRAMES:
            raise TeachingError(
                f"{len(shown)} frames show {what}, allowed: at least {LEAST_FRAMES}"
            )
    rows, shows, margins, across = _left_out(state, other, state_recordings, other_recordings)
    accuracy = balanced_accuracy(margins > 0.0, shows)
    if not accuracy >= LEAST_ACCURACY:
        raise TeachingError(
            f"the two states look too alike: frames that were left out are recognised with a "
            f"balanced accuracy of {accuracy:.2f} (chance: 0.50), allowed: {LEAST_ACCURACY:g} "
            "or more"
        )
    slope, bias = _logistic(margins, shows)
    weights, offset = _ridge(rows, shows)
    norm = float(np.linalg.norm(weights))
    calibration = Calibration(slope * norm, (offset - bias / slope) / norm)
    scene, least = _scene(rows, shows, visual_dim)
    vector = (weights / norm).astype(np.float32)
    return TaughtLabel(vector, calibration, scene, least, accuracy, across)


def separability(state: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Balanced accuracy on left-out parts, 0..1; NaN: too few frames of one state yet.

    Args:
        state: [N, D] embeddings of L2 norm 1 that show the state, oldest first.
        other: [M, D] embeddings that show the other state.
    """
    if min(len(state), len(other)) < BLOCKS:
        return math.nan
    _, shows, margins, _ = _left_out(state[-ENOUGH:], other[-ENOUGH:])
    return balanced_accuracy(margins > 0.0, shows)


def balanced_accuracy(found: NDArray[np.bool_], shows: NDArray[np.bool_]) -> float:
    """Mean over both states of the share of their [N] frames that are recognised, 0..1."""
    return float((found[shows].mean() + (~found[~shows]).mean()) / 2)


def _left_out(
    state: NDArray[np.float32], other: NDArray[np.float32], *recordings: NDArray[np.integer] | None
) -> tuple[Float, NDArray[np.bool_], Float, bool]:
    """All frames, whether each shows the state, and its cross-validated score.

    A frame is scored by `_ridge` on the other recordings, or on the other parts of the only one;
    the last value says whether there were several recordings of both states.
    """
    rows: Float = np.concatenate([state, other]).astype(np.float64)
    shows = np.arange(len(rows)) < len(state)
    folds, across = [], True
    for size, own in zip((len(state), len(other)), recordings or (None, None), strict=True):
        _, place = np.unique(np.zeros(size) if own is None else own, return_inverse=True)
        if size - np.bincount(place).max() < LEAST_FRAMES // 2:  # too few are left to learn from
            place, across = np.arange(size) * BLOCKS // size, False
        folds.append(place)
    fold, margins = np.concatenate(folds), np.zeros(len(rows))
    for out in (fold == number for number in np.unique(fold)):
        weights, offset = _ridge(rows[~out], shows[~out])
        margins[out] = rows[out] @ weights - offset
    return rows, shows, margins, across


def _ridge(rows: Float, shows: NDArray[np.bool_]) -> tuple[Float, float]:
    """Weights [D] and offset of the ridge regression.

    rows @ weights - offset is about 1 for frames of the state, -1 for frames of the other one.
    """
    share = np.where(shows, 0.5 / shows.sum(), 0.5 / (~shows).sum())
    centre = share @ rows
    spread = rows - centre
    half = np.sqrt(share)[:, None] * spread
    level = RIDGE * float(np.square(half).sum()) + 1e-12
    gram = half @ half.T + level * np.eye(len(rows))
    weights = half.T @ np.linalg.solve(gram, np.sqrt(share) * np.where(shows, 1.0, -1.0))
    return weights, float(weights @ centre)


def _scene(
    rows: Float, shows: NDArray[np.bool_], visual_dim: int
) -> tuple[NDArray[np.float32] | None, float]:
    """The mean direction of both states, and the least similarity to it; see `EncodedText`."""
    if not visual_dim:
        return None, 0.0
    visual = np.zeros_like(rows)
    visual[:, -visual_dim:] = rows[:, -visual_dim:]
    centre = visual[shows].mean(axis=0) + visual[~shows].mean(axis=0)
    centre /= max(float(np.linalg.norm(centre)), 1e-12)
    return centre.astype(np.float32), LEAST_LIKE * float(np.linalg.norm(visual, axis=1).mean())


def _logistic(margins: Float, shows: NDArray[np.bool_]) -> tuple[float, float]:
    """Slope, above 0, and bias of a logistic regression, by Newton's method."""
    share = np.where(shows, 0.5 / shows.sum(), 0.5 / (~shows).sum())
    wanted = np.where(shows, TYPICAL, 1.0 - TYPICAL)
    inputs = np.stack([margins, np.ones_like(margins)], axis=1)
    found = np.array([1.0, 0.0])
    for _ in range(20):
        likely = sigmoid(inputs @ found)
        slope = inputs.T @ (share * (likely - wanted)) + 1e-3 * found
        curve = (inputs * (share * likely * (1.0 - likely))[:, None]).T @ inputs
        found = found - np.linalg.solve(curve + 1e-3 * np.eye(2), slope)
    return max(float(found[0]), 0.1), float(found[1])
