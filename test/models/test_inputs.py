from __future__ import annotations

import pytest

from vljepa_ros.models.dual_encoder.inputs import as_statement, expand


@pytest.mark.parametrize(
    ("question", "candidate", "statement"),
    [
        ("How many cups are there?", "three", "there are three cups"),
        ("What colour is the cup?", "red", "the colour of the cup is red"),
        ("What is happening?", "a person walks", "a person walks"),
        ("Where is the cup?", "on the table", "the cup is on the table"),
        ("Who is in the room?", "nobody", "nobody is in the room"),
        ("What is the robot holding?", "a cup", "the robot is holding a cup"),
        ("Why?", "because", "why? because"),
        ("", "a cup.", "a cup"),
    ],
)
def test_statements(question: str, candidate: str, statement: str) -> None:
    assert as_statement(question, candidate) == statement


def test_candidates_never_collapse() -> None:
    """Whatever the question, different answers give different statements."""
    for question in (
        "Is it so?",
        "Does the person wave?",
        "Can you see it?",
        "Which door is open?",
    ):
        statements = {as_statement(question, answer) for answer in ("yes", "no", "maybe")}
        assert len(statements) == 3, statements


def test_templates_need_a_place_for_the_text() -> None:
    assert expand("a {} b", ("see {}",)) == ["see a {} b"]
    with pytest.raises(ValueError, match=r"needs '\{\}'"):
        expand("cup", ("a photo",))
