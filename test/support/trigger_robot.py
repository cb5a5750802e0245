"""A robot for tests of triggers: trigger node, perception node, and embeddings at will."""

from __future__ import annotations

import array
from typing import Any

from graph import MODEL, SECOND, Graph

from vljepa_ros import ros
from vljepa_ros.nodes.perception_node import PerceptionNode
from vljepa_ros.nodes.trigger_node import TriggerNode
from vljepa_ros.perception.vocabulary import VocabularyError

EVENT = "vljepa_ros/msg/TriggerEvent"
STATE = "vljepa_ros/msg/TriggerState"
EMBEDDING = "vljepa_ros/msg/Embedding"
DOOR, ARM = "the door swings open", "an object is being picked up"  # no labels of the model
LIGHTS, LABEL = "the lights are turned off", "the lights go off"
TEXTS = [DOOR, ARM, LIGHTS, LABEL]
UNREADABLE = "a text that the model refuses"
NAMES = ("UNKNOWN", "FALSE", "TRUE")
STATUS = ros.interface("vljepa_ros/msg/TriggerStatus")


class Robot:
    """A trigger node, a perception node that encodes texts, and a publisher of embeddings."""

    def __init__(self, graph: Graph, perception: bool = True, **parameters: Any) -> None:
        self.graph = graph
        self.events = graph.listen(EVENT, "triggers")
        self.states = graph.listen(STATE, "front/trigger_state", latched=True)
        self.model_id = ""
        if perception:
            self.start_perception()
        self.node = graph.add(TriggerNode, threshold=0.99, **parameters)
        self.publisher = graph.publisher(EMBEDDING, "front/embeddings")

    def start_perception(self) -> None:
        self.perception = self.graph.add(PerceptionNode, model=MODEL)
        self.model_id = self.perception.engine.config.model_id
        encode = self.perception.engine.encode_text
        self.vectors = dict(zip(TEXTS, encode(TEXTS), strict=True))

        def encode_some(texts: list[str]) -> Any:
            if UNREADABLE in texts:
                raise VocabularyError("it has too many tokens")
            return encode(texts)

        self.perception.engine.encode_text = encode_some

    def add(self, owner: str, *texts: str, lease: float = 0.0, **fields: Any) -> Any:
        """Triggers of one text each, whose id is the text."""
        kind = ros.interface("vljepa_ros/msg/Trigger")
        return self.graph.call(
            "vljepa_ros/srv/AddTriggers",
            "add_triggers",
            owner=owner,
            lease=ros.Duration(seconds=lease).to_msg(),
            triggers=[kind(id=text, texts=[text], **fields) for text in texts],
        )

    def remove(self, owner: str, *ids: str) -> Any:
        return self.graph.call(
            "vljepa_ros/srv/RemoveTriggers", "remove_triggers", owner=owner, ids=list(ids)
        )

    def watches(self) -> bool:
        """Wait until all triggers can be judged."""
        return self.graph.spin(lambda: "not watched" not in self.node.parts()[0].message, 5.0)

    def see(self, text: str, seconds: float = 1.0, **fields: Any) -> None:
        """Five embeddings a second of stamps."""
        self.graph.connect(self.publisher)
        for _ in range(round(seconds * 5)):
            self.graph.stamp += SECOND // 5
            message = ros.interface(EMBEDDING)(
                **{
                    "camera": "front",
                    "model_id": self.model_id,
                    "vector": array.array("f", self.vectors[text].tobytes()),
                    **fields,
                }
            )
            message.header.stamp = ros.Time(nanoseconds=self.graph.stamp).to_msg()
            message.header.frame_id = "front_optical"
            message.clip_start = message.header.stamp
            self.publisher.publish(message)
            self.graph.spin_once_all()

    def received(self, *expected: str) -> bool:
        """Whether these events, and no others, have come: 'STATE id'."""
        enough = self.graph.spin(lambda: len(self.events) >= len(expected), 5.0)
        self.graph.spin_once_all()
        return enough and self.history == list(expected)

    @property
    def history(self) -> list[str]:
        return [f"{NAMES[e.trigger.state]} {e.trigger.id}" for e in self.events]

    def shown(self, trigger: str) -> Any:
        """The newest TriggerStatus of a trigger; None if there is none."""
        found = [s for s in self.states[-1].triggers if s.id == trigger] if self.states else []
        return found[0] if found else None

    def shows(self, trigger: str, state: str, reason: str = "SCORED") -> bool:
        """Wait until a trigger is in a state for a reason."""
        wanted = getattr(STATUS, f"STATE_{state}"), getattr(STATUS, f"REASON_{reason}")
        return self.graph.spin(
            lambda: (s := self.shown(trigger)) is not None and (s.state, s.reason) == wanted, 5.0
        )
