"""The services that answer questions, on real middleware: fields, freshness, waiting, bursts."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from graph import (
    MODEL,
    SECOND,
    Graph,
    accepted,
    compressed,
    duration,
    image,
    nanoseconds,
    question,
)

from vljepa_ros import ros
from vljepa_ros.nodes.perception_node import PerceptionNode
from vljepa_ros.perception.worker import MAX_WAITING

ASK = "vljepa_ros/srv/AnswerQuestion"


def start(graph: Graph, **parameters: Any) -> Any:
    return graph.add(PerceptionNode, model=MODEL, **{"max_rate": 1000.0, **parameters})


def two_cameras(graph: Graph) -> dict[str, Any]:
    """A publisher for each of two cameras of a node."""
    topics = {"left__image_topic": "/left/image", "right__image_topic": "/right/image"}
    start(graph, cameras=["left", "right"], **topics)
    return {name: graph.camera(f"/{name}/image") for name in ("left", "right")}


def asking(graph: Graph, count: int = 1, **fields: Any) -> Callable[[], list[Any]]:
    """Ask without waiting; the function gives the replies that have come."""
    kind = ros.interface(ASK)
    # All replies may come at once, and rclpy's clients keep ten of them by default.
    client = graph.client.create_client(kind, "answer_question", qos_profile=ros.services_qos)
    assert graph.spin(client.service_is_ready)
    fields = {"question": question("what?")} | fields
    futures = [client.call_async(kind.Request(**fields)) for _ in range(count)]
    return lambda: [future.result() for future in futures if future.done()]


def test_an_answer_has_all_its_fields(graph: Graph) -> None:
    node = start(graph)
    camera = graph.camera()
    graph.stamp = time.time_ns() - 3 * SECOND
    last = graph.show(camera, "red")
    reply = graph.ask("is anybody in here?", ["yes", "no", "yes"], max_age=duration(0))
    assert accepted(reply), reply.result.message
    got = reply.answer
    assert (got.camera, got.question) == ("front", "is anybody in here?")
    if got.status == got.ANSWERED:
        assert got.index == ["yes", "no", "yes"].index(got.answer)
        assert got.message == ""
    else:
        assert (got.answer, got.index) == ("", -1)
        assert "scores" in got.message
    assert len(got.scores) == 3
    assert got.scores[0] == got.scores[2]
    assert sum(got.scores[:2]) + got.none_score == pytest.approx(1.0, abs=1e-5)
    assert got.margin == pytest.approx(abs(got.scores[0] - got.scores[1]), abs=1e-6)
    assert nanoseconds(got.header.stamp) == last
    assert got.header.frame_id == "front_optical"
    assert last - nanoseconds(got.clip_start) == pytest.approx(1.5 * SECOND, abs=0.26 * SECOND)
    assert 0.9 < nanoseconds(got.age) / SECOND < 30
    assert (got.in_domain, got.model_id) == (True, node.engine.config.model_id)


@pytest.mark.parametrize("limit", [1.0, 0.0])
def test_what_is_not_sure_is_no_answer(graph: Graph, limit: float) -> None:
    start(graph, abstain_below=limit)
    graph.show(graph.camera(), "red")
    got = graph.ask("what?", ["a", "b"]).answer
    best = max(got.scores)
    if best >= max(limit, got.none_score):
        assert got.status == got.ANSWERED
    else:
        none = got.none_score > best or got.none_score >= 1 - best - got.none_score
        assert got.status == (got.NONE_FITS if none else got.AMBIGUOUS)


def test_a_question_about_a_picture_in_the_request(graph: Graph) -> None:
    start(graph, autostart=False).trigger_configure()
    colours = question("which colour?", ["red", "green"])
    raw = graph.ask_about(image("green", 7 * SECOND), question=colours)
    jpeg = graph.ask_about(None, image=[], compressed=[compressed("green", 8)], question=colours)
    for reply, stamp in ((raw, 7 * SECOND), (jpeg, 8)):
        assert accepted(reply), reply.result.message
        assert nanoseconds(reply.answer.header.stamp) == stamp
        assert nanoseconds(reply.answer.clip_start) == stamp
        assert reply.answer.header.frame_id == "front_optical"
        assert reply.answer.camera == ""
    assert jpeg.answer.scores == pytest.approx(list(raw.answer.scores), abs=0.05)
    unstamped = graph.ask_about(image("green", 0), question=colours)
    assert nanoseconds(unstamped.answer.age) == 0


def test_a_camera_that_died_is_stale(graph: Graph) -> None:
    start(graph)
    graph.stamp = time.time_ns() - 10 * SECOND
    last = graph.show(graph.camera(), "red")
    reply = graph.ask(max_age=duration(0))
    assert (reply.result.code, reply.answer.status) == (reply.result.STALE, reply.answer.STALE)
    assert "s old, allowed: 3.50 s; see max_age" in reply.result.message
    assert nanoseconds(reply.answer.header.stamp) == 0
    assert accepted(graph.ask(max_age=duration(60)))
    later = ros.Time(nanoseconds=last - SECOND).to_msg()
    reply = graph.ask(after=later)
    assert reply.result.code == reply.result.STALE
    assert "before `after`" in reply.result.message


@pytest.mark.parametrize("hours", [-5, 2, 20_000])
def test_where_stamps_are_far_from_the_clock_the_arrival_counts(graph: Graph, hours: int) -> None:
    start(graph)
    graph.stamp = time.time_ns() - hours * 3600 * SECOND
    last = graph.show(graph.camera(), "red")
    reply = graph.ask(max_age=duration(30), after=ros.Time(nanoseconds=SECOND).to_msg())
    assert accepted(reply), reply.result.message
    assert nanoseconds(reply.answer.header.stamp) == last, "the camera's own"
    assert 0 <= nanoseconds(reply.answer.age) / SECOND < 30
    now = ros.Time(nanoseconds=time.time_ns()).to_msg()
    assert graph.ask(after=now).result.code == reply.result.STALE


def test_a_question_waits_for_a_clip_that_begins_after_a_time(graph: Graph) -> None:
    start(graph, request_timeout=60.0)
    camera = graph.camera()
    graph.stamp = time.time_ns() - 60 * SECOND
    last = graph.show(camera, "red")
    replies = asking(
        graph,
        after=ros.Time(nanoseconds=last).to_msg(),
        max_age=duration(300),
        wait=duration(50),
    )
    for _ in range(15):
        graph.show_one(camera, "blue")
    assert accepted(graph.ask()), "others are answered meanwhile"
    assert replies() == []
    assert graph.spin(replies, again=lambda: graph.show_one(camera, "blue"))
    (reply,) = replies()
    assert accepted(reply), reply.result.message
    assert nanoseconds(reply.answer.clip_start) > last


def test_a_wait_ends_with_what_there_is_and_not_later_than_the_timeout(graph: Graph) -> None:
    cameras = two_cameras(graph)
    graph.show(cameras["left"], "red")
    one, other = question("what?"), question("is it red?")
    begin = time.monotonic()
    reply = graph.ask_all(questions=[one, other], wait=duration(0.5))
    assert time.monotonic() - begin > 0.5
    assert accepted(reply)
    assert [(a.camera, a.question) for a in reply.answers] == [
        (camera, text) for camera in ("left", "right") for text in ("what?", "is it red?")
    ]
    stale = reply.answers[0].STALE
    assert [a.status == stale for a in reply.answers] == [False, False, True, True]
    assert "camera 'right': no usable image yet" in reply.answers[3].message
    reply = graph.ask_all(questions=[one], cameras=["right"])
    assert [a.status for a in reply.answers] == [stale]
    for node in graph.nodes:
        assert graph.set(node, "request_timeout", 0.3).successful
    reply = graph.ask(camera="right", wait=duration(3600))
    assert reply.result.code == reply.result.STALE, "the wait is over, nothing took too long"


def test_several_questions_get_the_answers_of_single_ones(graph: Graph) -> None:
    cameras = two_cameras(graph)
    graph.show(cameras["left"], "red")
    graph.show(cameras["right"], "blue")
    reply = graph.ask()
    assert reply.result.code == reply.result.UNKNOWN_CAMERA
    assert "allowed: one of left, right" in reply.result.message
    asked = [question("what is happening?", ["a", "b"]), question("is it?", ["yes", "no", "yes"])]
    reply = graph.ask_all(cameras=["right", "left"], questions=asked)
    assert accepted(reply), reply.result.message
    singles = [graph.ask(camera=c, question=q) for c in ("right", "left") for q in asked]
    assert len(reply.answers) == 4
    for got, single in zip(reply.answers, singles, strict=True):
        assert (got.camera, got.question) == (single.answer.camera, single.answer.question)
        assert got.scores == pytest.approx(list(single.answer.scores), abs=1e-4)
        assert got.header == single.answer.header
        assert got.status == single.answer.status


def test_a_request_has_so_many_answers(graph: Graph) -> None:
    names = [f"c{i}" for i in range(5)]
    start(graph, cameras=names, **{f"{name}__image_topic": "/all" for name in names})
    graph.show(graph.camera("/all"), "red")
    many = [question(f"number {i}?") for i in range(205)]
    reply = graph.ask_all(questions=many)
    assert reply.result.code == reply.result.BAD_REQUEST
    assert "5 cameras times 205 questions are 1025 answers, allowed: 1024" in reply.result.message
    reply = graph.ask_all(questions=many[:204])
    assert len(reply.answers) == 1020
    assert not math.isnan(reply.answers[-1].none_score)


def test_every_one_of_many_requests_at_once_gets_a_reply(graph: Graph) -> None:
    start(graph, request_timeout=60.0)
    graph.show(graph.camera(), "red")
    replies = asking(graph, 64, max_age=duration(3600))
    assert graph.spin(lambda: len(replies()) == 64)
    assert all(accepted(reply) for reply in replies())
    # these wait, so that all of them are there at once
    later = ros.Time(nanoseconds=time.time_ns() + 3600 * SECOND).to_msg()
    replies = asking(graph, MAX_WAITING + 12, after=later, wait=duration(1.0))
    assert graph.spin(lambda: len(replies()) == MAX_WAITING + 12)
    codes = Counter(reply.result.code for reply in replies())
    result = replies()[0].result
    assert codes == {result.STALE: MAX_WAITING, result.BUSY: 12}
