"""The selective decoder: first state, changes, heartbeat, describe, laziness, foreign models."""

from __future__ import annotations

import array
import math
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from graph import MODEL, SECOND, Graph, accepted, nanoseconds, status, value

from vljepa_ros import ros
from vljepa_ros.nodes.selective_decoder_node import SelectiveDecoderNode
from vljepa_ros.nodes.topics import LATCHED

EVENT = "vljepa_ros/msg/SceneEvent"
EMBEDDING = "vljepa_ros/msg/Embedding"
DIAGNOSTICS = "diagnostic_msgs/msg/DiagnosticArray"
PATIENCE = 30.0  # seconds; a busy machine is slow, not wrong


class Stream:
    """Publishes embeddings of a node's own known texts, five a second of stamps."""

    def __init__(self, graph: Graph, node: Any, camera: str = "front") -> None:
        self.graph, self.node, self.camera = graph, node, camera
        texts, embeddings = node.engine.known_texts()
        self.texts = [texts[0], texts[1]]
        self.vectors = [embeddings[0], embeddings[1]]
        self.model_id = node.engine.config.model_id
        self.query = node.engine.config.default_query
        self.saturation = -1.0  # not known
        self.publisher = graph.client.create_publisher(
            ros.interface(EMBEDDING), f"{camera}/embeddings", 10
        )

    def connect(self) -> None:
        """Both ends have matched: a probe, of another model, has come through."""
        arrived, model_id = self.received(), self.model_id
        self.model_id = "probe-00000000"
        end = time.monotonic() + PATIENCE
        while self.received() == arrived:
            assert time.monotonic() < end, "no probe came through"
            if self.publisher.get_subscription_count():
                self.publish(self.vectors[0])
            self.graph.spin_for(0.05)
        self.model_id = model_id
        self.graph.spin_for(0.1)

    def show(self, which: int, seconds: float) -> int:
        """One after the other, each when the one before has arrived; the last stamp."""
        for _ in range(round(seconds * 5)):
            arrived = self.received()
            self.publish(self.vectors[which])
            assert self.graph.spin(lambda n=arrived: self.received() > n, PATIENCE)
        return self.graph.stamp

    def received(self) -> int:
        return int(self.node._inputs[self.camera].part().values["received"])

    def publish(self, vector: Any) -> None:
        """One embedding, a fifth of a second after the one before by its stamp."""
        self.graph.stamp += SECOND // 5
        message = ros.interface(EMBEDDING)(
            camera=self.camera,
            model_id=self.model_id,
            query=self.query,
            saturation=self.saturation,
            vector=array.array("f", vector.astype(np.float32).tobytes()),
        )
        message.header.stamp = ros.Time(nanoseconds=self.graph.stamp).to_msg()
        message.header.frame_id = "front_optical"
        self.publisher.publish(message)


def start(graph: Graph, **parameters):
    return graph.add(SelectiveDecoderNode, model=MODEL, **{"threshold": 0.05, **parameters})


def test_the_first_state_and_each_change_are_published_once(graph: Graph) -> None:
    node = start(graph)
    events = graph.listen(EVENT, "events")
    stream = Stream(graph, node)
    stream.connect()
    stream.show(0, 4.0)
    changed = graph.stamp
    stream.show(1, 4.0)
    assert graph.spin(
        lambda: len(events) >= 2 or node._inputs["front"].decoder.decodes >= 2, PATIENCE
    )
    graph.spin_for(0.3)
    kinds = ros.interface(EVENT)
    first = events[0]
    assert (first.reason, first.sequence, first.camera) == (kinds.FIRST, 0, "front")
    assert first.previous_text == ""
    assert first.header.frame_id == "front_optical"
    assert first.text
    assert 0 <= first.confidence <= 1
    assert not first.vector
    if events[1:]:  # two states that read the same are one event
        (second,) = events[1:]
        assert (second.reason, second.sequence) == (kinds.CHANGE, 1)
        assert second.previous_text == first.text != second.text
        assert changed - SECOND < nanoseconds(second.onset) < nanoseconds(second.header.stamp)
        assert second.change > 0.05
    assert node._inputs["front"].decoder.decodes == 2


def test_a_camera_that_switches_to_infrared_is_waited_for(graph: Graph) -> None:
    node = start(graph, always_on=True)
    log = graph.listen("rcl_interfaces/msg/Log", "/rosout")
    stream = Stream(graph, node)
    stream.connect()
    stream.saturation = 0.3
    stream.show(0, 4.0)
    stream.saturation = 0.0
    stream.show(1, 1.6)  # clips that show both
    stream.show(0, 3.0)
    assert graph.spin(lambda: any("lost or regained its colour" in m.msg for m in log), PATIENCE)
    assert value_of(node, "colour_switches") == 1
    assert node._inputs["front"].decoder.decodes == 1
    stream.show(1, 4.0)
    assert graph.spin(lambda: node._inputs["front"].decoder.decodes == 2), "a change in the dark"


