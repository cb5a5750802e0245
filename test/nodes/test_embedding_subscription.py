"""Inputs that stop: what the nodes that live on embeddings say, and how soon."""

from __future__ import annotations

import array
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from graph import MODEL, Graph, status

import vljepa_ros
from vljepa_ros.nodes import embedding_subscription
from vljepa_ros.nodes.embedding_subscription import EmbeddingSubscription
from vljepa_ros.nodes.selective_decoder_node import SelectiveDecoderNode
from vljepa_ros.nodes.topics import HEARTBEAT_S
from vljepa_ros.nodes.trigger_node import TriggerNode

PERCEPTION = """
from vljepa_ros.nodes.program import run_node
run_node("perception_node")
"""


class Stream:
    """A subscription on a clock that the test turns; notes how often diagnostics were published."""

    def __init__(self, patch: pytest.MonkeyPatch, heartbeat: bool, model_id: str = "") -> None:
        self.now, self.published, self.callbacks = 100.0, 0, dict[str, Any]()
        self.heartbeat = heartbeat
        patch.setattr(embedding_subscription.time, "monotonic", lambda: self.now)
        node = SimpleNamespace(
            resolve_topic_name=lambda topic: f"/vljepa/{topic}",
            create_subscription=lambda kind, topic, callback, *_, **__: self.callbacks.update(
                {topic: callback}
            ),
            destroy_subscription=None,
            diagnostics=SimpleNamespace(publish=self.publish),
            get_logger=lambda: SimpleNamespace(warning=self.warn),
            warn=self.warn,
        )
        self.warnings = list[str]()
        self.topic = EmbeddingSubscription(
            node, "front", lambda message: None, model_id, 2, "this node decodes"
        )
        self.topic.listen(True)

    def warn(self, text: str, **_: float) -> None:
        self.warnings.append(text)

    def publish(self) -> None:
        self.published += 1

    def wait(self, seconds: float) -> list[str]:
        """What was reported meanwhile, each once."""
        said, end = list[str](), self.now + seconds
        while self.now < end - 1e-9:
            self.now += HEARTBEAT_S / 2
            if self.heartbeat and self.now % HEARTBEAT_S == 0.0:
                self.callbacks["model_info"](None)
            self.topic.watch()
            message = self.topic.part({}, (0, "idle")).message
            said += [message] if message not in said else []
        return said

    def receive(self, count: int, period: float) -> list[str]:
        """Embeddings, each after `period` seconds; what was reported meanwhile."""
        said = list[str]()
        for _ in range(count):
            said += self.wait(period)
            self.callbacks["front/embeddings"](embedding())
        return said


def embedding(seconds: int = 0, clip_start: int = 0) -> Any:
    """What is looked at of a msg/Embedding."""
    stamp, start = SimpleNamespace(sec=seconds), SimpleNamespace(sec=clip_start)
    header, vector = SimpleNamespace(stamp=stamp), array.array("f", [0.6, 0.8])
    return SimpleNamespace(model_id="nano-1", header=header, clip_start=start, vector=vector)


@pytest.mark.parametrize("period", [0.25, 1.0, 10.0, 60.0])
def test_what_is_expected_follows_the_stream(
    monkeypatch: pytest.MonkeyPatch, period: float
) -> None:
    stream = Stream(monkeypatch, heartbeat=True)
    stream.receive(10, period)
    assert set(stream.receive(20, period)) == {"embeddings arrive"}
    assert stream.wait(max(1.75, 2 * period)) == ["embeddings arrive"]
    (said,) = stream.wait(max(2.0, 3 * period))[1:]
    assert said == (
        "no embedding on '/vljepa/front/embeddings' any more: perception_node is running, is the "
        "camera?"
    )
    stream.receive(1, 0.25)
    assert stream.wait(0.25) == ["embeddings arrive"]


