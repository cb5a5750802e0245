"""The topics and services that nodes have are those that the reference names."""

from __future__ import annotations

import socket
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from graph import MODEL, Graph
from make_reference import NODES, endpoints

from vljepa_ros.nodes.camera_node import CameraNode
from vljepa_ros.nodes.console_node import ConsoleNode
from vljepa_ros.nodes.lifecycle_node import LifecycleNode
from vljepa_ros.nodes.memory_node import MemoryNode
from vljepa_ros.nodes.overlay_node import OverlayNode
from vljepa_ros.nodes.perception_node import PerceptionNode
from vljepa_ros.nodes.selective_decoder_node import SelectiveDecoderNode
from vljepa_ros.nodes.topics import to_duration
from vljepa_ros.nodes.trigger_node import TriggerNode

GIVEN = {"turn_topic": "/odom", "pose_topic": "/pose"}
TOPICS = {
    **{f"`{name}`": topic for name, topic in GIVEN.items()},
    "`<camera>.image_topic`": "/camera/image_raw",
    "`<camera>.image_topic` of perception_node": "/camera/image_raw",
    "`image_topic`": "/camera/image_raw",
}
ELSEWHERE = {  # with another parameter, model or package than here
    ("console_node", "subscribes", "/camera/image_raw"),
    ("camera_node", "publishes", "image/compressed"),
    ("memory_node", "subscribes", "/tf"),
    ("memory_node", "subscribes", "/tf_static"),
    ("perception_node", "publishes", "<camera>/classification"),
    ("selective_decoder_node", "subscribes", "<camera>/labels"),
}
ROS_OWN = ("/rosout", "/parameter_events", "/clock")


def short(topic: str) -> str:
    """A name as the reference has it."""
    topic = topic.removeprefix("/vljepa/")
    return f"<camera>{topic[5:]}" if topic.startswith("front/") else topic


def seen(client: Any) -> dict[tuple[str, str, str], str]:
    """The type of each topic and service of each node: (node, role, name) -> type."""
    found = {}
    for topic, kinds in client.get_topic_names_and_types():
        kind = kinds[0].replace("/msg/", "/")
        publishers = client.get_publishers_info_by_topic(topic)
        name, _, part = short(topic).partition("/_action/")
        if part:
            found |= {(info.node_name, "action", name): "" for info in publishers}
        if part or topic in ROS_OWN or topic.endswith("/transition_event"):
            continue
        for role, infos in (
            ("publishes", publishers),
            ("subscribes", client.get_subscriptions_info_by_topic(topic)),
        ):
            found |= {(info.node_name, role, name): kind for info in infos}
    return {entry: kind for entry, kind in found.items() if entry[0] in NODES}


@pytest.mark.skipif(find_spec("lancedb") is None, reason="the memory needs the extra [memory]")
def test_the_reference_names_all_topics_and_services(
    graph: Graph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served: dict[tuple[str, str, str], str] = {}
    serve = LifecycleNode.serve

    def recording(node: Any, kind: str, name: str, *arguments: Any, **options: Any) -> None:
        served[node.get_name(), "service", name] = f"vljepa_ros/{kind}"
        serve(node, kind, name, *arguments, **options)

    monkeypatch.setattr(LifecycleNode, "serve", recording)
    label = "the door is open"
    turn = {"turn_topic": GIVEN["turn_topic"], "turn_type": "imu"}
    graph.add(PerceptionNode, model=MODEL, evidence=True, labels=[f"is it? | {label} | no"])
    graph.add(SelectiveDecoderNode, model=MODEL, **turn)
    graph.add(TriggerNode, triggers=[label], **turn)
    graph.add(
        MemoryNode,
        model=MODEL,
        location=str(tmp_path / "memory"),
        pose_topic=GIVEN["pose_topic"],
        front__image_topic="/camera/image_raw",
    )
    graph.add(OverlayNode)
    graph.add(CameraNode, source="demo")
    graph.listen("sensor_msgs/msg/Image", "front/overlay")
    port = int(graph.add(ConsoleNode, port=0).url.rsplit(":", 1)[1].strip("/"))
    page = socket.create_connection(("127.0.0.1", port))
    page.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    expected = {
        (node, one.role, TOPICS.get(one.name, one.name)): one.kind
        for node in NODES
        for one in endpoints(node)
    }
    wanted = set(expected) - ELSEWHERE
    graph.spin(
        lambda: {**seen(graph.client), **served}.keys() >= wanted,
        again=lambda: graph.spin_for(0.2),
    )
    found = {**seen(graph.client), **served}
    page.close()
    assert sorted(set(found) - set(expected)) == [], "not in doc/make_reference.py"
    assert sorted(wanted - set(found)) == [], "of the reference, but not there"
    for entry in wanted:
        if entry[1] != "action" and not entry[2].startswith("/"):
            assert found[entry] == expected[entry], entry


def test_a_duration_that_fits_no_message_is_the_longest() -> None:
    """The age of a stamp from before 1970, or of a clock that is not set."""
    seconds = [1.5, 4e9, -4e9]
    assert [to_duration(one).sec for one in seconds] == [1, 2**31 - 1, 1 - 2**31]
