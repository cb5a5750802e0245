"""One camera topic: keeps its newest images, and notices when none come or none are usable."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from typing import Any

from vljepa_ros import ros
from vljepa_ros.models.config import ModelConfig
from vljepa_ros.nodes.diagnostics import Part, Warnings, checked
from vljepa_ros.nodes.lifecycle_node import LifecycleNode
from vljepa_ros.nodes.parameters import live, read_only
from vljepa_ros.nodes.topics import IMAGES, Endpoints, age_of, to_nanoseconds
from vljepa_ros.perception.frames import ROTATIONS, FrameDecoder, image_to_rgb
from vljepa_ros.perception.image_encodings import FrameError
from vljepa_ros.perception.pipeline import CameraFeed
from vljepa_ros.perception.ring import ClipRing

TYPES = {"raw": "sensor_msgs/msg/Image", "compressed": "sensor_msgs/msg/CompressedImage"}
_FORMAT_FIELDS = ("format", "height", "width", "encoding", "step")
STALE_STAMP_S = 3600.0  # no camera is that late, but a bag without simulated time is


@dataclass(frozen=True)
class TransportParameter:
    """How images come."""

    transport: str = read_only(
        "raw", "raw: sensor_msgs/Image; compressed: JPEG or PNG.", choices=tuple(TYPES)
    )


@dataclass(frozen=True)
class CameraParameters(TransportParameter):
    """What stands under a camera's name."""

    image_topic: str = read_only(
        "/camera/image_raw", "Topic of the images; relative names allowed."
    )
    rotate: int = live(0, "Degrees clockwise by which images are turned.", choices=ROTATIONS)
    max_rate: float = live(0.0, "Clips a second at most; 0: as the node's max_rate.", 0.0, 1000.0)
    labels: tuple[str, ...] = live(
        [""],
        "Labels of this camera alone, as the node's `labels`; a group takes the place of the "
        "common one for its prompt; a single empty text: none.",
    )


