"""A memory node with what it listens to, on the real middleware."""

from __future__ import annotations

import array
import time
from pathlib import Path
from typing import Any

from graph import MODEL, SECOND, Graph

from vljepa_ros import ros
from vljepa_ros.nodes.memory_node import MemoryNode
from vljepa_ros.nodes.perception_node import PerceptionNode
from vljepa_ros.nodes.topics import LATCHED

PATIENCE = 30.0  # seconds; a busy machine is slow, not wrong
TEXTS = ("the robot arm picks up the red mug", "a person opens the door")


class Robot:
    """A perception node for encode_text, a memory node, and a publisher of what was seen."""

    def __init__(self, graph: Graph, place: Path, **parameters: Any) -> None:
        self.graph = graph
        self.perception = graph.add(PerceptionNode, model=MODEL)
        settings = {"batch_seconds": 0.2, "sample_interval": 0.5, **parameters}
        self.node = graph.add(MemoryNode, model=MODEL, location=str(place), **settings)
        engine = self.perception.engine
        self.model_id = engine.config.model_id
        self.vectors = engine.encode_text(list(TEXTS))
        self.begin = graph.stamp + SECOND
        create = graph.client.create_publisher
        self.embeddings = create(ros.interface("vljepa_ros/msg/Embedding"), "front/embeddings", 10)
        self.events = create(ros.interface("vljepa_ros/msg/SceneEvent"), "events", 10)
        self.scene = create(ros.interface("vljepa_ros/msg/SceneEvent"), "front/scene", LATCHED)
        self._probe(self.embeddings, "vljepa_ros/msg/Embedding", "received")
        self._probe(self.events, "vljepa_ros/msg/SceneEvent", "events")

    def see(self, which: int, seconds: float, **fields: Any) -> None:
        """Five embeddings a second of stamps; an event first."""
        event = ros.interface("vljepa_ros/msg/SceneEvent")(
            camera="front", model_id=self.model_id, reason=1, text=TEXTS[which]
        )
        event.onset = event.header.stamp = ros.Time(
            nanoseconds=self.graph.stamp + SECOND // 10
        ).to_msg()
        arrived = self.count("events")
        self.events.publish(event)
        assert self.graph.spin(lambda: self.count("events") > arrived, PATIENCE)
        self.go_on(which, seconds, **fields)

    def go_on(self, which: int, seconds: float, **fields: Any) -> None:
        """Five embeddings a second of stamps."""
        for _ in range(round(seconds * 5)):
            self.graph.stamp += SECOND // 5
            message = ros.interface("vljepa_ros/msg/Embedding")(
                **{
                    "camera": "front",
                    "model_id": self.model_id,
                    "vector": array.array("f", self.vectors[which].tobytes()),
                    **fields,
                }
            )
            message.header.stamp = ros.Time(nanoseconds=self.graph.stamp).to_msg()
            message.clip_start = ros.Time(nanoseconds=self.graph.stamp - SECOND).to_msg()
            arrived = self.count("received")
            self.embeddings.publish(message)
            assert self.graph.spin(lambda n=arrived: self.count("received") > n, PATIENCE)

    def count(self, what: str) -> int:
        """Messages of the camera that have reached the node."""
        return int(self.node._inputs["front"].part().values[what])

    def _probe(self, publisher: Any, kind: str, what: str) -> None:
        """Both ends have matched: a message of another model has come through."""
        message = ros.interface(kind)(camera="front", model_id="probe-00000000")
        if what == "events":
            message.reason = message.CHANGE
        arrived, end = self.count(what), time.monotonic() + PATIENCE
        while self.count(what) == arrived:
            assert time.monotonic() < end, "no probe came through"
            publisher.publish(message)
            self.graph.spin_for(0.05)

    def find(self, text: str = TEXTS[0], **fields: Any) -> Any:
        fields = {"limit": 5, **fields}
        return self.graph.call("vljepa_ros/srv/FindMoments", "find_moments", text=text, **fields)

    def written(self, count: int) -> bool:
        memory = self.node.memory
        return self.graph.spin(lambda: memory.status().written >= count, 2 * PATIENCE)