def value_of(node: Any, name: str) -> Any:
    return node._inputs["front"].part().values[name]


def test_the_scene_is_latched_repeated_and_marked_stale(graph: Graph) -> None:
    kinds = ros.interface(EVENT)
    node = start(graph, always_on=True)
    scene = graph.listen(EVENT, "front/scene", latched=True)
    assert graph.spin(lambda: scene, PATIENCE), "alive before anything was seen"
    assert (scene[0].reason, scene[0].text, scene[0].stale) == (kinds.HEARTBEAT, "", True)
    stream = Stream(graph, node)
    stream.connect()
    stream.show(0, 2.0)
    assert graph.spin(lambda: scene[-1].text, PATIENCE)
    text = scene[-1].text
    latecomer = graph.listen(EVENT, "front/scene", latched=True)
    assert graph.spin(lambda: latecomer and latecomer[0].text == text, PATIENCE)
    del scene[:]

    def fresh() -> bool:
        return any(e.reason == kinds.HEARTBEAT and not e.stale for e in scene)

    assert graph.spin(fresh, PATIENCE, again=lambda: stream.show(0, 0.2))
    assert {(e.text, e.event_id, e.latency) for e in scene} == {(text, "", 0.0)}
    assert graph.spin(lambda: scene[-1].stale, PATIENCE), "its input has stopped"
    assert scene[-1].text == text
    graph.remove(node)
    del scene[:]
    graph.spin_for(1.5)
    assert scene == [], "silence: it is gone"


def test_it_listens_only_while_somebody_listens_to_it(graph: Graph) -> None:
    node = start(graph)
    stream = Stream(graph, node)
    graph.spin_for(0.6)
    assert stream.publisher.get_subscription_count() == 0
    info = graph.publisher("vljepa_ros/msg/ModelInfo", "model_info", LATCHED)
    info.publish(ros.interface("vljepa_ros/msg/ModelInfo")(model_id="other-1"))
    heard = graph.listen("diagnostic_msgs/msg/DiagnosticArray", "/diagnostics")

    def said() -> str:
        part = status(heard, "selective_decoder_node: camera front")
        return part.message if part else ""

    assert graph.spin(lambda: "perception_node runs model other-1" in said()), (
        "without an embedding"
    )
    graph.listen(EVENT, "events")
    stream.connect()
    graph.unsubscribe_all()
    assert graph.spin(lambda: stream.publisher.get_subscription_count() == 0, PATIENCE)


def test_describe_decodes_now_though_nobody_listens(graph: Graph) -> None:
    node = start(graph, include_vector=True, request_timeout=2 * PATIENCE)
    stream = Stream(graph, node)
    client = graph.client.create_client(ros.interface("vljepa_ros/srv/Describe"), "describe")
    assert graph.spin(client.service_is_ready, PATIENCE)
    future = client.call_async(ros.interface("vljepa_ros/srv/Describe").Request())
    stream.connect()
    end = time.monotonic() + 2 * PATIENCE
    while not future.done() and time.monotonic() < end:  # once it is done, nobody listens
        stream.publish(stream.vectors[0])
        graph.spin_for(0.05)
    assert future.done()
    reply = future.result()
    graph.client.destroy_client(client)
    assert accepted(reply), reply.result.message
    assert reply.event.reason == ros.interface(EVENT).REQUEST
    assert reply.event.text
    assert np.allclose(np.array(reply.event.vector) @ stream.vectors[0], 1.0, atol=1e-3)


def test_describe_says_when_no_embedding_comes(graph: Graph) -> None:
    start(graph, request_timeout=0.5)
    reply = graph.call("vljepa_ros/srv/Describe", "describe")
    assert not accepted(reply)
    assert (
        "no embedding of camera 'front' arrived on '/vljepa/front/embeddings'"
        in reply.result.message
    )
    reply = graph.call("vljepa_ros/srv/Describe", "describe", camera="rear")
    assert "unknown camera 'rear', allowed: front" in reply.result.message


