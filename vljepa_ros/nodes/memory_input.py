"""Receives one camera's embeddings, events and images for the memory, in order."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vljepa_ros import ros
from vljepa_ros.models.config import ModelConfig
from vljepa_ros.nodes.diagnostics import WARN, Part
from vljepa_ros.nodes.embedding_subscription import EmbeddingSubscription, Inbox
from vljepa_ros.nodes.image_topic import TYPES, ViewParameters
from vljepa_ros.nodes.lifecycle_node import LifecycleNode
from vljepa_ros.nodes.parameters import read_only
from vljepa_ros.nodes.topics import IMAGES, Endpoints, to_nanoseconds
from vljepa_ros.perception.frames import FrameDecoder
from vljepa_ros.perception.memory.row import Pose, Row, clip_to_jpeg
from vljepa_ros.perception.memory.segments import RecorderSettings, SegmentRecorder
from vljepa_ros.perception.ring import ClipRing
from vljepa_ros.perception.stamps import ImageStamps

_INBOX_SIZE = 256  # messages; a disk that is slow for 50 s at 5 Hz loses nothing
IMAGE_TIMEOUT_S = 4.0  # without an image, until that is reported
LATEST_EMBEDDING_S = 1.0  # latest arrival of an embedding after its image, which is kept until then


@dataclass(frozen=True)
class MemoryCameraParameters(ViewParameters):
    """Parameters of each camera of the memory node, such as `front.image_topic`."""

    image_topic: str = read_only(
        "",
        "Topic of the images that thumbnails are made of; empty: no thumbnails.",
        ros_name=True,
    )


class MemoryInput:
    """Queues messages from `start` to `stop`; the worker turns them into rows.

    Args:
        node: Has the parameters of the camera, and `thumbnail`, `sample_interval` and
            `longest_segment`.
        camera: Its name.
        model: Model whose embeddings are kept.

    Attributes:
        recorder: Makes rows from embeddings and events.
        pose: Returns the robot's present pose; set by the node if poses are kept.
        topic: Subscription to the embeddings.
    """

    def __init__(self, node: LifecycleNode[Any], camera: str, model: ModelConfig) -> None:
        self._node = node
        self._model = model
        self._parameters = node.camera_parameters[camera]
        self._decoder = FrameDecoder(model.input_size, preprocessing=model.preprocessing)
        self._ring: ClipRing[Any] | None = None
        self.recorder = SegmentRecorder(camera, RecorderSettings())
        self.apply()
        self.pose: Callable[[], Pose | None] = lambda: None
        self._inbox: Inbox[Callable[[], list[Row]]] = Inbox(_INBOX_SIZE)
        self.topic = EmbeddingSubscription(
            node, camera, self._on_embedding, model.model_id, model.dim, "this memory stores"
        )
        self._stamps = ImageStamps(model.frame_interval)
        self._images = Endpoints(node, self.topic.warn)
        self._events = self._event_stamp = 0

    def apply(self) -> None:
        """Take over parameters that have changed."""
        p = self._node.settings
        self.recorder.settings = RecorderSettings(p.sample_interval, p.longest_segment)
        view, decoder = self._parameters.value, self._decoder
        if (view.rotate, view.crop) != (decoder.rotate, decoder.crop):
            decoder.rotate, decoder.crop = view.rotate, view.crop
            if self._ring is not None:
                self._ring.clear()

    def start(self) -> None:
        """Subscribe."""
        model, camera = self._model, self._parameters.value
        self.topic.listen(True)
        if camera.image_topic:
            ring: ClipRing[Any] = ClipRing(
                model.clip_frames, model.frame_interval, self._decoder, LATEST_EMBEDDING_S
            )

            def push(message: ros.Message) -> None:
                arrival = self._node.get_clock().now().nanoseconds
                stamp = self._stamps.read(to_nanoseconds(message.header.stamp), arrival)
                if stamp is not None:
                    ring.push(stamp, message, now=time.monotonic())

            self._ring = ring
            self._images.subscribe(TYPES[camera.transport], camera.image_topic, push, IMAGES)

    def stop(self) -> None:
        """Unsubscribe; queued messages can still be taken."""
        self.topic.listen(False)
        self._images.close()
        self._ring = None

    def on_event(self, message: ros.Message) -> None:
        """Handle a SceneEvent of this camera."""
        self._events += 1
        self._event_stamp = to_nanoseconds(message.header.stamp)
        if message.model_id != self._model.model_id:
            return  # reported for its embeddings
        onset = to_nanoseconds(message.onset) or to_nanoseconds(message.header.stamp)
        if onset < 0:
            self.topic.refuse("an event", "its onset is negative")
            return
        text = str(message.text)
        if message.reason == message.CORRECTION:
            self._put(lambda: self.recorder.correct(text))
        else:
            self._put(lambda: self.recorder.change(onset, text))

    def on_scene(self, message: ros.Message) -> None:
        """Handle the repeated state: the only trace of events before this node was active."""
        newer = to_nanoseconds(message.header.stamp) > self._event_stamp
        if message.reason == message.HEARTBEAT and newer:
            self.on_event(message)

    def take(self) -> list[Row]:
        """The rows that are complete now; in the worker's thread."""
        rows: list[Row] = []
        while (work := self._inbox.take()) is not None:
            rows += work()
        return rows

    def part(self) -> Part:
        """State for the diagnostics."""
        values = {
            "events": self._events,
            "dropped": self._inbox.dropped,
            "image_stamps": self._stamps.trouble or "as they come",
            "thumbnails_from": self._parameters.value.image_topic,
        }
        ring, lacking = self._ring, ""
        if ring is not None:
            topic, silent = self._parameters.value.image_topic, time.monotonic() - ring.arrived
            silence = f"no image on '{topic}'" if silent > IMAGE_TIMEOUT_S else ""
            lacking = silence or ring.counts.failing
        return self.topic.part(
            values, (WARN, "not active"), f"no thumbnails: {lacking}" if lacking else ""
        )

    def _on_embedding(self, message: ros.Message) -> None:
        vector = np.array(message.vector, np.float32)
        vector /= np.linalg.norm(vector)
        self.topic.trouble = ""
        start, stamp = to_nanoseconds(message.clip_start), to_nanoseconds(message.header.stamp)
        pose = self.pose()
        self._put(lambda: self._observe(start, stamp, vector, pose))

    def _observe(
        self, start: int, stamp: int, vector: NDArray[np.float32], pose: Pose | None
    ) -> list[Row]:
        strip, frames = None, 0
        ring = self._ring
        if ring is not None and self.recorder.sample_due(stamp):
            taken = ring.take(time.monotonic(), at=stamp)
            off = abs(taken.clip.stamps[-1] - stamp) / 1e9 if taken else math.inf
            if taken and off <= self._model.frame_interval / 2:
                strip = clip_to_jpeg(taken.clip.frames, self._node.settings.thumbnail)
                frames = len(taken.clip.frames)
        return self.recorder.observe(start, stamp, vector, pose, strip, frames)

    def _put(self, work: Callable[[], list[Row]]) -> None:
        if self._inbox.put(work):
            self._node.warn(f"messages of '{self.topic.camera}' are dropped: too slow a memory")
        self._node.worker.wake()
