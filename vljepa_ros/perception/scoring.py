"""Calibrated scores of texts for a clip: labels of a group, candidate answers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.models.calibration import probabilities
from vljepa_ros.models.config import Calibration
from vljepa_ros.perception.vocabulary import EncodedGroup


@dataclass(frozen=True)
class Scores:
    """Scores of texts that exclude each other; `scores` and `none_score` add up to 1.

    Attributes:
        scores: [N] float32, the calibrated probability that this text is the right one.
        none_score: Probability that none is right, 0..1; 0 if the model cannot judge presence.
    """

    scores: NDArray[np.float32]
    none_score: float

    @property
    def best(self) -> int:
        """Index of the best text, the first of equal ones."""
        return int(self.scores.argmax())

    @property
    def margin(self) -> float:
        """Best score minus the second best, 0..1; for a single text its score."""
        others = np.delete(self.scores, self.best)
        return float(self.scores[self.best] - others.max(initial=0.0))


def calibrated_scores(similarities: NDArray[np.float32], calibration: Calibration) -> Scores:
    """Scores of N > 0 different texts, from their cosines [N] with an embedding."""
    each, none = probabilities(similarities, calibration)
    return Scores(each.astype(np.float32), none)


@dataclass(frozen=True)
class ScoredGroup:
    """The scored labels of one group, best first.

    Attributes:
        prompt: the group's prompt.
        labels: best first.
        scores: [labels] float32, see `Scores`.
        similarities: [labels] float32, cosine; of a taught label with its direction.
        none_score: see `Scores`.
    """

    prompt: str
    labels: tuple[str, ...]
    scores: NDArray[np.float32]
    similarities: NDArray[np.float32]
    none_score: float


def score_group(
    embedding: NDArray[np.float32],
    encoded: EncodedGroup,
    calibration: Calibration,
    shown: NDArray[np.float32] | None = None,
) -> ScoredGroup:
    """Compare a clip's answer to the group's prompt with each label.

    Taught labels are scored first: texts and "none" share the rest.

    Args:
        embedding: [D] float32, L2 norm 1.
        encoded: the group and its labels' embeddings.
        calibration: of the model.
        shown: [D] the answer to the default query, with which taught labels are compared; None:
            `embedding`.
    """
    similarities = encoded.embeddings @ embedding
    if not encoded.taught:
        order = np.argsort(-similarities, kind="stable")
        found = calibrated_scores(similarities, calibration)
    else:
        found = _with_taught(
            similarities, embedding if shown is None else shown, encoded, calibration
        )
        order = np.lexsort([-similarities, -found.scores])
    labels = tuple(encoded.group.labels[i] for i in order)
    return ScoredGroup(
        encoded.group.prompt, labels, found.scores[order], similarities[order], found.none_score
    )


def _with_taught(
    similarities: NDArray[np.float32],
    shown: NDArray[np.float32],
    encoded: EncodedGroup,
    calibration: Calibration,
) -> Scores:
    """Scores of a group with taught labels, whose similarities are written."""
    odds = np.zeros(len(similarities))
    for place, label in encoded.taught.items():
        similarities[place] = label.vector @ shown
        likely = min(float(label.score(shown)), 1.0 - 1e-9)
        odds[place] = likely / (1.0 - likely)
    rest = 1.0 / (1.0 + odds.sum())
    scores, none = odds * rest, rest
    texts = np.array([place not in encoded.taught for place in range(len(odds))])
    if texts.any():
        found = calibrated_scores(similarities[texts], calibration)
        scores[texts], none = found.scores * rest, found.none_score * rest
    return Scores(scores.astype(np.float32), float(none))
