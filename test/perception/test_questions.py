"""Questions that can be asked, and what counts as an answer."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vljepa_ros.models.config import Calibration
from vljepa_ros.perception.questions import (
    Answer,
    best_answer,
    checked_question,
    checked_questions,
)
from vljepa_ros.perception.vocabulary import VocabularyError

PRESENCE = {"presence"}


def ask(similarities: dict[str, float], abstain: float = 0.5, *more: str) -> Answer:
    question = checked_question("what?", [*similarities, *more], PRESENCE)
    compared = np.array([similarities[text] for text in question.different], np.float32)
    calibration = Calibration(logit_scale=10.0, none_similarity=0.0)
    return best_answer(question, compared, calibration, abstain)


def test_duplicates_are_answered_as_one() -> None:
    asked = checked_question("what?", ["no", "yes", "no ", "yes"], PRESENCE)
    assert asked.different == ["no", "yes"]
    got = ask({"no": 0.3, "yes": 0.9}, 0.5, "no ", "yes")
    assert (got.status, got.text, got.index) == ("ANSWERED", "yes", 1)
    assert got.scores[1] == got.scores[3]
    assert got.scores[0] == got.scores[2]
    assert got.margin == pytest.approx(got.scores[1] - got.scores[0])
    assert got.scores[:2].sum() + got.none_score == pytest.approx(1.0, abs=1e-5)
    assert got.message == ""


@pytest.mark.parametrize(
    ("similarities", "abstain", "status"),
    [
        ({"a": 0.9, "b": 0.0}, 0.5, "ANSWERED"),
        ({"a": 0.9, "b": 0.89}, 0.6, "AMBIGUOUS"),
        ({"a": 0.9, "b": 0.89}, 0.3, "ANSWERED"),
        ({"a": -0.4, "b": -0.5}, 0.5, "NONE_FITS"),
        ({"a": -0.4, "b": -0.5}, 0.0, "NONE_FITS"),  # more probable than the best, so never it
        ({"a": 0.01, "b": -0.6}, 0.6, "NONE_FITS"),  # the rest is none's
        ({"a": 0.1, "b": 0.08}, 0.5, "AMBIGUOUS"),  # more of the rest is b's
        ({"a": -0.4}, 0.5, "NONE_FITS"),
    ],
)
def test_the_status_says_where_the_probability_went(similarities, abstain, status) -> None:
    got = ask(similarities, abstain)
    assert got.status == status
    answered = status == "ANSWERED"
    assert (got.text, got.index) == (("a", 0) if answered else ("", -1))
    assert ("scores" in got.message) != answered
    assert len(got.scores) == len(similarities)


@given(
    st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=6),
    st.floats(0, 1),
    st.sampled_from([Calibration(20.0, 0.3), Calibration(100.0), Calibration(1.0, -1e4)]),
)
@settings(max_examples=80, deadline=None)
def test_an_answer_is_never_less_probable_than_none_or_the_threshold(scores, limit, how) -> None:
    question = checked_question("what?", [str(i) for i in range(len(scores))], PRESENCE)
    got = best_answer(question, np.array(scores, np.float32), how, limit)
    best = float(got.scores.max())
    assert (got.status == "ANSWERED") == (best >= limit and best >= got.none_score)
    if got.status == "AMBIGUOUS":
        assert got.none_score < 1.0 - best - got.none_score + 1e-6


def test_a_model_that_only_chooses_needs_two_different_candidates() -> None:
    for candidates in (["yes"], ["yes", " yes "]):
        why = checked_question("what?", candidates, {"score"}).unsupported
        assert why.startswith("1 candidate, allowed: 2 to 1000 different ones")
        assert "'presence'" in why
    assert not checked_question("what?", ["yes", "no"], {"score"}).unsupported
    assert not checked_question("what?", ["yes"], PRESENCE).unsupported
    assert checked_question("what?", [], {"caption"}).candidates == ()


@pytest.mark.parametrize(
    ("question", "candidates", "reason"),
    [
        ("", ["a"], "has 0 characters, allowed: 1 to 512"),
        ("x" * 513, ["a"], "has 513 characters, allowed: 1 to 512"),
        ("what?", [], "0 candidates, allowed: 1 to 1000"),
        ("what?", ["a"] * 1001, "1001 candidates, allowed: 1 to 1000"),
        ("what?", ["a", " "], "text 1 of the candidates has 0 characters"),
    ],
)
def test_questions_that_cannot_be_asked(question, candidates, reason) -> None:
    with pytest.raises(VocabularyError, match=reason):
        checked_question(question, candidates, PRESENCE)
    several = [SimpleNamespace(text="?", candidates=["a", "b"])] * 2
    several.append(SimpleNamespace(text=question, candidates=candidates))
    with pytest.raises(VocabularyError, match=rf"questions\[2\]: .*{reason}"):
        checked_questions(several, PRESENCE)


@pytest.mark.parametrize(
    ("count", "candidates", "reason"),
    [
        (0, 2, "0 questions, allowed: 1 to 256"),
        (257, 2, "257 questions, allowed: 1 to 256"),
        (21, 1000, "21000 candidates in all, allowed: 20000"),
    ],
)
def test_one_request_has_so_many_questions_and_candidates(count, candidates, reason) -> None:
    question = SimpleNamespace(text="?", candidates=[str(i) for i in range(candidates)])
    with pytest.raises(VocabularyError, match=reason):
        checked_questions([question] * count, PRESENCE)


def test_one_request_has_so_many_different_candidates() -> None:
    few = SimpleNamespace(text="?", candidates=[str(i) for i in range(600)])
    more = SimpleNamespace(text="?", candidates=[str(i) for i in range(500, 1001)])
    assert len(checked_questions([few] * 20, PRESENCE)) == 20
    with pytest.raises(VocabularyError, match="1001 different candidates, allowed: 1000"):
        checked_questions([few, more], PRESENCE)
