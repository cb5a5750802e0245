"""Draws the scene's text and labels over a camera's images, for RViz, rqt and Foxglove."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from vljepa_ros import ros
from vljepa_ros.nodes.diagnostics import Diagnostics, Part, Warnings, checked
from vljepa_ros.nodes.image_topic import TYPES, ImageTopic, TransportParameter
from vljepa_ros.nodes.lifecycle_node import NAMESPACE
from vljepa_ros.nodes.parameters import NodeParameters, ParameterGroup, live, read_only
from vljepa_ros.nodes.topics import IMAGES_OUT, LATCHED, Endpoints, image_message, jpeg_message
from vljepa_ros.perception.frames import image_to_rgb
from vljepa_ros.perception.image_encodings import FrameError, LevelRange

IMAGE_TIMEOUT_S = 4.0  # without an image, until that is reported
SCENE_TIMEOUT_S, LABELS_TIMEOUT_S = 2.0, 10.0
"""Seconds after which a scene or labels that have stopped are no longer drawn. (A scene is
repeated, labels arrive at `max_rate`.)"""


@dataclass(frozen=True)
class OverlayParameters(TransportParameter):
    """Parameters of the overlay node."""

    camera: str = read_only("front", "Name of the camera, as in perception_node.", ros_name=True)
    image_topic: str = read_only("/camera/image_raw", "Topic of its images.", ros_name=True)
    labels: int = live(3, "Number of labels shown: the best of all groups.", 0, 20)


class OverlayNode(ros.Node):
    """Publishes `<camera>/overlay`; subscribes only while that has subscribers."""

    def __init__(self, **options: Any) -> None:
        super().__init__("overlay_node", **{"namespace": NAMESPACE, **options})
        self._main = ParameterGroup(self, OverlayParameters)
        self._table = NodeParameters(self, [self._main])
        p = self._main.value
        publisher, topic = Endpoints(self).publisher, f"{p.camera}/overlay"
        self._raw = publisher(TYPES["raw"], topic, IMAGES_OUT)
        self._compressed = publisher(TYPES["compressed"], f"{topic}/compressed", IMAGES_OUT)
        self._images = ImageTopic(self, p.image_topic, p.transport)
        self._images.receivers.append(self._on_image)
        self._words = Endpoints(self)
        self._levels = LevelRange()
        self.warn = Warnings(self).warn
        self._text, self._labels = "", list[tuple[str, float]]()
        self._text_until = self._labels_until = 0.0
        self._drawn = 0
        self._trouble = "; ".join(self._table.problems.values())
        if self._trouble:
            self.get_logger().error(f"nothing is drawn: {self._trouble}")
        else:
            self._pulse = self.create_timer(0.5, self._watch, clock=ros.steady_clock())
        self._diagnostics = Diagnostics(self, self._parts)

    def _watch(self) -> None:
        """Subscribe while there are subscribers; called twice a second."""
        if not self._subscribers:
            self._images.close()
            self._words.close()
            self._trouble = ""
        elif not self._images.is_open:
            self._images.start()
            camera, subscribe = self._main.value.camera, self._words.subscribe
            subscribe("vljepa_ros/msg/SceneLabels", f"{camera}/labels", self._on_labels)
            subscribe("vljepa_ros/msg/SceneEvent", f"{camera}/scene", self._on_scene, LATCHED)
        elif missing := self._images.trouble(IMAGE_TIMEOUT_S):
            self.warn(f"no images to draw on: {missing}{self._images.other_topics()}")

    def _on_labels(self, message: ros.Message) -> None:
        labels = (label for group in message.groups for label in group.labels)
        self._labels_until = time.monotonic() + LABELS_TIMEOUT_S
        pairs = ((str(label.text), float(label.score)) for label in labels)
        self._labels = sorted(pairs, key=lambda pair: -pair[1])

    def _on_scene(self, message: ros.Message) -> None:
        self._text_until = time.monotonic() + SCENE_TIMEOUT_S
        self._text = "" if message.stale else str(message.text)

    def _on_image(self, message: ros.Message, _: object) -> None:
        from vljepa_ros.perception.overlay import draw_overlay

        try:
            rgb = image_to_rgb(message, self._levels)
        except FrameError as error:
            self._trouble = str(error)
            self.warn(f"image not drawn: {error}")
            return
        self._trouble = ""
        now, labels = time.monotonic(), self._labels[: self._main.value.labels]
        drawn = draw_overlay(
            rgb,
            self._text if now < self._text_until else "",
            labels if now < self._labels_until else (),
        )
        self._drawn += 1
        if self._raw.get_subscription_count():
            self._raw.publish(image_message(message.header, drawn))
        if self._compressed.get_subscription_count():
            self._compressed.publish(jpeg_message(message.header, drawn[..., ::-1]))

    @property
    def _subscribers(self) -> int:
        return sum(p.get_subscription_count() for p in (self._raw, self._compressed))

    def _parts(self) -> list[Part]:
        watched, trouble = self._images.is_open, self._trouble
        values = {"drawn": self._drawn, "watched": watched}
        if watched:
            trouble = trouble or self._images.trouble(IMAGE_TIMEOUT_S)
        fine = f"{self._subscribers} subscribers" if watched else "no subscribers"
        return [checked("picture", trouble, fine, values)]