def test_embeddings_of_another_model_are_refused_and_named(graph: Graph) -> None:
    node = start(graph)
    diagnostics = graph.listen(DIAGNOSTICS, "/diagnostics")
    events = graph.listen(EVENT, "events")
    stream = Stream(graph, node)
    stream.model_id = "other-12345678"
    stream.connect()
    stream.show(0, 1.0)
    assert graph.spin(
        lambda: (s := status(diagnostics, "camera front")) and "other-" in s.message,
        PATIENCE,
    )
    assert "start both nodes with the same model" in status(diagnostics, "camera front").message
    assert not events
    stream.model_id = node.engine.config.model_id
    stream.show(0, 1.0)
    assert graph.spin(lambda: events, PATIENCE), "the node lives on"


@pytest.mark.parametrize("bad", [np.nan, 0.0])
def test_unusable_vectors_are_refused_and_counted(graph: Graph, bad: float) -> None:
    node = start(graph)
    diagnostics = graph.listen(DIAGNOSTICS, "/diagnostics")
    events = graph.listen(EVENT, "events")
    stream = Stream(graph, node)
    stream.connect()
    good = stream.vectors[0]
    stream.vectors[0] = np.full_like(good, bad)
    stream.show(0, 0.6)
    stream.vectors[0] = good
    stream.show(0, 0.6)
    assert graph.spin(lambda: events, PATIENCE)
    assert graph.spin(
        lambda: (s := status(diagnostics, "camera front")) and value(s, "refused") == "3",
        PATIENCE,
    )


def turned_on(graph: Graph, node: Any) -> Any:
    return next((part for part in node.parts() if part.name == "turn guard"), None)


def odometry(rate: float, stamp: int) -> Any:
    message = ros.interface("nav_msgs/msg/Odometry")()
    message.header.stamp = ros.Time(nanoseconds=stamp).to_msg()
    message.twist.twist.angular.z = rate
    return message


def imu(rate: float, stamp: int) -> Any:
    message = ros.interface("sensor_msgs/msg/Imu")()
    message.header.stamp = ros.Time(nanoseconds=stamp).to_msg()
    message.angular_velocity.y = rate
    return message


def twist_stamped(rate: float, stamp: int) -> Any:
    message = ros.interface("geometry_msgs/msg/TwistStamped")()
    message.header.stamp = ros.Time(nanoseconds=stamp).to_msg()
    message.twist.angular.x = rate
    return message


def twist_with_covariance(rate: float, stamp: int) -> Any:
    message = ros.interface("geometry_msgs/msg/TwistWithCovarianceStamped")()
    message.header.stamp = ros.Time(nanoseconds=stamp).to_msg()
    message.twist.twist.angular.z = -rate
    return message


def twist(rate: float, stamp: int) -> Any:
    message = ros.interface("geometry_msgs/msg/Twist")()
    message.angular.z = rate
    return message


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (odometry, "auto"),
        (imu, "auto"),
        (twist_stamped, "twist_stamped"),
        (twist_with_covariance, "auto"),
        (twist, "twist"),
    ],
)
def test_the_turn_rate_guards_every_camera(graph: Graph, make: Any, kind: str) -> None:
    node = start(graph, turn_topic="/turning", turn_type=kind, cameras=["front", "rear"])
    part = turned_on(graph, node)
    assert "no message on '/turning': turns are not recognised" in part.message
    factors = {camera: entry.decoder.detector.guard for camera, entry in node._inputs.items()}
    assert all(guard.factor(graph.stamp / SECOND) == 1.0 for guard in factors.values())
    message = make(0.5, graph.stamp)
    publisher = graph.client.create_publisher(type(message), "/turning", 10)
    assert graph.spin(
        lambda: turned_on(graph, node).values["rate"] == 0.5,
        PATIENCE,
        again=lambda: publisher.publish(message),
    )
    now = time.time() if make is twist else graph.stamp / SECOND
    assert all(guard.factor(now) == 20.0 for guard in factors.values())
    assert all(guard.factor(now + 60.0) == 1.0 for guard in factors.values())
    assert graph.set(node, "turn_factor", 7.0).successful
    assert all(guard.factor(now) == 7.0 for guard in factors.values())
    nonsense = make(math.nan, graph.stamp)
    assert graph.spin(
        lambda: "a rate of nan: turns are not recognised" in turned_on(graph, node).message,
        PATIENCE,
        again=lambda: publisher.publish(nonsense),
    )
    graph.client.destroy_publisher(publisher)
    assert node.trigger_deactivate() == ros.TransitionCallbackReturn.SUCCESS
    assert turned_on(graph, node) is None