class CameraInput(Endpoints):
    """Subscribes to the images of one camera from `start` to `stop`.

    Args:
        node: Has the parameters of the camera, and `max_rate`, `image_timeout` and `always_on`.
        name: Of the camera.
        model: The images become clips of this model.
        subscriptions: Given the camera, what somebody subscribes to; see `CameraFeed`.

    Attributes:
        feed: What the pipeline takes clips from.
    """

    def __init__(
        self,
        node: LifecycleNode[Any],
        name: str,
        model: ModelConfig,
        subscriptions: Callable[[str], frozenset[str]],
    ) -> None:
        super().__init__(node, self._on_mismatch)
        self._name = name
        self._parameters = node.camera_parameters[name]
        self._subscriptions = subscriptions
        self._started = time.monotonic()
        self._arrived: float | None = None
        self._age = 0.0
        self._mismatch = ""
        self._unusable = ""
        self._format: tuple[Any, ...] = ()
        self._broken = 0
        self._warnings = Warnings(node)
        self._note = ""
        settings = self._parameters.value
        self._decoder = FrameDecoder(model.input_size, settings.rotate, model.preprocessing)
        ring: ClipRing[Any] = ClipRing(model.clip_frames, model.frame_interval, self._decoder)
        self._fastest = 1.0 / model.period if model.period else math.inf
        self.feed = CameraFeed(name, ring, self._rate())

    def start(self) -> None:
        """Subscribe."""
        settings = self._parameters.value
        self._started, self._arrived = time.monotonic(), None
        self._mismatch, self._format = "", ()
        self.subscribe(
            TYPES[settings.transport],
            settings.image_topic,
            self._receive,
            copy(IMAGES),  # rclpy writes overrides into the profile it is given
            qos_overriding_options=ros.QoSOverridingOptions.with_default_policies(),
        )

    def stop(self) -> None:
        """Unsubscribe and forget the images."""
        self.close()
        self.feed.forget()

    def apply(self) -> None:
        """Take over parameters that have changed."""
        rotate = self._parameters.value.rotate
        self.feed.max_rate = self._rate()
        if rotate != self._decoder.rotate:
            self._decoder.rotate = rotate
            self.feed.forget()

    def watch(self) -> None:
        """Warn of images that are missing or broken; call it about once a second."""
        counts = self.feed.ring.counts
        if counts.broken != self._broken:
            self._broken = counts.broken
            self._warn(
                counts.error,
                f"{counts.broken} of {counts.received} images could not be used, the last one "
                f"because: {counts.error}",
            )
        if self._decoder.levels.note != self._note:
            self._note = self._decoder.levels.note
            self._node.get_logger().info(f"camera '{self._name}': {self._note}")
        silence = self._silence()
        if self.is_open and silence >= self._node.settings.image_timeout:
            self._warn("silent", f"{self._no_image(silence)}; {self._existing_topics()}")

    def part(self) -> Part:
        """State of this camera for the diagnostics."""
        counts = self.feed.ring.counts
        silence = self._silence()
        values = {
            "topic": self._topic(),
            "transport": self._parameters.value.transport,
            "received": counts.received,
            "dropped": counts.dropped,
            "broken": counts.broken,
            "restarts": counts.restarts,
            "seconds_since_image": silence,
            "image_age": self._age,
            "levels": self._note,
            "last_error": self._unusable or counts.error,
        }
        unusable = self._unusable or counts.failing
        if not self.is_open:
            trouble = "not active"
        elif silence >= self._node.settings.image_timeout:
            trouble = self._no_image(silence)
        elif unusable:
            trouble = f"no usable image: {unusable}"
        elif abs(self._age) > STALE_STAMP_S:
            trouble = self._stale_stamps()
        else:
            trouble = self._mismatch
        return checked(f"camera {self._name}", trouble, "images arrive", values)

    def _receive(self, message: Any) -> None:
        self._arrived = time.monotonic()
        stamp = to_nanoseconds(message.header.stamp)
        if stamp == 0:
            self._warn(
                "no stamp",
                "images have no stamp, the time of arrival is taken; set header.stamp in the "
                "camera's driver",
                60.0,
            )
            stamp = self._node.get_clock().now().nanoseconds
        self._age = age_of(self._node, stamp)
        if abs(self._age) > STALE_STAMP_S:
            self._warn("stale stamps", self._stale_stamps(), 60.0)
        present = tuple(getattr(message, name, None) for name in _FORMAT_FIELDS)
        if present != self._format:
            self._format = present
            self._try_format(message)
        self.feed.subscriptions = self._subscriptions(self._name)
        self.feed.ring.push(stamp, message, message.header.frame_id, self._arrived)
        self._node.worker.wake()

    def _try_format(self, message: Any) -> None:
        """Decode the first image of each format at once: without a subscriber none would be."""
        self._unusable = ""
        try:
            image_to_rgb(message)
        except FrameError as error:
            self._unusable = str(error)
            self._warn(self._unusable, f"images cannot be used: {error}")

    def _rate(self) -> float:
        """The camera's own, else the node's; at most what the model folder's `period` allows."""
        own, shared = self._parameters.value.max_rate, self._node.settings.max_rate
        return float(min(own or shared, self._fastest))

    def _silence(self) -> float:
        return time.monotonic() - (self._started if self._arrived is None else self._arrived)

    def _topic(self) -> str:
        return str(self._node.resolve_topic_name(self._parameters.value.image_topic))

    def _no_image(self, silence: float) -> str:
        end = "yet" if self._arrived is None else "any more"
        return f"no image on '{self._topic()}' {end}, for {silence:.0f} s" + (
            f" ({self._mismatch})" if self._mismatch else ""
        )

    def _existing_topics(self) -> str:
        """Which image topics there are, and what to set."""
        kinds = {kind: transport for transport, kind in TYPES.items()}
        found = [
            f"{topic} ({kinds[kind]})"
            for topic, types in self._node.get_topic_names_and_types()
            for kind in types
            if kind in kinds and self._node.count_publishers(topic)
        ]
        if not found:
            return "no image topic is published by anybody: is the camera's driver running?"
        return (
            f"image topics that exist: {', '.join(sorted(found))}; "
            f"set {self._name}.image_topic and {self._name}.transport"
        )

    def _stale_stamps(self) -> str:
        when = "old" if self._age > 0 else "ahead of the clock"
        return (
            f"stamps are {abs(self._age) / 3600:.0f} h {when}: is this a bag? "
            "Play it with --clock and start this node with use_sim_time:=true"
        )

    def _on_mismatch(self, text: str) -> None:
        self._mismatch = text
        self._warn("mismatch", text)

    def _warn(self, cause: str, text: str, interval: float = 10.0) -> None:
        self._warnings.warn(cause, f"camera '{self._name}': {text}", interval)
