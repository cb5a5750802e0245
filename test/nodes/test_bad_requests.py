"""Bad requests: each gets a reply that says what is allowed, and the node lives on."""

from __future__ import annotations

import time
from typing import Any

import pytest
from bad_input import Watch, ask_second, second
from graph import COLOURS, MODEL, SECOND, Graph, accepted, image


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"camera": "rear"}, "unknown camera 'rear', allowed: front"),
        ({"candidates": []}, "0 candidates, allowed: 1 to 10000"),
        ({"candidates": ["yes", ""]}, "text 1 of the candidates has 0 characters"),
        ({"candidates": ["x"] * 10001}, "10001 candidates, allowed: 1 to 10000"),
        ({"question": ""}, "has 0 characters, allowed: 1 to 512"),
        ({"question": "why? " * 200}, "characters, allowed: 1 to 512"),
        (
            {"question": "why not? " * 30},
            "tokens, allowed: 64 with the special ones; it begins 'why",
        ),
        ({"candidates": ["no", "so " * 90]}, "has 92 tokens, allowed: 64"),
        ({"max_age": 0.001}, "older than max_age allows"),
        ({"image": [image("red", 1, encoding="32FC1")]}, "encoding is '32FC1', allowed: rgb8"),
        ({"image": [image("red", 1, data=b"12")]}, "truncated: 2 bytes"),
    ],
)
def test_questions_that_cannot_be_answered(
    graph: Graph, watch: Watch, fields: dict[str, Any], reason: str
) -> None:
    graph.stamp = time.time_ns() - 60 * SECOND
    graph.show(watch.camera, "red", 2.0)
    reply = graph.ask(**fields)
    assert not accepted(reply)
    assert reason in reply.result.message
    assert (reply.index, reply.answer) == (-1, "")
    assert accepted(graph.ask(next(iter(COLOURS)))), "the node lives on"


def test_a_question_before_the_first_image(graph: Graph, started: Any) -> None:
    graph.add(second, model=MODEL, front__image_topic="/nothing")
    reply = ask_second(graph)
    assert "camera 'front' has sent no usable image yet" in reply.result.message


def test_a_single_candidate_and_duplicates(graph: Graph, watch: Watch) -> None:
    graph.show(watch.camera, "red", 2.0)
    reply = graph.ask(candidates=["yes"])
    assert (accepted(reply), reply.answer, len(reply.scores)) == (True, "yes", 1)
    assert reply.margin == pytest.approx(reply.scores[0])
    reply = graph.ask(candidates=["no", "yes", "no", "yes", "no"])
    assert accepted(reply)
    assert len(set(reply.scores)) == 2


def test_ten_thousand_candidates_are_answered_or_the_deadline_is(
    graph: Graph, watch: Watch
) -> None:
    graph.show(watch.camera, "red", 2.0)
    many = [f"thing number {i}" for i in range(10000)]
    reply = graph.ask(candidates=many)
    if accepted(reply):
        assert len(reply.scores) == 10000
        assert many[reply.index] == reply.answer
    else:
        assert "no answer within 10 s" in reply.result.message
    assert watch.lives()


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ([], "no group"),
        (["a", "b", "a"], "appear twice: 'a'; allowed: each label once"),
        (["a", " "], "has 0 characters, allowed: 1 to 512"),
        (["a|b"], "contains '|'"),
        ([str(i) for i in range(10001)], "10001 labels of 'which?', allowed: 1 to 10000"),
        (["so " * 90 + "red", "so " * 90 + "blue"], "has 93 tokens, allowed: 64"),
        (["Red", "red"], "'Red' and 'red' are the same tokens"),
    ],
)
def test_labels_that_cannot_be_used(
    graph: Graph, started: Any, labels: list[str], reason: str
) -> None:
    before = started.vocabulary.vocabulary
    reply = graph.call("vljepa_ros/srv/SetLabels", "set_labels", prompt="which?", labels=labels)
    assert not accepted(reply)
    assert reason in reply.result.message
    assert started.vocabulary.vocabulary == before
