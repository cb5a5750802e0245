"""Questions of both polarities: what is asserted decides, and no word alone does."""

from __future__ import annotations

import random
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vljepa_lab.world.polar import (
    OPPOSITE,
    POLAR,
    asked,
    draw_polar,
    draw_written,
    polar_questions,
    written,
)
from vljepa_lab.world.wordings import wordings

NEGATED = [key.removesuffix(":not") for key in wordings("asked", "polar") if key.endswith(":not")]


@pytest.mark.parametrize("statement", sorted(OPPOSITE))
def test_a_question_is_answered_the_other_way_round_where_the_opposite_holds(
    statement: str,
) -> None:
    answers: dict[str, set[bool]] = defaultdict(set)
    for holds, is_opposite in ((statement, False), (OPPOSITE[statement], True)):
        rng = random.Random(holds)
        for _ in range(2000):
            text, yes = draw_polar(holds, rng, "red ball")
            answers[text].add(yes != is_opposite)
    assert all(len(found) == 1 for found in answers.values()), [
        text for text, found in answers.items() if len(found) > 1
    ]


@given(st.sampled_from(POLAR), st.integers(0, 2**32))
def test_placeholders_are_filled(holds: str, seed: int) -> None:
    text, _ = draw_polar(holds, random.Random(seed), "orange can", "red ball")
    assert "{" not in text
    assert "a orange" not in text


@pytest.mark.parametrize("holds", POLAR)
def test_yes_and_no_are_balanced_and_no_word_tells_the_answer(holds: str) -> None:
    rng = random.Random(1)
    with_word: dict[str, list[bool]] = defaultdict(list)
    for _ in range(3000):
        text, yes = draw_polar(holds, rng, "red ball", "blue box")
        for word in {"", *text.lower().replace("?", " ").split()}:
            with_word[word].append(yes)
    assert 0.45 < sum(with_word[""]) / 3000 < 0.55
    often = {word: yes for word, yes in with_word.items() if len(yes) > 300}
    assert all(0.1 < sum(yes) / len(yes) < 0.9 for yes in often.values()), {
        word: sum(yes) / len(yes) for word, yes in often.items()
    }


@pytest.mark.parametrize(
    ("statement", "question"),
    [
        ("the door is open", "is the door open?"),
        ("the gripper holds something", "does the gripper hold something?"),
        ("the door has been shut", "has the door been shut?"),
        ("the room has a light", "does the room have a light?"),
    ],
)
def test_a_statement_is_turned_into_a_question(statement: str, question: str) -> None:
    found = {asked(statement, random.Random(seed)) for seed in range(40)}
    assert (question, True) in found
    assert any(not asserts for _, asserts in found)


def test_written_questions_stand_beside_those_made_of_statements() -> None:
    for key in POLAR:
        assert len(polar_questions(key)) > 200, key
        assert len(written(key)) >= 50, key


@pytest.mark.parametrize("key", NEGATED)
def test_a_written_question_and_its_negation_are_drawn_with_their_answers(key: str) -> None:
    rng = random.Random(0)
    for true in (True, False):
        for _ in range(50):
            text, yes = draw_written(key, true, rng)
            assert yes == (true if text in written(key) else not true)
