"""Calibrated scores of texts against what a clip shows: labels of a group, candidate answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.models.calibration import probabilities
from vljepa_ros.models.config import Calibration
from vljepa_ros.perception.vocabulary import MAX_LABELS, EncodedGroup, checked_texts


@dataclass(frozen=True)
class ScoredGroup:
    """The labels of one group, best first.

    Attributes:
        prompt: the group's prompt.
        labels: best first.
        scores: [labels] float32, calibrated, 0..1, sum at most 1.
        similarities: [labels] float32, cosine.
    """

    prompt: str
    labels: tuple[str, ...]
    scores: NDArray[np.float32]
    similarities: NDArray[np.float32]


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
    scores = probabilities(similarities, calibration)[0].astype(np.float32)
    labels = tuple(encoded.group.labels[i] for i in order)
    return ScoredGroup(encoded.group.prompt, labels, scores[order], similarities[order])


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
        scores: [candidates] float32, calibrated, 0..1, equal for equal candidates.
        margin: best score minus the second best, 0..1.
        abstained: no candidate fits well enough to rely on.
    """

    text: str
    index: int
    scores: NDArray[np.float32]
    margin: float
    abstained: bool


def checked_question(text: str, candidates: Sequence[str], writes: bool = False) -> Question:
    """A question that can be asked.

    Args:
        text: the question.
        candidates: possible answers.
        writes: the model can write an answer of its own, so there need not be candidates.

    Raises:
        VocabularyError: question or a candidate empty or too long; no or too many candidates.
    """
    (question,) = checked_texts([text], "questions", 1)
    if writes and not candidates:
        return Question(question, ())
    return Question(question, checked_texts(candidates, "candidates", MAX_LABELS))


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
    scores = probabilities(similarities, calibration)[0].astype(np.float32)
    best = int(scores.argmax())
    others = np.delete(scores, best)
    margin = float(scores[best] - others.max()) if others.size else float(scores[best])
    text = question.different[best]
    index = {text: i for i, text in enumerate(question.different)}
    each = scores[[index[candidate] for candidate in question.candidates]]
    unsure = bool(scores[best] < abstain_below)
    return Answer(text, question.candidates.index(text), each, margin, unsure)
