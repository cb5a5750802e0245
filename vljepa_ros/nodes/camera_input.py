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
from vljepa_ros.nodes.diagnostics import OK, WARN, Part
from vljepa_ros.nodes.parameters import Declared, fixed, live
from vljepa_ros.nodes.qos import IMAGES, mismatch_events
from vljepa_ros.perception.frames import (
    ROTATIONS,
    FrameDecoder,
    FrameError,
    image_to_rgb,
)
from vljepa_ros.perception.pipeline import CameraFeed
from vljepa_ros.perception.ring import ClipRing

TYPES = {"raw": "sensor_msgs/msg/Image", "compressed": "sensor_msgs/msg/CompressedImage"}
_AGAIN = 10.0  # seconds until a warning is repeated
_FAR = 3600.0  # seconds: no camera is that late, but a bag without simulated time is


@dataclass(frozen=True)
class CameraParameters:
    """What stands under a camera's name."""

    image_topic: str = fixed("/camera/image_raw", "Topic of the images; relative names allowed.")
    transport: str = fixed(
        "raw", "raw: sensor_msgs/Image; compressed: JPEG or PNG.", choices=tuple(TYPES)
    )
    rotate: int = live(0, "Degrees clockwise by which images are turned.", choices=ROTATIONS)
    max_rate: float = live(0.0, "Clips a second at most; 0: as the node's max_rate.", 0.0, 1000.0)


