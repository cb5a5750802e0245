"""One camera's embeddings as other nodes receive them: checked, bounded, and why refused."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from vljepa_ros.nodes.diagnostics import ERROR, OK, WARN, Part
from vljepa_ros.nodes.topics import Endpoints

T = TypeVar("T")


class Inbox(Generic[T]):
    """What has come and is not yet taken, oldest first; thread-safe.

    Args:
        size: More than so many drop the oldest.
    """

    def __init__(self, size: int) -> None:
        self.dropped = 0
        self._size = size
        self._lock = threading.Lock()
        self._items: deque[T] = deque()

    def put(self, item: T) -> None:
        """Add one."""
        with self._lock:
            self._items.append(item)
            if len(self._items) > self._size:
                self._items.popleft()
                self.dropped += 1

    def take(self) -> T | None:
        """Remove the oldest; None if there is none."""
        with self._lock:
            return self._items.popleft() if self._items else None


class EmbeddingSubscription(Endpoints):
    """The topic `<camera>/embeddings`, subscribed to while `listen(True)`.

    Args:
        node: A ROS node.
        camera: Name of the camera.
        on_embedding: Given each message that is not refused.
        model_id: Embeddings of another model are refused; empty: none are.
        purpose: What the node does with this model, to say so: `this node decodes`.

    Attributes:
        received: Messages so far.
        arrived: Time of the steady clock, in seconds, of the newest message or of subscribing.
        trouble: Why embeddings are refused or do not come; empty if all is well.
    """

    def __init__(
        self,
        node: Any,
        camera: str,
        on_embedding: Callable[[Any], None],
        model_id: str = "",
        purpose: str = "",
    ) -> None:
        super().__init__(node, self.warn)
        self.camera = camera
        self.received = 0
        self.arrived = 0.0
        self.trouble = ""
        self._on_embedding = on_embedding
        self._model_id = model_id
        self._purpose = purpose
        self._topic = f"{camera}/embeddings"

    def listen(self, on: bool) -> None:
        """Subscribe or unsubscribe."""
        if not on:
            self.close()
        elif not self.is_open:
            self.arrived = time.monotonic()
            self.subscribe("vljepa_ros/msg/Embedding", self._topic, self._receive)

    def warn(self, text: str) -> None:
        """Report trouble in the log and in the diagnostics."""
        self.trouble = text
        self._node.get_logger().warning(text, throttle_duration_sec=10.0)

    def part(
        self, values: dict[str, object], idle: tuple[int, str], timeout: float | None = None
    ) -> Part:
        """State for the diagnostics.

        Args:
            values: Shown as they are.
            idle: Level and message while it is not subscribed.
            timeout: Seconds without an embedding after which that is reported; None: only if there
                has not been any.
        """
        name, silence = f"camera {self.camera}", time.monotonic() - self.arrived
        topic = self._node.resolve_topic_name(self._topic)
        if self.trouble:
            return Part(name, ERROR, self.trouble, values)
        if not self.is_open:
            return Part(name, *idle, values)
        if timeout is not None and silence > timeout:
            return Part(name, WARN, f"no embedding on '{topic}' for {silence:.0f} s", values)
        if timeout is None and not self.received:
            return Part(name, WARN, f"no embedding on '{topic}' yet", values)
        return Part(name, OK, "embeddings arrive", values)

    def _receive(self, message: Any) -> None:
        self.received += 1
        self.arrived = time.monotonic()
        if self._model_id and message.model_id != self._model_id:
            self.warn(
                f"embeddings of camera '{self.camera}' come from model {message.model_id}, "
                f"{self._purpose} {self._model_id}: start both nodes with the same model"
            )
        else:
            self._on_embedding(message)
