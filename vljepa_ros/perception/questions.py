"""Checks questions with candidate answers (discriminative VQA), and chooses the answer.

The scores of the candidates and of "none of them" add up to 1. A question is answered if its best
candidate scores `abstain_below` or more, and not less than "none". Otherwise the status is
NONE_FITS if "none" scores more than the best candidate, or at least as much as all other candidates
together, and AMBIGUOUS if the other candidates have most of the rest.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.models.config import Calibration, ModelConfig
from vljepa_ros.perception.scoring import Scores, calibrated_scores
from vljepa_ros.perception.vocabulary import (
    MAX_TOTAL_LABELS,
    PresenceError,
    VocabularyError,
    checked_texts,
)
from vljepa_ros.perception.yes_no import Presence, answer_kind, is_yes_or_no, judged, parse

MAX_QUESTIONS = 256
MAX_CANDIDATES = 1000
"""In a question, and different ones in a request: about as many as nano can encode within
`request_timeout` on two busy cores while a camera streams; see `doc/questions.md`."""
_CANNOT_READ = (
    "this model compares pictures with texts and cannot read this question; allowed for yes or no: "
    "'is there a ...?', 'is anybody here?', 'is it indoors?' and the like. For anything else give "
    "candidates that name what may be seen, such as 'the door is open' and 'the door is closed'"
)


@dataclass(frozen=True)
class Question:
    """A checked question.

    Attributes:
        text: The question.
        candidates: Without surrounding blanks, in the given order.
        unsupported: Why the model cannot answer a question of this form; empty if it can.
        presence: How a model that cannot read questions decides between yes and no.
    """

    text: str
    candidates: tuple[str, ...]
    unsupported: str = ""
    presence: Presence | None = None

    @cached_property
    def different(self) -> list[str]:
        """The candidates without repetitions."""
        return list(dict.fromkeys(self.candidates))

    @property
    def compared(self) -> list[str]:
        """The texts that clips are compared with."""
        return list(self.presence.texts) if self.presence else self.different


@dataclass(frozen=True)
class Answer:
    """The answer to a question, or why there is none.

    Attributes:
        status: Name of a constant of msg/Answer.
        message: Why there is no answer; empty if ANSWERED.
        text: Empty unless ANSWERED.
        index: Index of the best candidate, the first of equal ones; -1 unless ANSWERED, or if the
            model wrote the text.
        scores: [candidates] float32, calibrated, 0..1, equal for equal candidates; empty where
            nothing was compared.
        none_score: Probability that none of them is right, 0..1.
        margin: Best score minus the second best, 0..1.
        in_domain: See `DomainWatch`.
    """

    status: str = "ANSWERED"
    message: str = ""
    text: str = ""
    index: int = -1
    scores: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    none_score: float = 0.0
    margin: float = 0.0
    in_domain: bool = True


def checked_question(
    text: str,
    candidates: Sequence[str],
    capabilities: Collection[str],
    reads_questions: bool = True,
) -> Question:
    """Check a question.

    Args:
        text: The question.
        candidates: Possible answers.
        capabilities: Of the engine: with `caption` it writes an answer itself if there are no
            candidates, without `presence` it needs two or more.
        reads_questions: False: the model sees the candidates only, so that yes/no questions are
            answered as described in `yes_no`.

    Raises:
        VocabularyError: Question or a candidate empty or too long; no or too many candidates.
    """
    (question,) = checked_texts([text], "questions", 1)
    if "caption" in capabilities and not candidates:
        return Question(question, ())
    asked = Question(question, checked_texts(candidates, "candidates", MAX_CANDIDATES))
    if not reads_questions and is_yes_or_no(question, asked.candidates):
        found = parse(question)
        if found is None:
            return replace(asked, unsupported=_CANNOT_READ)
        if "presence" in capabilities or found.contrast:
            return replace(asked, presence=found)
        named = "yes and no, allowed: two or more candidates that name what may be seen"
        return replace(asked, unsupported=str(PresenceError(named)))
    if "presence" in capabilities or len(asked.different) > 1:
        return asked
    reason = PresenceError(f"1 candidate, allowed: 2 to {MAX_CANDIDATES} different ones")
    return Question(question, asked.candidates, str(reason))


def checked_questions(
    questions: Sequence[Any], capabilities: Collection[str], reads_questions: bool = True
) -> list[Question]:
    """Check the questions of one request.

    Args:
        questions: Each with `text` and `candidates`, such as msg/Question.
        capabilities: See `checked_question`.
        reads_questions: The same.

    Raises:
        VocabularyError: A question is invalid, or there are none or too many questions or
            candidates.
    """
    if not 1 <= len(questions) <= MAX_QUESTIONS:
        raise VocabularyError(f"{len(questions)} questions, allowed: 1 to {MAX_QUESTIONS}")
    checked = []
    for number, question in enumerate(questions):
        try:
            given = question.text, question.candidates
            checked.append(checked_question(*given, capabilities, reads_questions))
        except VocabularyError as error:
            raise VocabularyError(f"questions[{number}]: {error}") from error
    total = sum(len(question.candidates) for question in checked)
    if total > MAX_TOTAL_LABELS:
        raise VocabularyError(f"{total} candidates in all, allowed: {MAX_TOTAL_LABELS}")
    different = len({text for question in checked for text in question.candidates})
    if different > MAX_CANDIDATES:
        raise VocabularyError(f"{different} different candidates, allowed: {MAX_CANDIDATES}")
    return checked


def best_answer(
    question: Question,
    similarities: NDArray[np.float32],
    calibration: Calibration,
    abstain_below: float,
) -> Answer:
    """Choose among the candidates or none of them, as described at the top of this file.

    Args:
        question: At least one candidate.
        similarities: [question.different] float32, cosine of each with the predicted answer.
        calibration: Of the model.
        abstain_below: 0..1.
    """
    return _chosen(question, calibrated_scores(similarities, calibration), abstain_below)


def yes_or_no(
    question: Question,
    similarities: NDArray[np.float32],
    config: ModelConfig,
    abstain_below: float,
) -> Answer:
    """Answer yes or no by the presence of what the question names, see `yes_no`.

    Args:
        question: With `presence`.
        similarities: [question.compared] float32, cosine of each with the clip.
        config: Of the model.
        abstain_below: 0..1.
    """
    assert question.presence is not None
    each, why = judged(question.presence, similarities, config)
    scores = [each.pop(answer_kind(one), 0.0) for one in question.different]
    found = Scores(np.array(scores, np.float32), max(0.0, 1.0 - sum(scores)))
    answer = _chosen(question, found, abstain_below)
    return replace(answer, message=why) if answer.message else answer


def _chosen(question: Question, found: Scores, abstain_below: float) -> Answer:
    different, none = question.different, found.none_score
    best, text = float(found.scores[found.best]), different[found.best]
    each = found.scores
    if len(different) < len(question.candidates):
        index = {text: i for i, text in enumerate(different)}
        each = each[[index[candidate] for candidate in question.candidates]]
    if best >= max(abstain_below, none):
        place = question.candidates.index(text)
        return Answer("ANSWERED", "", text, place, each, none, found.margin)
    status, why = "AMBIGUOUS", "other candidates have most of the rest"
    if none > best or none >= 1.0 - best - none:
        status, why = "NONE_FITS", "most likely none of the candidates is right"
    message = (
        f"{why}: the best, '{text}', scores {best:.2f}, none of them {none:.2f}; "
        f"an answer needs {abstain_below:.2f}, and more than none"
    )
    return Answer(status, message, "", -1, each, none, found.margin)
