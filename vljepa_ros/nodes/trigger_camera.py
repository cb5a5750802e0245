"""One camera as the triggers see it: embeddings and labels in, edges and the state of all triggers
out."""

from __future__ import annotations

import array
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np

from vljepa_ros import ros
from vljepa_ros.nodes.diagnostics import OK, Part
from vljepa_ros.nodes.embedding_subscription import EmbeddingSubscription
from vljepa_ros.nodes.topics import LATCHED, Endpoints, age_of, to_nanoseconds, to_seconds
from vljepa_ros.perception.triggers import Edge, EncodedTriggers, TriggerBoard


class TriggerCamera(Endpoints):
    """Publishes from creation until `close`; subscribed to its camera while `listen(True)`.

    Args:
        node: A lifecycle node.
        camera: Name of the camera.
        events: Publisher of the TriggerEvents of all cameras.
        on_model_mismatch: Given the model of embeddings that cannot be compared with the encoded
            texts; also while there are none.
    """

    def __init__(
        self, node: Any, camera: str, events: Any, on_model_mismatch: Callable[[str], None]
    ) -> None:
        super().__init__(node, node.warn)
        self._camera = camera
        self._events = events
        self._on_model_mismatch = on_model_mismatch
        self._kind = ros.interface("vljepa_ros/msg/TriggerEvent")
        self._state_kind = ros.interface("vljepa_ros/msg/TriggerState")
        self._states = self.publisher(
            "vljepa_ros/msg/TriggerState", f"{camera}/trigger_state", LATCHED
        )
        self._topic = EmbeddingSubscription(node, camera, self._on_embedding)
        self.labels = Endpoints(node, self._topic.warn)
        self.board: TriggerBoard | None = None
        self._header: Any = ros.interface("std_msgs/msg/Header")()

    def listen(self, on: bool) -> None:
        """Subscribe or unsubscribe; to labels if triggers go by them: they cost the model more."""
        self._topic.listen(on)
        if not on or self.board is None or not self.board.labelled:
            self.labels.close()
        elif not self.labels.is_open:
            topic = f"{self._camera}/labels"
            self.labels.subscribe("vljepa_ros/msg/SceneLabels", topic, self._on_labels)

    def use(
        self,
        triggers: EncodedTriggers | None,
        settle: float,
        labels: Collection[str],
        reason: str = "REMOVED",
    ) -> None:
        """Compare with other triggers from now on.

        Args:
            triggers: None: with none; what was true falls.
            settle: Seconds for which a score must stay beyond its limit.
            labels: The vocabulary; see TriggerBoard.
            reason: Of the falls, name of a constant of TriggerEvent.
        """
        old = self.board
        self.board = None if triggers is None else TriggerBoard(triggers, settle, labels)
        if old is not None:
            edges = old.deactivate_all() if self.board is None else self.board.carry_over(old)
            self._publish(edges, reason, old.triggers.model_id)
        self._publish_state()
        self.listen(self._topic.is_open)

    def watch(self, timeout: float) -> None:
        """Notice a camera that has stopped, after `timeout` seconds: its triggers fall."""
        silent = self._topic.is_open and time.monotonic() - self._topic.arrived > timeout
        if silent and self.board is not None and self.board.known:
            edges = self.board.deactivate_all()
            self._publish(edges, "CAMERA_STOPPED", self.board.triggers.model_id)
            self._publish_state()

    def part(self) -> Part:
        """State for the diagnostics."""
        board = self.board
        values: dict[str, object] = {
            "received": self._topic.received,
            "refused": 0 if board is None else board.refused,
            "triggers": 0 if board is None else len(board.triggers),
            "active": 0 if board is None else int(np.count_nonzero(board.active)),
        }
        return self._topic.part(values, (OK, "nothing to watch for"))

    def _on_embedding(self, message: Any) -> None:
        vector = np.array(message.vector, np.float32)
        self._observe(message, lambda board, stamp: board.observe(stamp, vector))

    def _on_labels(self, message: Any) -> None:
        found = [label for group in message.groups for label in group.labels]
        labels, scores = [label.text for label in found], [label.score for label in found]
        self._observe(message, lambda board, stamp: board.observe_labels(stamp, labels, scores))

    def _observe(
        self, message: Any, observe: Callable[[TriggerBoard, float], Sequence[Edge]]
    ) -> None:
        board = self.board
        if board is None or board.triggers.model_id != message.model_id:
            self._on_model_mismatch(str(message.model_id))
            return
        self._topic.trouble = ""
        self._header = message.header
        known = board.known
        edges = observe(board, to_seconds(message.header.stamp))
        self._publish(edges, "CROSSED", board.triggers.model_id)
        if edges or known != board.known:
            self._publish_state()

    def _publish(self, edges: Sequence[Edge], reason: str, model_id: str) -> None:
        for edge in edges:
            self._events.publish(
                self._kind(
                    header=self._header,
                    camera=self._camera,
                    model_id=model_id,
                    **vars(edge),
                    reason=getattr(self._kind, reason),
                    latency=age_of(self._node, to_nanoseconds(self._header.stamp)),
                )
            )

    def _publish_state(self) -> None:
        board = self.board
        message = self._state_kind(header=self._header, camera=self._camera)
        if board is not None:
            message.known = board.known
            message.model_id = board.triggers.model_id if board.known else ""
            message.texts = list(board.triggers.texts)
            message.thresholds = array.array("f", board.triggers.thresholds.tolist())
            message.scores = array.array("f", board.scores.tolist())
            message.active = board.active.tolist()
        self._states.publish(message)
