"""One camera on its way to the memory: embeddings and events in order, thumbnails where wanted."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vljepa_ros import ros
from vljepa_ros.models.config import ModelConfig
from vljepa_ros.nodes.camera_input import TYPES
from vljepa_ros.nodes.diagnostics import ERROR, OK, WARN, Part
from vljepa_ros.nodes.parameters import fixed
from vljepa_ros.nodes.qos import IMAGES, RESULTS, mismatch_events
from vljepa_ros.perception.frames import FrameDecoder
from vljepa_ros.perception.memory.row import Pose, Row
from vljepa_ros.perception.memory.segments import SegmentRecorder
from vljepa_ros.perception.memory.thumbnail import clip_to_jpeg
from vljepa_ros.perception.ring import ClipRing

_WAITING = 256
_NEAR = 1_000_000_000
"""Nanoseconds by which the images of a thumbnail may be off its embedding."""


@dataclass(frozen=True)
class MemoryCameraParameters:
    """What stands under a camera's name."""

    image_topic: str = fixed(
        "", "Topic of the images of which thumbnails are kept; empty: no thumbnails."
    )
    transport: str = fixed(
        "raw", "raw: sensor_msgs/Image; compressed: JPEG or PNG.", choices=tuple(TYPES)
    )


def nanoseconds(stamp: Any) -> int:
    """A builtin_interfaces/Time as nanoseconds."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


class MemoryInput:
    """From `start` to `stop` it collects messages; the worker takes the rows they make.

    :param thumbnail: side in pixels.
    :param woken: called for each message, to wake the worker.
    """

    def __init__(
        self,
        node: Any,
        camera: str,
        model: ModelConfig,
        settings: MemoryCameraParameters,
        recorder: SegmentRecorder,
        thumbnail: int,
        woken: Callable[[], None],
    ) -> None:
        self.camera = camera
        self.recorder = recorder
        self._node = node
        self._model = model
        self._settings = settings
        self._thumbnail = thumbnail
        self._woken = woken
        self._lock = threading.Lock()
        self._waiting: deque[Callable[[], list[Row]]] = deque()
        self._subscriptions: list[Any] = []
        self._received = self._events = self._dropped = self._unusable = 0
        self._refused = ""
        self._ring: ClipRing[Any] | None = None
        self.pose: Callable[[], Pose | None] = lambda: None

    def start(self) -> None:
        """Subscribe."""
        self._subscribe("vljepa_ros/msg/Embedding", f"{self.camera}/embeddings", self._embedding)
        if self._settings.image_topic:
            self._ring = ClipRing(
                self._model.clip_frames,
                self._model.frame_interval,
                FrameDecoder(self._thumbnail),
            )
            kind = TYPES[self._settings.transport]
            self._subscribe(kind, self._settings.image_topic, self._image, IMAGES)

    def stop(self) -> None:
        """Unsubscribe; what waits can still be taken."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions = []
        self._ring = None

    def event(self, message: Any) -> None:
        """A SceneEvent of this camera."""
        self._events += 1
        if message.model_id != self._model.model_id:
            return  # its embeddings say so already
        onset = nanoseconds(message.onset) or nanoseconds(message.header.stamp)
        text, label = str(message.text), str(message.label)
        score = float(message.label_score)
        self._put(lambda: self.recorder.change(onset, text, label, score))

    def take(self) -> list[Row]:
        """In the worker's thread: the rows that are complete now."""
        rows: list[Row] = []
        while True:
            with self._lock:
                work = self._waiting.popleft() if self._waiting else None
            if work is None:
                return rows
            rows += work()

    def part(self) -> Part:
        """State for the diagnostics."""
        values = {
            "received": self._received,
            "events": self._events,
            "dropped": self._dropped,
            "unusable": self._unusable,
            "thumbnails_from": self._settings.image_topic,
        }
        name = f"camera {self.camera}"
        if self._refused:
            return Part(name, ERROR, self._refused, values)
        if not self._subscriptions:
            return Part(name, WARN, "not active", values)
        if not self._received:
            topic = self._node.resolve_topic_name(f"{self.camera}/embeddings")
            return Part(name, WARN, f"no embedding on '{topic}' yet", values)
        return Part(name, OK, "embeddings arrive", values)

    def _subscribe(self, kind: str, topic: str, callback: Any, qos: Any = RESULTS) -> None:
        events = mismatch_events(topic, "subscription", self._warn)
        self._subscriptions.append(
            self._node.create_subscription(
                ros.interface(kind), topic, callback, qos, event_callbacks=events
            )
        )

    def _embedding(self, message: Any) -> None:
        self._received += 1
        if message.model_id != self._model.model_id:
            self._warn(
                f"embeddings of camera '{self.camera}' come from model {message.model_id}, this "
                f"memory keeps {self._model.model_id}: start both nodes with the same model"
            )
            return
        vector = np.array(message.vector, np.float32)
        norm = float(np.linalg.norm(vector))
        if vector.shape != (self._model.dim,) or not 0.5 < norm < 2.0:
            self._unusable += 1
            return
        self._refused = ""
        start, stamp = nanoseconds(message.clip_start), nanoseconds(message.header.stamp)
        pose = self.pose()
        self._put(lambda: self._observe(start, stamp, vector / norm, pose))

    def _observe(
        self, start: int, stamp: int, vector: NDArray[np.float32], pose: Pose | None
    ) -> list[Row]:
        strip, frames = None, 0
        ring = self._ring
        if ring is not None and self.recorder.sample_due(stamp):
            taken = ring.take(time.monotonic())
            if taken is not None and abs(taken.clip.stamps[-1] - stamp) <= _NEAR:
                strip = clip_to_jpeg(taken.clip.frames, self._thumbnail)
                frames = len(taken.clip.frames)
        return self.recorder.observe(start, stamp, vector, pose, strip, frames)

    def _image(self, message: Any) -> None:
        ring = self._ring
        if ring is not None:
            stamp = nanoseconds(message.header.stamp)
            ring.push(stamp, message, now=time.monotonic())

    def _put(self, work: Callable[[], list[Row]]) -> None:
        with self._lock:
            self._waiting.append(work)
            while len(self._waiting) > _WAITING:
                self._waiting.popleft()
                self._dropped += 1
        self._woken()

    def _warn(self, text: str) -> None:
        self._refused = text
        self._node.get_logger().warning(text, throttle_duration_sec=10.0)
