"""How nodes receive one camera's embeddings: checked, queued, and reported when they stop."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import numpy as np

from vljepa_ros import ros
from vljepa_ros.nodes.diagnostics import ERROR, Part, checked
from vljepa_ros.nodes.lifecycle_node import LifecycleNode
from vljepa_ros.nodes.topics import LATCHED, Endpoints

T = TypeVar("T")

MISSING_S = 1.5  # without a heartbeat: three of them are missing
SILENT_S = 2.0  # without an embedding; or this number of their periods, if that is more:
PERIODS = 3
PERIOD_DECAY = 0.8  # the period is the longest of late ones: per message, it falls to this share


class Inbox(Generic[T]):
    """A bounded queue of messages; thread-safe.

    Args:
        size: Messages it holds; one more drops the oldest.
    """

    def __init__(self, size: int) -> None:
        self.dropped = 0
        self._size = size
        self._lock = threading.Lock()
        self._items: deque[T] = deque()

    def put(self, item: T) -> bool:
        """Append a message; whether the oldest was dropped for it."""
        with self._lock:
            self._items.append(item)
            full = len(self._items) > self._size
            if full:
                self._items.popleft()
                self.dropped += 1
            return full

    def take(self) -> T | None:
        """Remove the oldest; None if there is none."""
        with self._lock:
            return self._items.popleft() if self._items else None


class EmbeddingSubscription(Endpoints):
    """Subscribes to `<camera>/embeddings` while `listen(True)`, and reports when they stop.

    The report goes to the log and the diagnostics. A killed publisher stays in the graph for the
    middleware's lease of ten seconds or more, so only messages count: perception is missing if its
    heartbeat stops, a camera has stopped if only its embeddings do.

    Args:
        node: A lifecycle node.
        camera: Name of the camera.
        on_embedding: Called with each message that is not refused.
        model_id: Embeddings of another model are refused; empty: none are.
        dim: Embeddings of another length are refused, live; 0: none are.
        purpose: What the node does with this model, for warnings: `this node decodes`.

    Attributes:
        received: Messages so far.
        refused: How many of them, and of other messages of this camera, could not be used.
        arrived: Time of the steady clock, in seconds, of the newest message or of subscribing.
        trouble: Why embeddings are refused or missing; empty: neither.
    """

    def __init__(
        self,
        node: LifecycleNode[Any],
        camera: str,
        on_embedding: Callable[[ros.Message], None],
        model_id: str = "",
        dim: int = 0,
        purpose: str = "",
    ) -> None:
        super().__init__(node, self.warn)
        self.camera = camera
        self.received = self.refused = 0
        self.arrived = 0.0
        self.trouble = ""
        self._on_embedding = on_embedding
        self._model_id = model_id
        self.dim = dim
        self._purpose = purpose
        self._topic = f"{camera}/embeddings"
        self._period = SILENT_S
        self._paced = False  # whether one arrived since `listen`
        self._heartbeats = 0
        self._alive = 0.0
        self._reported = ""
        self._mismatch = ""

    def listen(self, on: bool) -> bool:
        """Subscribe or unsubscribe; returns whether it has just subscribed."""
        if not on:
            self.close()
        elif not self.is_open:
            self.arrived, self._period, self._heartbeats = time.monotonic(), SILENT_S, 0
            self._reported, self._paced = "", False
            self.subscribe("vljepa_ros/msg/Embedding", self._topic, self._receive)
            self.subscribe("vljepa_ros/msg/ModelInfo", "model_info", self._on_heartbeat, LATCHED)
            return True
        return False

    def compare(self, info: ros.Message) -> None:
        """Check that perception runs the model that this node needs; info: a ModelInfo."""
        same = self._model_id in ("", info.model_id)
        self._mismatch = "" if same else self._differs("perception_node runs", info.model_id)
        if self._mismatch:
            self._node.warn(self._mismatch)

    def warn(self, text: str) -> None:
        """Report trouble in the log and in the diagnostics."""
        self.trouble = text
        self._node.warn(text)

    def refuse(self, what: str, why: str) -> None:
        """Count and report a message of this camera that cannot be used."""
        self.refused += 1
        self.warn(f"{what} of camera '{self.camera}' is refused: {why}")

    @property
    def perception_lives(self) -> bool:
        """Whether an embedding or the heartbeat of perception_node arrived recently."""
        return time.monotonic() - max(self._alive, self.arrived) <= MISSING_S

    @property
    def perception_missing(self) -> bool:
        """Whether perception_node was running and its messages have stopped."""
        return self._heartbeats > 1 and not self.perception_lives

    @property
    def stale(self) -> str:
        """Why the newest embedding is too old to describe the present; empty: it is not."""
        now = time.monotonic()
        topic = self._node.resolve_topic_name(self._topic)
        if self.perception_missing:
            return (
                f"neither an embedding on '{topic}' nor the heartbeat of perception_node: is it "
                "running and active?"
            )
        if not self.received:
            return f"no embedding on '{topic}' yet"
        if now - self.arrived > self._limit:
            alive = ": perception_node is running, is the camera?" if self._heartbeats > 1 else ""
            return f"no embedding on '{topic}' any more{alive}"
        return ""

    def part(self, values: dict[str, object], idle: tuple[int, str], lacking: str = "") -> Part:
        """State for the diagnostics.

        Args:
            values: Key-value pairs of the status.
            idle: Level and message while it is not subscribed.
            lacking: What is missing although embeddings arrive; empty: nothing.
        """
        name = f"camera {self.camera}"
        values = {"received": self.received, "refused": self.refused, **values}
        if trouble := self._mismatch or self.trouble:
            return Part(name, ERROR, trouble, values)
        if not self.is_open:
            return Part(name, *idle, values)
        values = {**values, "seconds_since_embedding": time.monotonic() - self.arrived}
        return checked(name, self.stale or lacking, "embeddings arrive", values)

    @property
    def _limit(self) -> float:
        """Seconds without an embedding after which the stream counts as stopped."""
        return max(SILENT_S, PERIODS * self._period)

    def watch(self) -> None:
        """Report embeddings that stop; call it a few times a second."""
        stale = self.stale if self.is_open else self._reported
        if stale == self._reported:
            return
        self._reported = stale
        self._node.diagnostics.publish()
        if stale and self.received:
            self._node.get_logger().warning(f"camera '{self.camera}': {stale}")

    def _on_heartbeat(self, message: ros.Message) -> None:
        self._heartbeats += 1
        self._alive = time.monotonic()
        if self._model_id:
            self.compare(message)

    def _differs(self, what: str, model_id: str) -> str:
        return (
            f"{what} model {model_id}, {self._purpose} {self._model_id}: start both nodes with the "
            "same model"
        )

    def _receive(self, message: ros.Message) -> None:
        now = time.monotonic()
        if now - self._alive > MISSING_S:
            self._heartbeats = 0  # no heartbeat: played from a bag
        self.received += 1
        silence, self.arrived = now - self.arrived, now
        if self._paced:  # after one outage the limit grows by a half at most
            self._period = max(min(silence, self._limit / 2), PERIOD_DECAY * self._period)
        self._paced = True
        if self._model_id and message.model_id != self._model_id:
            came = f"embeddings of camera '{self.camera}' come from"
            self.warn(self._differs(came, message.model_id))
        elif wrong := self._wrong(message):
            self.refuse("an embedding", wrong)
        else:
            self._on_embedding(message)

    def _wrong(self, message: ros.Message) -> str:
        """Why an embedding cannot be used, or an empty text."""
        if min(message.header.stamp.sec, message.clip_start.sec) < 0:
            return "its stamp is negative"
        size, norm = len(message.vector), float(np.linalg.norm(message.vector))
        if self.dim not in (0, size) or not 0.5 < norm < 2.0:
            allowed = self.dim or "any number of"
            return f"it has {size} values of L2 norm {norm:.3g}, allowed: {allowed} values, norm 1"
        return ""
