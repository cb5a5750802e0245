"""Discriminative VQA: which of the candidate answers fits what the clip shows?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.models.config import Calibration
from vljepa_ros.perception.labels import calibrated
from vljepa_ros.perception.vocabulary import MAX_LABELS, checked_texts


@dataclass(frozen=True)
class Question:
    """A checked question: candidates without surrounding blanks, in the order they were given."""

    text: str
    candidates: tuple[str, ...]


@dataclass(frozen=True)
class Answer:
    """index: of the best candidate, the first of equal ones. scores: [candidates] float32,
    calibrated, 0..1, equal for equal candidates. margin: best score minus the second best, 0..1.

    abstained: no candidate fits well enough to rely on.
    A text that the model wrote itself has index -1 and no scores.
    """

    text: str
    index: int
    scores: NDArray[np.float32]
    margin: float
    abstained: bool


def checked_question(text: str, candidates: Sequence[str], writes: bool = False) -> Question:
    """A question that can be asked.

    :param writes: the model can write an answer of its own, so there need not be candidates.

    :raises VocabularyError: question or a candidate empty or too long; no or too many candidates.
    """
    (question,) = checked_texts([text], "questions", 1)
    if writes and not candidates:
        return Question(question, ())
    return Question(question, checked_texts(candidates, "candidates", MAX_LABELS))


def answer(
    question: Question,
    similarity: Callable[[str, Sequence[str]], NDArray[np.float32]],
    calibration: Calibration,
    abstain_below: float,
) -> Answer:
    """Ask.

    :param similarity: (question, different candidates [N]) -> cosine of each with the answer, [N].
    :param abstain_below: 0..1; a best score below it is an abstention.
    """
    unique = list(dict.fromkeys(question.candidates))
    scores = calibrated(similarity(question.text, unique), calibration)
    best = int(scores.argmax())
    others = np.delete(scores, best)
    margin = float(scores[best] - others.max()) if others.size else float(scores[best])
    place = {text: i for i, text in enumerate(unique)}
    return Answer(
        unique[best],
        question.candidates.index(unique[best]),
        scores[[place[text] for text in question.candidates]],
        margin,
        bool(scores[best] < abstain_below),
    )
