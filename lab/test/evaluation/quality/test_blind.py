from __future__ import annotations

import pytest

from vljepa_lab.evaluation.quality.vqa import QuestionMajority


def test_prefers_the_questions_own_majority_then_the_tasks():
    blind = QuestionMajority()
    blind.learn([("colour", "what colour is the mug?", "red")] * 3)
    blind.learn([("colour", "what colour is the box?", "blue")] * 7)
    candidates = ["green", "blue", "red"]
    assert blind.answer("colour", "what colour is the mug?", candidates) == 2
    assert blind.answer("colour", "what colour is the box?", candidates) == 1
    assert blind.answer("colour", "what colour is the ball?", candidates) == 1  # the task's
    assert blind.answer("count", "how many mugs?", candidates) == 0  # nothing known: the first


def test_majority_answer_that_is_no_candidate_backs_off():
    blind = QuestionMajority()
    blind.learn([("exists", "is there a red mug?", "maybe")] * 3)
    blind.learn([("exists", "is there a blue box?", "no")] * 2)
    assert blind.answer("exists", "is there a red mug?", ["yes", "no"]) == 1


def test_no_candidates_is_an_error():
    with pytest.raises(ValueError, match="at least one"):
        QuestionMajority().answer("exists", "is there a mug?", [])