def test_neither_the_wait_for_the_first_nor_an_outage_is_a_period(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = Stream(monkeypatch, heartbeat=True)
    stream.receive(1, 30.0)
    stream.receive(5, 0.5)
    assert "is the camera?" in stream.wait(2.25)[-1]
    stream.receive(1, 30.0)
    assert "is the camera?" in stream.wait(3.25)[-1]


@pytest.mark.parametrize("period", [0.25, 60.0])
def test_a_missing_heartbeat_is_reported_within_two_seconds(
    monkeypatch: pytest.MonkeyPatch, period: float
) -> None:
    stream = Stream(monkeypatch, heartbeat=True)
    stream.receive(10, period)
    stream.heartbeat, before = False, stream.published
    assert "nor the heartbeat of perception_node" in stream.wait(1.75)[-1]
    assert stream.published == before + 1, "at once, not with the next round"


def test_embeddings_from_a_bag_need_no_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Stream(monkeypatch, heartbeat=True)
    stream.receive(10, 0.25)
    stream.heartbeat = False
    stream.receive(10, 4.0)
    assert set(stream.receive(10, 4.0)) == {"embeddings arrive"}
    assert stream.wait(20.0)[-1] == "no embedding on '/vljepa/front/embeddings' any more"


@pytest.mark.parametrize("stamps", [(-1, 0), (0, -1)])
def test_a_negative_stamp_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, stamps: tuple[int, int]
) -> None:
    stream = Stream(monkeypatch, heartbeat=False)
    stream.callbacks["front/embeddings"](embedding(*stamps))
    assert stream.warnings == ["an embedding of camera 'front' is refused: its stamp is negative"]
    assert stream.topic.part({}, (0, "idle")).level == 2


def test_another_model_is_named_before_an_embedding_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Stream(monkeypatch, heartbeat=False, model_id="nano-1")
    for model_id, level in (("everyday-2", 2), ("nano-1", 1)):  # ERROR, then: nothing came yet
        stream.callbacks["model_info"](SimpleNamespace(model_id=model_id))
        assert stream.topic.part({}, (0, "idle")).level == level
    assert stream.warnings == [
        "perception_node runs model everyday-2, this node decodes nano-1: start both nodes with "
        "the same model"
    ]


@pytest.fixture
def perception(domain: int) -> Iterator[subprocess.Popen[bytes]]:
    """A perception node in a process of its own."""
    root = str(Path(vljepa_ros.__file__).parents[1])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
    environment = {**os.environ, "PYTHONPATH": path}
    command = [sys.executable, "-c", PERCEPTION, "--ros-args", "-p", f"model:={MODEL}"]
    process = subprocess.Popen(command, env=environment)
    yield process
    process.kill()
    process.wait(30.0)


def test_perception_killed_is_reported_by_every_node(
    graph: Graph, perception: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    nodes = {"decoder": graph.add(SelectiveDecoderNode, model=MODEL, always_on=True)}
    nodes["trigger"] = graph.add(TriggerNode, model=MODEL, triggers=["the door swings open"])
    try:
        from vljepa_ros.nodes.memory_node import MemoryNode

        nodes["memory"] = graph.add(MemoryNode, model=MODEL, location=str(tmp_path / "memory"))
    except ImportError:
        pass
    heard = graph.listen("diagnostic_msgs/msg/DiagnosticArray", "/diagnostics")
    camera = graph.camera("/camera/image_raw")

    def said(text: str) -> bool:
        found = [status(heard, f"{name}_node: camera front") for name in nodes]
        return all(one is not None and text in one.message for one in found)

    def show() -> None:
        graph.show(camera, "green", 0.2)

    assert graph.spin(lambda: said("embeddings arrive"), again=show)
    assert graph.spin(lambda: said("perception_node is running, is the camera?"))
    assert graph.spin(lambda: said("embeddings arrive"), again=show)
    perception.send_signal(signal.SIGKILL)
    killed = time.monotonic()
    assert graph.spin(lambda: said("nor the heartbeat of perception_node"), again=show)
    print(f"reported by {len(nodes)} nodes {time.monotonic() - killed:.2f} s after the kill")


@pytest.mark.parametrize("values", [[0.0, 0.0], [math.nan, 1.0], [math.inf, 0.0], [1.0], []])
def test_a_vector_that_cannot_be_used_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, values: list[float]
) -> None:
    stream = Stream(monkeypatch, heartbeat=False)
    message = embedding()
    message.vector = array.array("f", values)
    stream.callbacks["front/embeddings"](message)
    (said,) = stream.warnings
    assert said.startswith(
        f"an embedding of camera 'front' is refused: it has {len(values)} values"
    )
    assert said.endswith("allowed: 2 values, norm 1")
    assert stream.topic.part({}, (0, "")).values["refused"] == 1
    assert stream.topic.part({}, (0, "")).message == said
