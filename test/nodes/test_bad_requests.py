"""Bad requests: each gets a reply that says what is allowed, and the node lives on."""

from __future__ import annotations

import time
from typing import Any

import pytest
from bad_input import Watch, ask_second, second
from graph import (
    COLOURS,
    MODEL,
    SECOND,
    Graph,
    accepted,
    compressed,
    duration,
    image,
    question,
)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"camera": "rear"}, "unknown camera 'rear', allowed: front"),
        ({"candidates": []}, "0 candidates, allowed: 1 to 1000"),
        ({"candidates": ["yes", ""]}, "text 1 of the candidates has 0 characters"),
        ({"candidates": ["x"] * 1001}, "1001 candidates, allowed: 1 to 1000"),
        ({"text": ""}, "has 0 characters, allowed: 1 to 512"),
        ({"text": "why? " * 200}, "characters, allowed: 1 to 512"),
        ({"text": "why not? " * 30}, "tokens, allowed: 64 with the special ones; it begins 'why"),
        ({"candidates": ["no", "so " * 90]}, "has 92 tokens, allowed: 64"),
        ({"max_age": duration(-0.5)}, "max_age is -0.5 s, allowed: 0 or more"),
        ({"wait": duration(-1.0)}, "wait is -1 s, allowed: 0 or more"),
    ],
)
def test_questions_that_cannot_be_answered(
    graph: Graph, watch: Watch, fields: dict[str, Any], reason: str
) -> None:
    graph.stamp = time.time_ns() - 60 * SECOND
    graph.show(watch.camera, "red", 2.0)
    reply = graph.ask(**fields)
    unknown = "camera" in fields
    assert reply.result.code == (
        reply.result.UNKNOWN_CAMERA if unknown else reply.result.BAD_REQUEST
    )
    assert reason in reply.result.message
    assert (reply.answer.index, reply.answer.answer) == (-1, "")
    assert reply.answer.status == reply.answer.REFUSED
    assert accepted(graph.ask(next(iter(COLOURS)))), "the node lives on"


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"encoding": "32FC1"}, "encoding is '32FC1', allowed: rgb8"),
        ({"data": b"12"}, "truncated: 2 bytes"),
    ],
)
def test_pictures_that_cannot_be_used(
    graph: Graph, started: Any, fields: dict[str, Any], reason: str
) -> None:
    reply = graph.ask_about(image("red", 1, **fields))
    assert reply.result.code == reply.result.BAD_REQUEST
    assert reason in reply.result.message
    for pictures, count in ({"image": []}, 0), ({"compressed": [compressed("red", 1)]}, 2):
        reply = graph.ask_about(image("red", 1), **pictures)
        assert f"{count} pictures in image and compressed, allowed: 1" in reply.result.message
    assert accepted(graph.ask_about(image("red", 1)))


@pytest.mark.parametrize(
    ("fields", "code", "reason"),
    [
        ({"cameras": ["front", "rear"]}, "UNKNOWN_CAMERA", "cameras[1]: unknown camera 'rear'"),
        ({"cameras": [""]}, "UNKNOWN_CAMERA", "cameras[0]: unknown camera '', allowed: front"),
        ({"cameras": ["front"] * 2}, "BAD_REQUEST", "cameras[1]: 'front' is repeated"),
        ({"questions": []}, "BAD_REQUEST", "0 questions, allowed: 1 to 256"),
        (
            {"questions": [question("?"), question("?", ["a", ""])]},
            "BAD_REQUEST",
            "questions[1]: text 1 of the candidates has 0 characters",
        ),
    ],
)
def test_several_questions_that_cannot_be_answered(
    graph: Graph, watch: Watch, fields: dict[str, Any], code: str, reason: str
) -> None:
    graph.show(watch.camera, "red", 2.0)
    reply = graph.ask_all(**{"questions": [question("?")]} | fields)
    assert reply.result.code == getattr(reply.result, code)
    assert reason in reply.result.message
    assert len(reply.answers) == 0
    assert accepted(graph.ask_all(questions=[question("?")]))


def test_a_question_before_the_first_image(graph: Graph, started: Any) -> None:
    graph.add(second, model=MODEL, front__image_topic="/nothing")
    reply = ask_second(graph)
    assert reply.result.code == reply.result.STALE
    assert "camera 'front': no usable image yet" in reply.result.message
    assert reply.answer.status == reply.answer.STALE


def test_a_single_candidate_and_duplicates(graph: Graph, watch: Watch) -> None:
    graph.show(watch.camera, "red", 2.0)
    reply = graph.ask(candidates=["yes"])
    assert accepted(reply)
    assert len(reply.answer.scores) == 1
    assert reply.answer.margin == pytest.approx(reply.answer.scores[0])
    reply = graph.ask(candidates=["no", "yes", "no", "yes", "no"])
    assert accepted(reply)
    assert len(set(reply.answer.scores)) == 2


def test_as_many_candidates_as_allowed_are_answered_when_asked_again_after_a_deadline(
    graph: Graph, watch: Watch
) -> None:
    graph.show(watch.camera, "red", 2.0)
    many = [f"thing number {i}" for i in range(1000)]
    for _ in range(5):
        reply = graph.ask(candidates=many)
        if accepted(reply):
            break
        assert (
            "of 1000 texts are encoded and kept, ask again for the others" in reply.result.message
        )
    answer = reply.answer
    assert len(answer.scores) == 1000
    assert answer.answer == ("" if answer.index < 0 else many[answer.index])
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
