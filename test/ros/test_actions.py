from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest

from vljepa_ros import ros

from .conftest import Graph, builtin_only

WaitFor = ros.interface("vljepa_ros/action/WaitFor")
CancelGoal = ros.interface("action_msgs/srv/CancelGoal")
Program = Callable[..., "subprocess.Popen[str]"]


class Pending:
    """A server whose goals wait, each for a future, as those of a node that watches something."""

    def __init__(self, graph: Graph, **options: Any) -> None:
        self.node = graph.node("server")
        self.futures: dict[str, Any] = {}
        self.handles: dict[str, Any] = {}
        self.server = ros.ActionServer(
            self.node,
            WaitFor,
            "wait_for",
            self.execute,
            cancel_callback=self.cancel,
            goal_service_qos_profile=ros.services_qos,
            result_service_qos_profile=ros.services_qos,
            cancel_service_qos_profile=ros.services_qos,
            **options,
        )

    async def execute(self, handle: Any) -> Any:
        name = handle.request.texts[0]
        self.futures[name], self.handles[name] = ros.Future(), handle
        outcome = await self.futures[name]
        result = WaitFor.Result(outcome=outcome)
        result.result.message = name
        if handle.is_cancel_requested:
            handle.canceled()
        elif outcome == WaitFor.Result.OUTCOME_TRUE:
            handle.succeed()
        else:
            handle.abort()
        return result

    def cancel(self, handle: Any) -> Any:
        name = handle.request.texts[0]
        if name == "stubborn":
            return ros.CancelResponse.REJECT
        self.end(name, WaitFor.Result.OUTCOME_CANCELED)
        return ros.CancelResponse.ACCEPT

    def end(self, name: str, outcome: int) -> None:
        ros.complete(self.node, self.futures[name], outcome)


class Goals:
    """A client, and what became of its goals."""

    def __init__(self, graph: Graph) -> None:
        self.graph, self.node = graph, graph.node("client")
        self.client = ros.ActionClient(
            self.node,
            WaitFor,
            "wait_for",
            goal_service_qos_profile=ros.services_qos,
            result_service_qos_profile=ros.services_qos,
            cancel_service_qos_profile=ros.services_qos,
        )

    def ready(self) -> Goals:
        assert self.graph.until(self.client.server_is_ready)
        return self

    def done(self, future: Any) -> Any:
        assert self.graph.until(future.done)
        return future.result()

    def send(self, text: str, **options: Any) -> Any:
        return self.client.send_goal_async(WaitFor.Goal(texts=[text]), **options)


@pytest.fixture
def pending(graph: Graph) -> Any:
    made = Pending(graph)
    yield made
    made.server.destroy()


@pytest.fixture
def goals(graph: Graph) -> Any:
    made = Goals(graph)
    yield made
    made.client.destroy()


def test_a_goal_with_feedback_and_a_result(graph: Graph, pending: Pending, goals: Goals) -> None:
    feedback: list[Any] = []
    sent = goals.ready().send("door", feedback_callback=feedback.append)
    handle = goals.done(sent)
    assert handle.accepted
    assert graph.until(lambda: "door" in pending.futures)
    served = pending.handles["door"]
    assert bytes(served.goal_id.uuid) == bytes(handle.goal_id.uuid)
    assert served.is_active
    assert not served.is_cancel_requested
    message = WaitFor.Feedback()
    message.elapsed.sec = 3
    served.publish_feedback(message)
    assert graph.until(lambda: feedback)
    assert feedback[0].feedback.elapsed.sec == 3
    assert graph.until(lambda: handle.status == ros.GoalStatus.STATUS_EXECUTING)
    result = handle.get_result_async()
    graph.spin(0.1)
    assert not result.done()
    pending.end("door", WaitFor.Result.OUTCOME_TRUE)
    assert goals.done(result).status == ros.GoalStatus.STATUS_SUCCEEDED
    assert result.result().result.result.message == "door"
    assert graph.until(lambda: handle.status == ros.GoalStatus.STATUS_SUCCEEDED)
    # the result is kept for a while, also for others
    again = goals.done(handle.get_result_async())
    assert again.result.outcome == WaitFor.Result.OUTCOME_TRUE


def test_many_goals_at_once(graph: Graph, pending: Pending, goals: Goals) -> None:
    names = [f"goal {i}" for i in range(64)]
    handles = [goals.done(future) for future in [goals.ready().send(name) for name in names]]
    assert all(handle.accepted for handle in handles)
    results = [handle.get_result_async() for handle in handles]
    assert graph.until(lambda: len(pending.futures) == 64)
    for number, name in reversed(list(enumerate(names))):
        pending.end(name, number % 2)  # 0: OUTCOME_TRUE
    for number, (name, future) in enumerate(zip(names, results, strict=True)):
        response = goals.done(future)
        assert response.result.result.message == name
        ended = ros.GoalStatus.STATUS_ABORTED if number % 2 else ros.GoalStatus.STATUS_SUCCEEDED
        assert response.status == ended


