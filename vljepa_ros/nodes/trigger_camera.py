"""One camera as the triggers see it: embeddings and labels in, edges and the state of all triggers
out."""

from __future__ import annotations

import array
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np

from vljepa_ros import ros
from vljepa_ros.nodes.diagnostics import ERROR, OK, WARN, Part
from vljepa_ros.nodes.qos import LATCHED, RESULTS, mismatch_events
from vljepa_ros.perception.triggers import Edge, EncodedTriggers, TriggerBoard


class TriggerCamera:
    """Publishers from creation until `close`; subscribed while `listen(True)`.

    :param events: publisher of the TriggerEvents of all cameras.
    :param foreign: told the model of embeddings that cannot be compared with the encoded texts;
        also while there are none.
    """

    def __init__(self, node: Any, camera: str, events: Any, foreign: Callable[[str], None]) -> None:
        self.camera = camera
        self._node = node
        self._events = events
        self._foreign = foreign
        self._kind = ros.interface("vljepa_ros/msg/TriggerEvent")
        self._state_kind = ros.interface("vljepa_ros/msg/TriggerState")
        self._states = node.create_publisher(
            self._state_kind,
            f"{camera}/trigger_state",
            LATCHED,
            event_callbacks=mismatch_events(f"{camera}/trigger_state", "publisher", node.warn),
        )
        self._subscription: Any = None
        self._label_subscription: Any = None
        self._header: Any = ros.interface("std_msgs/msg/Header")()
        self._board: TriggerBoard | None = None
        self._received = 0
        self._arrived = 0.0
        self._trouble = ""

    def close(self) -> None:
        """Destroy the publisher."""
        self._node.destroy_publisher(self._states)

    def listen(self, on: bool) -> None:
        """Subscribe, or unsubscribe; to labels where triggers go by them: they cost the model
        more."""
        if on and self._subscription is None:
            self._arrived = time.monotonic()
            self._subscription = self._subscribe("Embedding", "embeddings", self._on_embedding)
        elif not on and self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None
        labelled = on and self._board is not None and self._board.labelled
        if labelled and self._label_subscription is None:
            self._label_subscription = self._subscribe("SceneLabels", "labels", self._on_labels)
        elif not labelled and self._label_subscription is not None:
            self._node.destroy_subscription(self._label_subscription)
            self._label_subscription = None

    def use(
        self,
        triggers: EncodedTriggers | None,
        settle: float,
        labels: Collection[str],
        reason: str = "REMOVED",
    ) -> None:
        """Compare with other triggers from now on; None: with none, what was true falls.

        :param labels: the vocabulary; see TriggerBoard.
        :param reason: of the falls, name of a constant of TriggerEvent.
        """
        old = self._board
        self._board = None if triggers is None else TriggerBoard(triggers, settle, labels)
        edges: list[Edge] = []
        model_id = "" if old is None else old.triggers.model_id
        if old is not None and self._board is None:
            edges = old.deactivate_all()
        elif old is not None and self._board is not None:
            edges = self._board.carry_over(old)
        self._tell(edges, reason, model_id)
        self._tell_state()
        self.listen(self._subscription is not None)

    def lose(self, reason: str) -> None:
        """Nothing is known of this camera any more."""
        if self._board is None or not self._board.known:
            return
        self._tell(self._board.deactivate_all(), reason, self._board.triggers.model_id)
        self._tell_state()

    def watch(self, timeout: float) -> None:
        """Notice a camera that has stopped, after `timeout` seconds."""
        if self._subscription is None or time.monotonic() - self._arrived <= timeout:
            return
        self.lose("CAMERA_STOPPED")

    def part(self, timeout: float) -> Part:
        """State for the diagnostics."""
        board = self._board
        values = {
            "received": self._received,
            "refused": 0 if board is None else board.refused,
            "triggers": 0 if board is None else len(board.triggers),
            "active": 0 if board is None else int(np.count_nonzero(board.active)),
        }
        name = f"camera {self.camera}"
        if self._trouble:
            return Part(name, ERROR, self._trouble, values)
        if self._subscription is None:
            return Part(name, OK, "nothing to watch for", values)
        silence = time.monotonic() - self._arrived
        if silence > timeout:
            topic = self._node.resolve_topic_name(f"{self.camera}/embeddings")
            return Part(name, WARN, f"no embedding on '{topic}' for {silence:.0f} s", values)
        return Part(name, OK, "embeddings arrive", values)

    def _subscribe(self, kind: str, topic: str, callback: Callable[[Any], None]) -> Any:
        return self._node.create_subscription(
            ros.interface(f"vljepa_ros/msg/{kind}"),
            f"{self.camera}/{topic}",
            callback,
            RESULTS,
            event_callbacks=mismatch_events(f"{self.camera}/{topic}", "subscription", self._warn),
        )

    def _on_embedding(self, message: Any) -> None:
        self._received += 1
        self._arrived = time.monotonic()
        vector = np.array(message.vector, np.float32)
        self._observe(message, lambda board, stamp: board.observe(stamp, vector))

    def _on_labels(self, message: Any) -> None:
        labels, scores = message.labels, message.scores
        self._observe(message, lambda board, stamp: board.observe_labels(stamp, labels, scores))

    def _observe(
        self, message: Any, observe: Callable[[TriggerBoard, float], Sequence[Edge]]
    ) -> None:
        board = self._board
        if board is None or board.triggers.model_id != message.model_id:
            self._foreign(str(message.model_id))
            return
        self._trouble = ""
        self._header = message.header
        known = board.known
        edges = observe(board, message.header.stamp.sec + message.header.stamp.nanosec * 1e-9)
        self._tell(edges, "CROSSED", board.triggers.model_id)
        if edges or known != board.known:
            self._tell_state()

    def _tell(self, edges: Sequence[Edge], reason: str, model_id: str) -> None:
        for edge in edges:
            self._events.publish(
                self._kind(
                    header=self._header,
                    camera=self.camera,
                    model_id=model_id,
                    text=edge.text,
                    threshold=edge.threshold,
                    score=edge.score,
                    rising=edge.rising,
                    reason=getattr(self._kind, reason),
                    latency=self._age(),
                )
            )

    def _tell_state(self) -> None:
        board = self._board
        message = self._state_kind(header=self._header, camera=self.camera)
        if board is not None:
            message.known = board.known
            message.model_id = board.triggers.model_id if board.known else ""
            message.texts = list(board.triggers.texts)
            message.thresholds = array.array("f", board.triggers.thresholds.tolist())
            message.scores = array.array("f", board.scores.tolist())
            message.active = board.active.tolist()
        self._states.publish(message)

    def _age(self) -> float:
        stamp = self._header.stamp
        now = int(self._node.get_clock().now().nanoseconds)
        return float((now - stamp.sec * 1_000_000_000 - stamp.nanosec) / 1e9)

    def _warn(self, text: str) -> None:
        self._trouble = text
        self._node.warn(text)
