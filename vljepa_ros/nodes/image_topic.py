"""One image topic and the cameras that look at it: each a part of its picture, or the whole."""

from __future__ import annotations

import time
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from typing import Any

from vljepa_ros import ros
from vljepa_ros.nodes.parameters import live, read_only
from vljepa_ros.nodes.topics import IMAGES, Endpoints
from vljepa_ros.perception.frames import ROTATIONS, SharedImage

TYPES = {"raw": "sensor_msgs/msg/Image", "compressed": "sensor_msgs/msg/CompressedImage"}


@dataclass(frozen=True)
class TransportParameter:
    """How images come."""

    transport: str = read_only(
        "raw", "raw: sensor_msgs/Image; compressed: JPEG or PNG.", choices=tuple(TYPES)
    )


@dataclass(frozen=True)
class ViewParameters(TransportParameter):
    """Which part of the images is looked at, and how it is turned."""

    crop: tuple[int, ...] = live(
        [0, 0, 0, 0],
        "Part of the image as it arrives: x, y, width, height in pixels; width or height 0: up to "
        "the edge.",
        0,
        100_000,
    )
    rotate: int = live(0, "Degrees clockwise by which that part is turned.", choices=ROTATIONS)


class ImageTopic(Endpoints):
    """Subscribed to from `start` to `close`; several receivers share one decoded picture.

    Args:
        node: A ROS node that can `warn`.
        topic: Its name.
        transport: One of TYPES.

    Attributes:
        receivers: Given each message, and what their FrameDecoder takes.
        mismatch: Why a publisher is refused because of its quality of service, or empty.
    """

    def __init__(self, node: Any, topic: str, transport: str) -> None:
        super().__init__(node, self._on_mismatch)
        self.topic = topic
        self.transport = transport
        self.receivers: list[Callable[[Any, Any], None]] = []
        self.mismatch = ""
        self._started = time.monotonic()
        self._arrived: float | None = None

    @property
    def silence(self) -> float:
        """Seconds since the newest image, or since `start` where there was none."""
        return time.monotonic() - (self._started if self._arrived is None else self._arrived)

    def start(self) -> None:
        """Subscribe; nothing happens if it is subscribed to already."""
        if self.is_open:
            return
        self._started, self._arrived, self.mismatch = time.monotonic(), None, ""
        self.subscribe(
            TYPES[self.transport],
            self.topic,
            self._receive,
            copy(IMAGES),  # rclpy writes overrides into the profile it is given
            qos_overriding_options=ros.QoSOverridingOptions.with_default_policies(),
        )

    def no_image(self) -> str:
        """Says that none comes, and since when."""
        end = "yet" if self._arrived is None else "any more"
        return f"no image on '{self.topic}' {end}, for {self.silence:.0f} s" + (
            f" ({self.mismatch})" if self.mismatch else ""
        )

    def existing_topics(self, prefix: str = "") -> str:
        """Which image topics there are, and which parameters to set, whose names have a prefix."""
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
            f"set {prefix}image_topic and {prefix}transport"
        )

    def _receive(self, message: Any) -> None:
        self._arrived = time.monotonic()
        image = message if len(self.receivers) == 1 else SharedImage(message)
        for receive in self.receivers:
            receive(message, image)

    def _on_mismatch(self, text: str) -> None:
        self.mismatch = text
        self._node.warn(text)
