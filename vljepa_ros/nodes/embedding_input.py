"""One camera's embeddings on their way to the selective decoder: bounded, checked, and why
refused."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vljepa_ros import ros
from vljepa_ros.nodes.diagnostics import ERROR, OK, WARN, Part
from vljepa_ros.nodes.qos import RESULTS, mismatch_events
from vljepa_ros.perception.selective_decoder import SelectiveDecoder

_WAITING = 64


class EmbeddingInput:
    """Subscribed while `listen(True)`; keeps what the worker has not yet taken, newest last.

    :param model_id: embeddings of another model are refused.
    """

    def __init__(
        self,
        node: Any,
        camera: str,
        model_id: str,
        decoder: SelectiveDecoder,
        woken: Callable[[], None],
    ) -> None:
        self.camera = camera
        self.decoder = decoder
        self.newest: Any = None
        self.arrived = 0.0
        self.query = ""
        self.seen = 0.0  # Unix time at which the newest came
        self._node = node
        self._model_id = model_id
        self._woken = woken
        self._lock = threading.Lock()
        self._waiting: deque[Any] = deque()
        self._subscription: Any = None
        self._received = self._dropped = 0
        self._refused = ""
        self._topic = f"{camera}/embeddings"

    @property
    def listening(self) -> bool:
        """Whether it is subscribed."""
        return self._subscription is not None

    def listen(self, on: bool) -> None:
        """Subscribe or unsubscribe."""
        if on and self._subscription is None:
            self._subscription = self._node.create_subscription(
                ros.interface("vljepa_ros/msg/Embedding"),
                self._topic,
                self._on_embedding,
                RESULTS,
                event_callbacks=mismatch_events(self._topic, "subscription", self._warn),
            )
        elif not on and self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None

    def take(self) -> tuple[Any, NDArray[np.float32]] | None:
        """The oldest embedding that waits: its message and vector [D] float32."""
        with self._lock:
            message = self._waiting.popleft() if self._waiting else None
        if message is None:
            return None
        return message, np.array(message.vector, np.float32)

    def part(self) -> Part:
        """State for the diagnostics."""
        detector = self.decoder.detector
        values = {
            "received": self._received,
            "dropped": self._dropped,
            "refused": detector.refused,
            "decodes": self.decoder.decodes,
            "drift": detector.drift,
            "threshold": detector.threshold,
            "listening": self.listening,
            "text": self.decoder.last.text if self.decoder.last else "",
        }
        name = f"camera {self.camera}"
        if self._refused:
            return Part(name, ERROR, self._refused, values)
        if not self.listening:
            return Part(name, OK, "nobody listens", values)
        if not self._received:
            topic = self._node.resolve_topic_name(self._topic)
            return Part(name, WARN, f"no embedding on '{topic}' yet", values)
        return Part(name, OK, "embeddings arrive", values)

    def _on_embedding(self, message: Any) -> None:
        self._received += 1
        if message.model_id != self._model_id:
            self._warn(
                f"embeddings of camera '{self.camera}' come from model {message.model_id}, this "
                f"node decodes {self._model_id}: start both nodes with the same model"
            )
            return
        self._refused = ""
        self.newest, self.arrived, self.seen = message, time.monotonic(), time.time()
        with self._lock:
            self._waiting.append(message)
            while len(self._waiting) > _WAITING:
                self._waiting.popleft()
                self._dropped += 1
        self._woken()

    def _warn(self, text: str) -> None:
        self._refused = text
        self._node.get_logger().warning(text, throttle_duration_sec=10.0)