def test_a_topic_that_tells_no_turn_rate_is_named(graph: Graph) -> None:
    node = start(graph, turn_topic="/words")
    publisher = graph.client.create_publisher(ros.interface("std_msgs/msg/String"), "/words", 10)
    assert graph.spin(lambda: "carries no angular rate" in turned_on(graph, node).message, PATIENCE)
    assert "std_msgs/msg/String" in turned_on(graph, node).message
    assert "nav_msgs/msg/Odometry" in turned_on(graph, node).message
    graph.client.destroy_publisher(publisher)


def test_each_camera_has_a_state_of_its_own(graph: Graph) -> None:
    node = start(graph, cameras=["front", "rear"])
    events = graph.listen(EVENT, "events")
    front, rear = Stream(graph, node), Stream(graph, node, "rear")
    front.connect()
    rear.connect()
    front.show(0, 1.0)
    rear.show(1, 1.0)
    front.show(0, 2.0)
    rear.show(1, 2.0)
    assert graph.spin(lambda: len(events) >= 2, PATIENCE)
    graph.spin_for(0.5)
    assert [(e.camera, e.reason, e.sequence) for e in events] == [("front", 0, 0), ("rear", 0, 0)]
    scene = graph.listen(EVENT, "rear/scene", latched=True)
    assert graph.spin(lambda: scene, PATIENCE)
    assert scene[-1].text == events[1].text


def test_a_restart_in_mid_stream_repeats_no_event(graph: Graph) -> None:
    events = graph.listen(EVENT, "events")
    node = start(graph)
    stream = Stream(graph, node)
    stream.connect()
    stream.show(0, 2.0)
    assert graph.spin(lambda: events, PATIENCE)
    graph.remove(node)

    node = start(graph)
    scene = graph.listen(EVENT, "front/scene", latched=True)
    stream = Stream(graph, node)
    stream.connect()
    stream.show(0, 3.0)
    kinds = ros.interface(EVENT)
    assert graph.spin(lambda: scene, PATIENCE), "late subscribers get the present state"
    assert scene[0].reason == kinds.HEARTBEAT
    assert scene[0].text == events[0].text
    assert scene[0].sequence == events[0].sequence
    graph.spin_once_all()
    assert len(events) == 1
    assert node._inputs["front"].decoder.decodes == 0
    stream.show(1, 4.0)
    decoder = node._inputs["front"].decoder
    assert graph.spin(lambda: decoder.last.change > 0, PATIENCE)
    assert graph.spin(lambda: len(events) == 1 + decoder.last.is_event, PATIENCE)
    for event in events[1:]:  # two states that read the same are one event
        assert (event.reason, event.sequence) == (kinds.CHANGE, 1)
        assert event.event_id == f"scene/front/{nanoseconds(event.header.stamp)}"
        assert event.previous_text == events[0].text
    graph.remove(node)

    start(graph, max_state_age=0.0)
    before = len(events)
    stream = Stream(graph, graph.nodes[-1])
    stream.connect()
    stream.show(1, 1.0)
    assert graph.spin(lambda: len(events) > before, PATIENCE), "too old: published again"
    assert events[before].reason == kinds.FIRST


@pytest.mark.parametrize("content", ["{", '{"format": 1, "model_id": "other", "cameras": {}}'])
def test_a_state_file_that_cannot_be_used_is_a_warning_and_a_fresh_start(
    graph: Graph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    path = tmp_path / "state.json"
    path.write_text(content)
    log = graph.listen("rcl_interfaces/msg/Log", "/rosout")
    events: list[tuple[str, str]] = []  # text, the file as the event comes

    def on_event(event: Any) -> None:
        events.append((event.text, path.read_text()))

    graph.client.create_subscription(ros.interface(EVENT), "events", on_event, 10)
    sync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: (time.sleep(0.3), sync(file)))
    node = start(graph, state_file=str(path))
    assert graph.spin(lambda: any("starting afresh" in entry.msg for entry in log), PATIENCE)
    stream = Stream(graph, node)
    stream.connect()
    stream.show(0, 1.0)
    assert graph.spin(lambda: events, PATIENCE)
    graph.remove(node)
    text, kept = events[0]
    assert text in kept, "whole again, and kept before it is published"


def test_a_place_that_cannot_be_written_is_reported_and_stops_nothing(
    graph: Graph, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    node = start(graph, state_file=str(tmp_path / "file" / "state.json"))
    diagnostics = graph.listen(DIAGNOSTICS, "/diagnostics")
    events = graph.listen(EVENT, "events")
    stream = Stream(graph, node)
    stream.connect()
    stream.show(0, 1.0)
    assert graph.spin(lambda: events, PATIENCE)
    assert graph.spin(
        lambda: (
            (s := status(diagnostics, "state file")) and "Set the parameter state_file" in s.message
        ),
        PATIENCE,
    )
