"""Calibrated scores of texts against what a clip shows: labels of a group, candidate answers."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.models.calibration import probabilities
from vljepa_ros.models.config import Calibration
from vljepa_ros.perception.vocabulary import (
    MAX_LABELS,
    EncodedGroup,
    PresenceError,
    checked_texts,
)


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


@dataclass(frozen=True)
class Question:
    """A checked question: candidates without surrounding blanks, in the order they were given."""

    text: str
    candidates: tuple[str, ...]

    @property
    def different(self) -> list[str]:
        """The candidates without repetitions."""
        return list(dict.fromkeys(self.candidates))


@dataclass(frozen=True)
class Answer:
    """Which candidate answers a question (discriminative VQA), or what the model wrote itself.

    Attributes:
        text: the answer.
        index: of the best candidate, the first of equal ones; -1 if the model wrote the text.
        scores: [candidates] float32, see `Scores`; equal for equal candidates.
        none_score: see `Scores`.
        margin: best score minus the second best, 0..1.
        abstained: no candidate fits well enough to rely on.
    """

    text: str
    index: int
    scores: NDArray[np.float32]
    none_score: float
    margin: float
    abstained: bool


def checked_question(
    text: str, candidates: Sequence[str], capabilities: Collection[str] = ("presence",)
) -> Question:
    """A question that can be asked.

    Args:
        text: the question.
        candidates: possible answers.
        capabilities: of the engine: with `caption` it writes an answer of its own where there are
            no candidates, without `presence` it must have two to choose from.

    Raises:
        VocabularyError: question or a candidate empty or too long; no or too many candidates.
        PresenceError: a candidate alone, for an engine without `presence`.
    """
    (question,) = checked_texts([text], "questions", 1)
    if "caption" in capabilities and not candidates:
        return Question(question, ())
    asked = Question(question, checked_texts(candidates, "candidates", MAX_LABELS))
    if "presence" not in capabilities and len(asked.different) < 2:
        raise PresenceError(f"1 candidate, allowed: 2 to {MAX_LABELS} different ones")
    return asked


def best_answer(
    question: Question,
    similarities: NDArray[np.float32],
    calibration: Calibration,
    abstain_below: float,
) -> Answer:
    """Choose among the candidates.

    Args:
        question: at least one candidate.
        similarities: [question.different] float32, cosine of each with the predicted answer.
        calibration: of the model.
        abstain_below: 0..1; a best score below it is an abstention.
    """
    found = calibrated_scores(similarities, calibration)
    text = question.different[found.best]
    index = {text: i for i, text in enumerate(question.different)}
    each = found.scores[[index[candidate] for candidate in question.candidates]]
    unsure = bool(found.scores[found.best] < abstain_below)
    return Answer(
        text, question.candidates.index(text), each, found.none_score, found.margin, unsure
    )
