"""The selective decoder: first state, changes, heartbeat, describe, laziness, foreign models."""

from __future__ import annotations

import array
import time
from typing import Any

import numpy as np
import pytest
from graph import MODEL, SECOND, Graph, nanoseconds, status, value

from vljepa_ros import ros
from vljepa_ros.nodes.selective_decoder_node import SelectiveDecoderNode

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
                self._publish(self.vectors[0])
            self.graph.rest(0.05)
        self.model_id = model_id
        self.graph.rest(0.1)

    def show(self, which: int, seconds: float) -> int:
        """One after the other, each when the one before has arrived; the last stamp."""
        for _ in range(round(seconds * 5)):
            arrived = self.received()
            self.graph.stamp += SECOND // 5
            self._publish(self.vectors[which])
            assert self.graph.spin(lambda n=arrived: self.received() > n, PATIENCE)
        return self.graph.stamp

    def received(self) -> int:
        return int(self.node._inputs[self.camera].part().values["received"])

    def _publish(self, vector: Any) -> None:
        message = ros.interface(EMBEDDING)(
            camera=self.camera,
            model_id=self.model_id,
            query=self.query,
            vector=array.array("f", vector.astype(np.float32).tobytes()),
        )
        message.header.stamp = ros.Time(nanoseconds=self.graph.stamp).to_msg()
        message.header.frame_id = "front_optical"
        self.publisher.publish(message)


def start(graph: Graph, **parameters):
    return graph.add(SelectiveDecoderNode, model=MODEL, **{"threshold": 0.05, **parameters})


def test_the_first_state_and_each_change_are_told_once(graph: Graph) -> None:
    node = start(graph)
    events = graph.listen(EVENT, "events")
    stream = Stream(graph, node)
    stream.connect()
    stream.show(0, 4.0)
    changed = graph.stamp
    stream.show(1, 4.0)
    assert graph.spin(
        lambda: len(events) >= 2 or node._inputs["front"].narrator.decodes >= 2, PATIENCE
    )
    graph.rest(0.3)
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
    assert node._inputs["front"].narrator.decodes == 2


def test_the_scene_is_latched_and_beats(graph: Graph) -> None:
    node = start(graph, always_on=True, heartbeat=0.3)
    stream = Stream(graph, node)
    stream.connect()
    stream.show(0, 2.0)
    assert graph.spin(lambda: node._told, PATIENCE)
    scene = graph.listen(EVENT, "front/scene", latched=True)
    assert graph.spin(lambda: scene, PATIENCE), "a latecomer is told at once"
    beats: list[Any] = []
    end = time.monotonic() + PATIENCE
    while not beats and time.monotonic() < end:
        stream.show(0, 0.2)
        graph.rest(0.05)
        beats = [e for e in scene if e.reason == ros.interface(EVENT).HEARTBEAT]
    assert beats
    assert beats[-1].text == scene[0].text
    count = len(scene)
    graph.rest(1.0)
    assert len(scene) <= count + 1, "silence where nothing is known"


def test_it_listens_only_while_somebody_listens_to_it(graph: Graph) -> None:
    node = start(graph)
    stream = Stream(graph, node)
    graph.rest(0.6)
    assert stream.publisher.get_subscription_count() == 0
    graph.listen(EVENT, "events")
    stream.connect()
    graph.deaf()
    assert graph.spin(lambda: stream.publisher.get_subscription_count() == 0, PATIENCE)


def test_describe_decodes_now_though_nobody_listens(graph: Graph) -> None:
    node = start(graph, include_vector=True, request_timeout=2 * PATIENCE)
    stream = Stream(graph, node)
    client = graph.client.create_client(ros.interface("vljepa_ros/srv/Describe"), "describe")
    assert graph.spin(client.service_is_ready, PATIENCE)
    future = client.call_async(ros.interface("vljepa_ros/srv/Describe").Request())
    stream.connect()
    end = time.monotonic() + 2 * PATIENCE
    while not future.done() and time.monotonic() < end:
        stream.show(0, 0.2)
        graph.rest(0.05)
    assert future.done()
    reply = future.result()
    graph.client.destroy_client(client)
    assert reply.success, reply.message
    assert reply.event.reason == ros.interface(EVENT).REQUEST
    assert reply.event.text
    assert np.allclose(np.array(reply.event.vector) @ stream.vectors[0], 1.0, atol=1e-3)


def test_describe_says_when_no_embedding_comes(graph: Graph) -> None:
    start(graph, request_timeout=0.5)
    reply = graph.call("vljepa_ros/srv/Describe", "describe")
    assert not reply.success
    assert "no embedding of camera 'front' came on '/vljepa/front/embeddings'" in reply.message
    reply = graph.call("vljepa_ros/srv/Describe", "describe", camera="rear")
    assert "unknown camera 'rear', allowed: front" in reply.message


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


def test_labels_come_with_events_where_the_vocabulary_answers_the_same_query(graph: Graph) -> None:
    node = start(graph)
    words = ros.interface("vljepa_ros/msg/Vocabulary")(version=1)
    words.prompts = [node.engine.config.default_query] * 2
    from vljepa_ros.nodes.qos import LATCHED

    publisher = graph.client.create_publisher(
        ros.interface("vljepa_ros/msg/Vocabulary"), "vocabulary", LATCHED
    )
    stream = Stream(graph, node)
    words.labels = list(stream.texts)
    publisher.publish(words)
    assert graph.spin(lambda: node._labels.current is not None, PATIENCE)
    events = graph.listen(EVENT, "events")
    stream.connect()
    stream.show(0, 1.0)
    assert graph.spin(lambda: events, PATIENCE)
    assert events[0].label in stream.texts
    assert 0 < events[0].label_score <= 1
    graph.client.destroy_publisher(publisher)