def test_canceling(graph: Graph, pending: Pending, goals: Goals) -> None:
    handles = {
        name: goals.done(goals.ready().send(name)) for name in ("one", "two", "three", "stubborn")
    }
    assert graph.until(lambda: len(pending.futures) == 4)
    codes = CancelGoal.Response

    def cancel(name: str) -> Any:
        return goals.done(handles[name].cancel_goal_async())

    reply = cancel("one")
    assert reply.return_code == codes.ERROR_NONE
    assert [bytes(i.goal_id.uuid) for i in reply.goals_canceling] == [
        bytes(handles["one"].goal_id.uuid)
    ]
    response = goals.done(handles["one"].get_result_async())
    assert response.status == ros.GoalStatus.STATUS_CANCELED
    assert response.result.outcome == WaitFor.Result.OUTCOME_CANCELED
    assert cancel("one").return_code == codes.ERROR_GOAL_TERMINATED
    assert not cancel("stubborn").goals_canceling
    assert pending.handles["stubborn"].is_active
    # without id and time: all that may be canceled
    reply = graph.ask(goals.node, "action_msgs/srv/CancelGoal", "wait_for/_action/cancel_goal")
    assert {bytes(i.goal_id.uuid) for i in reply.goals_canceling} >= {
        bytes(handles["two"].goal_id.uuid)
    }
    if ros.RUNTIME == "builtin":  # rclpy passes over every second goal
        done = goals.done(handles["three"].get_result_async())
        assert done.status == ros.GoalStatus.STATUS_CANCELED
    unknown = CancelGoal.Request()
    unknown.goal_info.goal_id.uuid[0] = 1
    reply = graph.ask(
        goals.node,
        "action_msgs/srv/CancelGoal",
        "wait_for/_action/cancel_goal",
        goal_info=unknown.goal_info,
    )
    assert reply.return_code == codes.ERROR_UNKNOWN_GOAL_ID


def test_goals_that_are_refused_or_go_wrong(
    graph: Graph, goals: Goals, capfd: pytest.CaptureFixture[str]
) -> None:
    def judge(goal: Any) -> Any:
        return ros.GoalResponse.ACCEPT if goal.texts else ros.GoalResponse.REJECT

    async def execute(handle: Any) -> Any:
        if handle.request.texts[0] == "raises":
            raise ValueError("the door is locked")
        return WaitFor.Result(outcome=7)  # and does not end the goal

    server = ros.ActionServer(
        graph.node("server"), WaitFor, "wait_for", execute, goal_callback=judge
    )
    goals.ready()
    assert not goals.done(goals.client.send_goal_async(WaitFor.Goal())).accepted
    for name, outcome in (("raises", 0), ("forgets", 7)):
        handle = goals.done(goals.send(name))
        response = goals.done(handle.get_result_async())
        assert response.status == ros.GoalStatus.STATUS_ABORTED
        assert response.result.outcome == outcome
    assert "the door is locked" in capfd.readouterr().err
    with pytest.raises(TypeError):
        goals.client.send_goal_async(WaitFor.Result())
    server.destroy()


def test_a_goal_that_its_node_drives_itself(graph: Graph, goals: Goals) -> None:
    """No coroutine: the node keeps the goals, and ends them by what it sees."""
    node, kept = graph.node("server"), []

    def finish(handle: Any) -> Any:
        if handle.is_cancel_requested:
            handle.canceled()
        else:
            handle.succeed()
        return WaitFor.Result(outcome=5)

    server = ros.ActionServer(
        node,
        WaitFor,
        "wait_for",
        finish,
        handle_accepted_callback=kept.append,
        cancel_callback=lambda handle: ros.CancelResponse.ACCEPT,
    )
    feedback: list[Any] = []
    goals.ready()
    handles = [goals.done(goals.send(name, feedback_callback=feedback.append)) for name in "ab"]
    assert graph.until(lambda: len(kept) == 2)
    for handle in kept:
        handle.publish_feedback(WaitFor.Feedback())
    assert graph.until(lambda: len(feedback) == 2)
    assert goals.done(handles[1].cancel_goal_async()).goals_canceling
    results = [handle.get_result_async() for handle in handles]
    for handle in kept:
        handle.execute()
    states = [goals.done(result).status for result in results]
    assert states == [ros.GoalStatus.STATUS_SUCCEEDED, ros.GoalStatus.STATUS_CANCELED]
    with pytest.raises(RuntimeError):
        kept[0].succeed()  # it has ended
    server.destroy()


