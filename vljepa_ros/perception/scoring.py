"""Calibrated scores of texts against what a clip shows: labels of a group, candidate answers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.models.calibration import probabilities
from vljepa_ros.models.config import Calibration
from vljepa_ros.perception.vocabulary import EncodedGroup


@dataclass(frozen=True)
class Scores:
    """What a set of texts that exclude each other scores. `scores` and `none_score` add up to 1.

    Attributes:
        scores: [N] float32, the calibrated probability that this text is the one that fits.
        none_score: 0..1, that none of them fits; 0 for a model that cannot judge presence.
    """

    scores: NDArray[np.float32]
    none_score: float

    @property
    def best(self) -> int:
        """Index of the best text, the first of equal ones."""
        return int(self.scores.argmax())

    @property
    def margin(self) -> float:
        """Best score minus the second best, 0..1; that of a text alone is its score."""
        others = np.delete(self.scores, self.best)
        return float(self.scores[self.best] - others.max(initial=0.0))


def calibrated_scores(similarities: NDArray[np.float32], calibration: Calibration) -> Scores:
    """Scores of N > 0 different texts, from their cosines [N] with what a clip shows."""
    each, none = probabilities(similarities, calibration)
    return Scores(each.astype(np.float32), none)


@dataclass(frozen=True)
class ScoredGroup:
    """The labels of one group, best first.

    Attributes:
        prompt: the group's prompt.
        labels: best first.
        scores: [labels] float32, see `Scores`.
        similarities: [labels] float32, cosine.
        none_score: see `Scores`.
    """

    prompt: str
    labels: tuple[str, ...]
    scores: NDArray[np.float32]
    similarities: NDArray[np.float32]
    none_score: float


def score_group(
    embedding: NDArray[np.float32], encoded: EncodedGroup, calibration: Calibration
) -> ScoredGroup:
    """Compare a clip's answer to the group's prompt with each label.

    Args:
        embedding: [D] float32, L2 norm 1.
        encoded: the group and its labels' embeddings.
        calibration: of the model.
    """
    similarities = encoded.embeddings @ embedding
    order = np.argsort(-similarities, kind="stable")
    found = calibrated_scores(similarities, calibration)
    labels = tuple(encoded.group.labels[i] for i in order)
    return ScoredGroup(
        encoded.group.prompt, labels, found.scores[order], similarities[order], found.none_score
    )
