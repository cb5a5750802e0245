from __future__ import annotations

from typing import Any

import pytest

from vljepa_ros import ros

from .conftest import Graph, builtin_only

Return = ros.TransitionCallbackReturn
Transition = ros.interface("lifecycle_msgs/msg/Transition")


class Recorder(ros.LifecycleNode):
    """Records what was called, and returns what the test wants."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.answers: dict[str, Any] = {}
        super().__init__("recorder")

    def _note(self, name: str, state: Any) -> Any:
        self.calls.append(f"{name} from {state.label}")
        answer = self.answers.get(name, Return.SUCCESS)
        if isinstance(answer, Exception):
            raise answer
        if answer is Return.SUCCESS:
            return getattr(super(), name)(state)
        return answer

    def on_configure(self, state: Any) -> Any:
        return self._note("on_configure", state)

    def on_activate(self, state: Any) -> Any:
        return self._note("on_activate", state)

    def on_deactivate(self, state: Any) -> Any:
        return self._note("on_deactivate", state)

    def on_cleanup(self, state: Any) -> Any:
        return self._note("on_cleanup", state)

    def on_shutdown(self, state: Any) -> Any:
        return self._note("on_shutdown", state)

    def on_error(self, state: Any) -> Any:
        return self._note("on_error", state)


@pytest.fixture
def node(graph: Graph) -> Any:
    return graph.add(Recorder())


def state(graph: Graph, asker: Any) -> str:
    reply = graph.ask(asker, "lifecycle_msgs/srv/GetState", "/recorder/get_state")
    return str(reply.current_state.label)


def test_a_whole_life(graph: Graph, node: Any) -> None:
    assert node.trigger_configure() == Return.SUCCESS
    assert node.trigger_activate() == Return.SUCCESS
    assert node.trigger_deactivate() == Return.SUCCESS
    assert node.trigger_cleanup() == Return.SUCCESS
    assert node.trigger_shutdown() == Return.SUCCESS
    assert node.calls == [
        "on_configure from unconfigured",
        "on_activate from inactive",
        "on_deactivate from active",
        "on_cleanup from inactive",
        "on_shutdown from unconfigured",
    ]
    with pytest.raises(Exception):  # noqa: B017, PT011 - RCLError on rclpy
        node.trigger_shutdown()


@builtin_only
def test_failures_and_errors(graph: Graph, node: Any) -> None:
    asker = graph.node("asker")
    node.answers = {"on_configure": Return.FAILURE}
    assert node.trigger_configure() == Return.FAILURE
    assert state(graph, asker) == "unconfigured"
    node.answers = {"on_configure": ValueError("no model")}
    assert node.trigger_configure() == Return.ERROR
    assert node.calls[-1] == "on_error from unconfigured"
    assert state(graph, asker) == "unconfigured"
    node.answers = {"on_configure": "rubbish", "on_error": Return.FAILURE}
    assert node.trigger_configure() == Return.ERROR
    assert state(graph, asker) == "finalized"


@builtin_only
def test_a_transition_that_is_not_possible(graph: Graph, node: Any) -> None:
    assert node.trigger_activate() == Return.ERROR
    assert node.calls == []


def test_the_five_services_and_the_events(graph: Graph, node: Any) -> None:
    asker = graph.node("asker")
    events: list[Any] = []
    asker.create_subscription(
        ros.interface("lifecycle_msgs/msg/TransitionEvent"),
        "/recorder/transition_event",
        lambda m: events.append((m.start_state.label, m.goal_state.label)),
        10,
    )
    assert graph.until(lambda: node.count_subscribers("/recorder/transition_event") == 1)

    def change(**fields: Any) -> bool:
        reply = graph.ask(
            asker,
            "lifecycle_msgs/srv/ChangeState",
            "/recorder/change_state",
            transition=Transition(**fields),
        )
        return bool(reply.success)

    assert change(id=Transition.TRANSITION_CONFIGURE)
    assert change(label="activate")
    assert state(graph, asker) == "active"
    if ros.RUNTIME == "builtin":  # rclpy raises RCLError in the callback, and there is no reply
        assert not change(id=Transition.TRANSITION_CONFIGURE)
        assert not change(label="nonsense")
    assert state(graph, asker) == "active"
    kind = "lifecycle_msgs/srv/GetAvailableTransitions"
    possible = graph.ask(asker, kind, "/recorder/get_available_transitions")
    assert {t.transition.label for t in possible.available_transitions} == {
        "deactivate",
        "shutdown",
    }
    everything = graph.ask(asker, kind, "/recorder/get_transition_graph").available_transitions
    assert len(everything) > 20
    known = graph.ask(
        asker, "lifecycle_msgs/srv/GetAvailableStates", "/recorder/get_available_states"
    )
    assert {s.label for s in known.available_states} >= {"unconfigured", "active", "finalized"}
    assert graph.until(lambda: len(events) >= 4)
    assert events[:2] == [
        ("unconfigured", "configuring"),
        ("configuring", "inactive"),
    ]