def test_results_are_not_kept_for_ever(graph: Graph, goals: Goals) -> None:
    pending = Pending(graph, result_timeout=1)
    handle = goals.done(goals.ready().send("door"))
    assert graph.until(lambda: pending.futures)
    pending.end("door", WaitFor.Result.OUTCOME_TRUE)
    assert goals.done(handle.get_result_async()).status == ros.GoalStatus.STATUS_SUCCEEDED
    graph.spin(1.2)
    assert goals.done(handle.get_result_async()).status == ros.GoalStatus.STATUS_UNKNOWN
    pending.server.destroy()


def test_a_server_that_goes_leaves_its_clients_waiting_and_its_goals_idle(
    graph: Graph, goals: Goals
) -> None:
    pending = Pending(graph)
    result = goals.done(goals.ready().send("door")).get_result_async()
    assert graph.until(lambda: pending.futures)
    assert goals.client.wait_for_server(timeout_sec=1.0)
    pending.server.destroy()
    assert graph.until(lambda: not goals.client.server_is_ready())
    assert not goals.client.wait_for_server(timeout_sec=0.1)
    pending.end("door", WaitFor.Result.OUTCOME_TRUE)  # into the void, and nothing raises
    pending.handles["door"].publish_feedback(WaitFor.Feedback())
    graph.spin(0.2)
    assert not result.done()


@builtin_only
def test_a_result_does_not_wait_for_a_client_that_is_gone(
    graph: Graph, pending: Pending, goals: Goals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vljepa_ros.ros.builtin.service._REPLY_MATCH_S", 90.0)
    other = Goals(graph)
    goals.done(other.ready().send("gone")).get_result_async()
    assert graph.until(lambda: "gone" in pending.futures)
    graph.spin(0.2)
    other.client.destroy()
    near = goals.done(goals.ready().send("near"))
    assert graph.until(lambda: "near" in pending.futures)
    for name in ("gone", "near"):
        pending.end(name, WaitFor.Result.OUTCOME_TRUE)
    started = time.monotonic()
    goals.done(near.get_result_async())
    assert time.monotonic() - started < 60.0


CLIENT = """
import time
from vljepa_ros import ros
WaitFor = ros.interface("vljepa_ros/action/WaitFor")
ros.init([])
node = ros.Node("far")
client = ros.ActionClient(node, WaitFor, "wait_for")
assert client.wait_for_server(timeout_sec=30.0)
executor = ros.SingleThreadedExecutor()
executor.add_node(node)

def done(future):
    while not future.done():
        executor.spin_once(timeout_sec=0.1)
    return future.result()

handle = done(client.send_goal_async(WaitFor.Goal(texts=["far"])))
result = handle.get_result_async()
print("sent", flush=True)
print(done(result).result.result.message, flush=True)
"""


def test_another_process_gets_its_result_or_vanishes(
    graph: Graph, pending: Pending, goals: Goals, program: Program
) -> None:
    far = program(CLIENT)
    assert far.stdout is not None
    assert graph.until(lambda: "far" in pending.futures)
    pending.end("far", WaitFor.Result.OUTCOME_TRUE)
    graph.spin(0.5)
    assert far.communicate(timeout=30)[0] == "sent\nfar\n"
    pending.futures.clear()
    gone = program(CLIENT)
    assert gone.stdout is not None
    assert graph.until(lambda: "far" in pending.futures)
    assert gone.stdout.readline() == "sent\n"
    graph.spin(0.2)
    gone.send_signal(signal.SIGKILL)
    gone.wait()
    pending.end("far", WaitFor.Result.OUTCOME_TRUE)
    near = goals.done(goals.ready().send("near"))
    assert graph.until(lambda: "near" in pending.futures)
    pending.end("near", WaitFor.Result.OUTCOME_TRUE)
    assert goals.done(near.get_result_async()).status == ros.GoalStatus.STATUS_SUCCEEDED


def test_an_action_in_the_graph(graph: Graph, pending: Pending) -> None:
    topics: dict[str, list[str]] = {}

    def found() -> bool:
        topics.update(pending.node.get_topic_names_and_types())
        return "/wait_for/_action/status" in topics

    assert graph.until(found)
    assert topics["/wait_for/_action/feedback"] == ["vljepa_ros/action/WaitFor_FeedbackMessage"]
    assert topics["/wait_for/_action/status"] == ["action_msgs/msg/GoalStatusArray"]
