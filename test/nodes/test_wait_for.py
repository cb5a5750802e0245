"""The action `wait_for`: each way in which a goal ends, alone and beside others."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from graph import SECOND, Graph, nanoseconds
from trigger_robot import ARM, DOOR, LIGHTS, STATUS, UNREADABLE, Robot
from wait_for_client import WAIT, Waiting, action_client

from vljepa_ros import ros


class Waiter(Robot):
    """A robot, and a client of its action."""

    def __init__(self, graph: Graph, **parameters: Any) -> None:
        super().__init__(graph, **parameters)
        self.client = action_client(graph)

    def wait(self, *texts: str, **fields: Any) -> Waiting:
        return Waiting(self.client, self.graph, *texts, **fields)


@pytest.fixture
def waiter(graph: Graph) -> Iterator[Waiter]:
    made = Waiter(graph)
    yield made
    made.client.destroy()


RESULT = ros.interface("vljepa_ros/msg/Result")


def test_one_text_of_several_becomes_true(graph: Graph, waiter: Waiter) -> None:
    waiting = waiter.wait(DOOR, ARM)
    waiter.see(ARM, 0.4)
    first = graph.stamp - SECOND // 5
    waiter.see(ARM)
    assert waiting.ends() == ("SUCCEEDED", "TRUE")
    assert waiting.code == RESULT.OK
    assert nanoseconds(waiting.result.when) == first
    assert [(s.id, s.state) for s in waiting.result.triggers] == [
        (DOOR, STATUS.STATE_FALSE),
        (ARM, STATUS.STATE_TRUE),
    ]
    assert {s.owner[:9] for s in waiting.result.triggers} == {"wait_for/"}
    assert waiting.feedback, "at each change"
    assert graph.spin(lambda: waiter.states[-1].triggers == []), "nothing is left behind"
    assert waiter.node.owners.triggers == []


def test_all_texts_at_the_same_time_and_what_is_true_already(graph: Graph, waiter: Waiter) -> None:
    anything = waiter.add("planner", DOOR, threshold=0.001)
    assert anything.total == 1
    both = waiter.wait(DOOR, LIGHTS, mode=WAIT.Goal.MODE_ALL, threshold=0.999999)
    either = waiter.wait(LIGHTS, timeout=60.0)
    waiter.see(LIGHTS)
    assert either.ends() == ("SUCCEEDED", "TRUE")
    assert not both.future.done()
    again = waiter.wait(LIGHTS)
    waiter.see(LIGHTS)
    assert again.ends() == ("SUCCEEDED", "TRUE"), "already"
    assert not both.future.done()
    both.handle.cancel_goal_async()
    assert both.ends() == ("CANCELED", "CANCELED")
    assert [t.owner for t in waiter.node.owners.triggers] == ["planner"]


def test_the_time_is_over(graph: Graph, waiter: Waiter) -> None:
    judged = waiter.wait(DOOR, timeout=1.5)
    waiter.see(ARM)
    assert judged.ends() == ("ABORTED", "TIMEOUT")
    assert judged.code == RESULT.TIMEOUT
    assert "not true after 1.5 s" in judged.result.result.message
    assert graph.spin(lambda: len(judged.feedback) >= 2), "also once a second"
    unknown = waiter.wait(DOOR, timeout=0.5)
    early = waiter.wait(DOOR, timeout=60.0, unknown_after=0.5)
    for waiting in (unknown, early):
        assert waiting.ends() == ("ABORTED", "UNKNOWN")
        assert waiting.code == RESULT.STALE
        assert f"'{DOOR}' of front (NOT_SCORED)" in waiting.result.result.message


def test_the_time_is_over_while_the_texts_are_encoded(graph: Graph, waiter: Waiter) -> None:
    encode, release = waiter.perception.engine.encode_text, threading.Event()

    def slow(texts: list[str]) -> Any:
        release.wait(60.0)
        return encode(texts)

    waiter.perception.engine.encode_text = slow
    assert graph.set(waiter.node, "request_timeout", 600.0).successful
    waiting = waiter.wait(DOOR, timeout=0.4)
    assert waiting.ends() == ("ABORTED", "UNKNOWN")
    release.set()


@pytest.mark.parametrize(
    ("texts", "fields", "code", "message"),
    [
        ((), {}, "BAD_REQUEST", "0 texts, allowed: 1 to 64"),
        (tuple(map(str, range(65))), {}, "BAD_REQUEST", "65 texts, allowed: 1 to 64"),
        ((" ",), {}, "BAD_REQUEST", "has 0 characters"),
        ((DOOR,), {"mode": 2}, "BAD_REQUEST", "mode is 2, allowed: MODE_ANY and MODE_ALL"),
        ((DOOR,), {"cameras": ["rear"]}, "UNKNOWN_CAMERA", "unknown camera 'rear'"),
        ((DOOR,), {"threshold": 1.0}, "BAD_REQUEST", "is 1, allowed: between 0 and 1"),
        ((DOOR,), {"timeout": -1.0}, "BAD_REQUEST", "timeout is -1 s, allowed: 0 or more"),
        ((UNREADABLE,), {}, "BAD_REQUEST", "refused the text"),
    ],
)
def test_a_goal_that_cannot_be_served_says_why(
    waiter: Waiter, texts: tuple[str, ...], fields: dict[str, Any], code: str, message: str
) -> None:
    waiting = waiter.wait(*texts, **fields)
    assert waiting.ends() == ("ABORTED", "REFUSED")
    assert waiting.code == getattr(RESULT, code)
    assert message in waiting.result.result.message
    assert waiter.node.owners.triggers == []


def test_32_goals_at_once_and_none_without_an_active_node(graph: Graph, waiter: Waiter) -> None:
    waiting = [waiter.wait(ARM) for _ in range(32)]
    busy = waiter.wait(ARM)
    assert busy.ends() == ("ABORTED", "REFUSED")
    assert busy.code == RESULT.BUSY
    waiter.node.trigger_deactivate()
    for each in waiting:
        assert each.ends() == ("ABORTED", "REFUSED")
        assert each.code == RESULT.NOT_ACTIVE
    late = waiter.wait(ARM)
    assert late.ends() == ("ABORTED", "REFUSED")
    assert late.code == RESULT.NOT_ACTIVE
    assert "is not active" in late.result.result.message