class CameraInput:
    """From `start` to `stop` it feeds its ring; `feed` is what the pipeline takes from.

    :param woken: called for each image, to wake the worker.
    :param node_rate: the node's own max_rate, for where the camera has none.
    """

    def __init__(
        self,
        node: Any,
        name: str,
        parameters: Declared[CameraParameters],
        model: ModelConfig,
        subscriptions: Callable[[], frozenset[str]],
        woken: Callable[[], None],
        node_rate: float,
    ) -> None:
        self._node = node
        self.name = name
        self._parameters = parameters
        rotate = parameters.value.rotate
        self._decoder = FrameDecoder(model.input_size, rotate, model.preprocessing)
        self._requested = subscriptions
        self._woken = woken
        self._subscription: Any = None
        self._since = time.monotonic()
        self._last: float | None = None
        self._age = 0.0
        self._mismatch = ""
        self._unusable = ""
        self._format: tuple[Any, ...] = ()
        self._told = 0
        self._warned = -_AGAIN
        ring: ClipRing[Any] = ClipRing(model.clip_frames, model.frame_interval, self._decoder)
        self._fastest = 1.0 / model.period if model.period else math.inf
        self.feed = CameraFeed(name, ring, self._rate(node_rate))

    def start(self) -> None:
        """Subscribe."""
        settings = self._parameters.value
        self._since, self._last = time.monotonic(), None
        self._mismatch, self._format = "", ()
        self._subscription = self._node.create_subscription(
            ros.interface(TYPES[settings.transport]),
            settings.image_topic,
            self._on_image,
            copy(IMAGES),  # rclpy writes overrides into the profile it is given
            event_callbacks=mismatch_events(settings.image_topic, "subscription", self._refused),
            qos_overriding_options=ros.QoSOverridingOptions.with_default_policies(),
        )

    def stop(self) -> None:
        """Unsubscribe and forget the images."""
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None
        self.feed.forget()

    def apply(self, node_rate: float) -> None:
        """Take over parameters that have changed."""
        settings = self._parameters.value
        self.feed.max_rate = self._rate(node_rate)
        if settings.rotate != self._decoder.rotate:
            self._decoder.rotate = settings.rotate
            self.feed.forget()

    def _rate(self, node_rate: float) -> float:
        """The camera's own, else the node's; at most what the model folder's `period` allows."""
        return min(self._parameters.value.max_rate or node_rate, self._fastest)

    def watch(self, timeout: float) -> None:
        """Warn of images that are missing or broken; call it about once a second."""
        self._tell_broken()
        silence = self._silence()
        now = time.monotonic()
        if self._subscription is None or silence < timeout or now - self._warned < _AGAIN:
            return
        self._warned = now  # a throttle of the logger would be shared by all cameras
        self._node.get_logger().warning(
            f"camera '{self.name}': {self._no_image(silence)}; {self._topics()}"
        )

    def part(self, timeout: float) -> Part:
        """State of this camera for the diagnostics."""
        counts = self.feed.ring.counts
        settings = self._parameters.value
        silence = self._silence()
        values = {
            "topic": self._topic(),
            "transport": settings.transport,
            "received": counts.received,
            "dropped": counts.dropped,
            "broken": counts.broken,
            "restarts": counts.restarts,
            "seconds_since_image": silence,
            "image_age": self._age,
            "last_error": self._unusable or counts.error,
        }
        if self._subscription is None:
            return Part(f"camera {self.name}", WARN, "not active", values)
        trouble = self._mismatch
        if silence >= timeout:
            trouble = self._no_image(silence)
        elif self._unusable or counts.failing:
            trouble = f"no usable image: {self._unusable or counts.failing}"
        elif abs(self._age) > _FAR:
            trouble = self._not_now()
        level = WARN if trouble else OK
        return Part(f"camera {self.name}", level, trouble or "images arrive", values)

    def _on_image(self, message: Any) -> None:
        self._last = time.monotonic()
        now = self._node.get_clock().now().nanoseconds
        stamp = message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec
        if stamp == 0:
            self._node.get_logger().warning(
                f"camera '{self.name}': images have no stamp, the time of arrival is taken; "
                "set header.stamp in the camera's driver",
                throttle_duration_sec=60.0,
            )
            stamp = now
        self._age = (now - stamp) / 1e9
        if abs(self._age) > _FAR:
            self._node.get_logger().warning(
                f"camera '{self.name}': {self._not_now()}", throttle_duration_sec=60.0
            )
        self._look_at_format(message)
        self.feed.subscriptions = self._requested()
        self.feed.ring.push(stamp, message, message.header.frame_id, self._last)
        self._woken()

    def _look_at_format(self, message: Any) -> None:
        """Try the first image of each format at once: nobody may listen, and none be decoded."""
        names = ("format", "height", "width", "encoding", "step")
        found = tuple(getattr(message, name, None) for name in names)
        if found == self._format:
            return
        self._format, self._unusable = found, ""
        try:
            image_to_rgb(message)
        except FrameError as error:
            self._unusable = str(error)
            self._node.get_logger().warning(
                f"camera '{self.name}': images cannot be used: {error}", throttle_duration_sec=5.0
            )

    def _tell_broken(self) -> None:
        """Warn of images that the worker could not decode since the last time."""
        counts = self.feed.ring.counts
        if counts.broken != self._told:
            self._told = counts.broken
            self._node.get_logger().warning(
                f"camera '{self.name}': {counts.broken} of {counts.received} images could not be "
                f"used, the last one because: {counts.error}"
            )

    def _silence(self) -> float:
        return time.monotonic() - (self._since if self._last is None else self._last)

    def _topic(self) -> str:
        return str(self._node.resolve_topic_name(self._parameters.value.image_topic))

    def _no_image(self, silence: float) -> str:
        end = "yet" if self._last is None else "any more"
        return f"no image on '{self._topic()}' {end}, for {silence:.0f} s" + (
            f" ({self._mismatch})" if self._mismatch else ""
        )

    def _topics(self) -> str:
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
            f"set {self.name}.image_topic and {self.name}.transport"
        )

    def _not_now(self) -> str:
        when = "old" if self._age > 0 else "ahead of the clock"
        return (
            f"stamps are {abs(self._age) / 3600:.0f} h {when}: is this a bag? "
            "Play it with --clock and start this node with use_sim_time:=true"
        )

    def _refused(self, text: str) -> None:
        self._mismatch = text
        self._node.get_logger().warning(text, throttle_duration_sec=10.0)
