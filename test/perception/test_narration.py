"""The user's labels as texts: which one speaks, and when none does."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vljepa_ros.perception.narration import LabelNarrator

ONE = np.ones((1, 4), np.float32)


def scored(
    stamp: float, version: int = 1, **scores: float
) -> tuple[float, int, dict[str, dict[str, float]]]:
    """Groups `who` and `door` with two labels each."""
    person, is_open = scores.get("person", 0.0), scores.get("open", 0.0)
    groups = {
        "who": {"a person": person, "no one": 1 - person},
        "door": {"open": is_open, "closed": 1 - is_open},
    }
    return stamp, version, groups


def say(narrator: LabelNarrator) -> tuple[str, float]:
    (said,) = narrator.generate(ONE)
    assert not said.decoded
    return said.text, pytest.approx(said.confidence, abs=1e-6)


def test_the_label_that_rose_speaks_and_the_first_group_where_none_did() -> None:
    narrator = LabelNarrator(0.5)
    assert not narrator.ready
    assert not narrator.keep(*scored(0.0, person=0.1, open=0.99))
    assert narrator.ready
    assert say(narrator) == ("no one", 0.9)
    narrator.keep(*scored(9.0, person=0.8, open=0.99))
    assert say(narrator) == ("a person", 0.8)
    narrator.keep(*scored(19.0, person=0.9, open=0.05))
    assert say(narrator) == ("closed", 0.95)
    assert say(narrator) == ("a person", 0.9)


def test_a_group_that_is_not_sure_leaves_the_word_to_others() -> None:
    narrator = LabelNarrator(0.7)
    narrator.keep(*scored(0.0, person=0.5, open=0.9))
    assert say(narrator) == ("open", 0.9)
    narrator.least = 0.95
    assert say(narrator)[1] == 0.5, "below what is needed: the decoder withholds it"


def test_one_odd_clip_is_averaged_with_those_before_it() -> None:
    narrator = LabelNarrator(0.5)
    for i in range(20):
        narrator.keep(*scored(i / 5, person=0.9))
    narrator.keep(*scored(4.0, person=0.0))
    assert say(narrator) == ("a person", 0.675)


def test_another_vocabulary_and_time_that_jumps_back_forget_the_scores() -> None:
    narrator = LabelNarrator(0.5)
    narrator.keep(*scored(5.0, person=0.9))
    assert not narrator.keep(*scored(1.0, person=0.0)), "the same words"
    assert say(narrator)[0] == "no one"
    assert narrator.keep(1.2, 2, {"mine": {"my cup": 0.8}})
    assert say(narrator) == ("my cup", 0.8)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40), st.floats(0, 1))
def test_confidence_is_a_probability(scores: list[float], least: float) -> None:
    narrator = LabelNarrator(least)
    for i, score in enumerate(scores):
        narrator.keep(*scored(i / 30, person=score, open=score))
        (said,) = narrator.generate(ONE)
        assert 0.0 <= said.confidence <= 1.0
        assert said.text in {"a person", "no one", "open", "closed"}
