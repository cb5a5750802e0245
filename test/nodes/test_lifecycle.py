"""States of the nodes: what is answered in each, through the services that `ros2 lifecycle`
uses."""

from __future__ import annotations

from typing import Any

import pytest
from graph import MODEL, Graph, accepted, status

from vljepa_ros import ros
from vljepa_ros.nodes.perception_node import PerceptionNode
from vljepa_ros.nodes.selective_decoder_node import SelectiveDecoderNode

CONFIGURE, CLEANUP, ACTIVATE, DEACTIVATE = 1, 2, 3, 4
SHUTDOWN = {"unconfigured": 5, "inactive": 6, "active": 7}


def change(graph: Graph, node: Any, transition: int) -> bool:
    kind = ros.interface("lifecycle_msgs/srv/ChangeState")
    name = f"{node.get_fully_qualified_name()}/change_state"
    request = kind.Request()
    request.transition.id = transition
    return bool(
        graph.call("lifecycle_msgs/srv/ChangeState", name, transition=request.transition).success
    )


def state(graph: Graph, node: Any) -> str:
    name = f"{node.get_fully_qualified_name()}/get_state"
    return str(graph.call("lifecycle_msgs/srv/GetState", name).current_state.label)


def encode(graph: Graph) -> Any:
    return graph.call("vljepa_ros/srv/EncodeText", "encode_text", texts=["a cup"])


def label(graph: Graph) -> Any:
    return graph.call("vljepa_ros/srv/SetLabels", "set_labels", prompt="q?", labels=["a", "b"])


def test_each_state_answers_what_it_can(graph: Graph) -> None:
    node = graph.add(PerceptionNode, model=MODEL, autostart=False)
    assert state(graph, node) == "unconfigured"
    for reply in (graph.ask(), encode(graph), label(graph)):
        assert not accepted(reply)
        assert "/vljepa/perception_node is not configured" in reply.result.message
        assert "ros2 lifecycle set /vljepa/perception_node configure" in reply.result.message
    assert graph.set(node, "max_rate", 7.0).successful, "parameters answer in every state"

    assert change(graph, node, CONFIGURE)
    assert state(graph, node) == "inactive"
    assert accepted(encode(graph))
    assert accepted(label(graph))
    reply = graph.ask()
    assert not accepted(reply)
    assert (
        "is not active; try: ros2 lifecycle set /vljepa/perception_node activate"
        in reply.result.message
    )
    assert graph.spin(lambda: graph.client.count_subscribers("/camera/image_raw") == 0)

    words = graph.listen("vljepa_ros/msg/Vocabulary", "vocabulary", latched=True)
    info = graph.listen("vljepa_ros/msg/ModelInfo", "model_info", latched=True)
    assert change(graph, node, ACTIVATE)
    assert state(graph, node) == "active"
    assert graph.spin(lambda: words and info)
    camera = graph.camera()
    graph.show(camera)
    assert accepted(graph.ask())

    assert change(graph, node, DEACTIVATE)
    assert "not active" in graph.ask().result.message
    assert accepted(encode(graph))
    assert graph.spin(lambda: camera.get_subscription_count() == 0)

    assert change(graph, node, CLEANUP)
    assert node.engine is None, "the model is freed"
    assert "not configured" in encode(graph).result.message

    assert change(graph, node, CONFIGURE)
    assert change(graph, node, ACTIVATE)
    assert graph.spin(lambda: camera.get_subscription_count() > 0)
    graph.show(camera)
    assert accepted(graph.ask()), "and all over again"


def test_the_decoder_answers_what_it_can(graph: Graph) -> None:
    node = graph.add(SelectiveDecoderNode, model=MODEL, autostart=False, request_timeout=0.3)
    describe = "vljepa_ros/srv/Describe"
    assert "not configured" in graph.call(describe, "describe").result.message
    assert change(graph, node, CONFIGURE)
    assert "is not active" in graph.call(describe, "describe").result.message
    assert change(graph, node, ACTIVATE)
    assert "no embedding" in graph.call(describe, "describe").result.message
    assert change(graph, node, DEACTIVATE)
    assert change(graph, node, CLEANUP)
    assert "not configured" in graph.call(describe, "describe").result.message


@pytest.mark.parametrize("before", SHUTDOWN)
def test_after_shutdown_nothing_advises_to_configure(graph: Graph, before: str) -> None:
    node = graph.add(PerceptionNode, model=MODEL, start=False)
    for transition in (CONFIGURE, ACTIVATE)[: list(SHUTDOWN).index(before)]:
        assert change(graph, node, transition)
    assert state(graph, node) == before
    assert change(graph, node, SHUTDOWN[before])
    assert state(graph, node) == "finalized"
    heard = graph.listen("diagnostic_msgs/msg/DiagnosticArray", "/diagnostics")
    for reply in (graph.ask(), encode(graph), label(graph)):
        assert reply.result.code == reply.result.NOT_ACTIVE
        assert "/vljepa/perception_node was shut down" in reply.result.message
        assert "ros2 lifecycle set" not in reply.result.message
    assert graph.spin(lambda: (s := status(heard, "node: model")) and s.message == "shut down")


@pytest.mark.parametrize("kind", [PerceptionNode, SelectiveDecoderNode])
def test_configuring_without_a_model_fails_and_can_be_tried_again(graph: Graph, kind: Any) -> None:
    node = graph.add(kind, model="no such model", autostart=False)
    assert not change(graph, node, CONFIGURE)
    assert state(graph, node) == "unconfigured"
    heard = graph.listen("diagnostic_msgs/msg/DiagnosticArray", "/diagnostics")
    assert graph.spin(lambda: (s := status(heard, "node: model")) and "no such model" in s.message)
    assert not change(graph, node, CONFIGURE)


def test_diagnostics_beat_in_every_state_even_without_a_clock(graph: Graph) -> None:
    heard = graph.listen("diagnostic_msgs/msg/DiagnosticArray", "/diagnostics")
    graph.add(PerceptionNode, model=MODEL, autostart=False, use_sim_time=True)
    assert graph.spin(lambda: len(heard) >= 2)
    assert status(heard, "node: model").message == "not configured"
