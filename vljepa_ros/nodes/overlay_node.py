"""A camera's images with the scene's text and labels drawn over: for RViz, rqt and Foxglove."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vljepa_ros import ros
from vljepa_ros.nodes.diagnostics import Diagnostics, Part, checked
from vljepa_ros.nodes.image_topic import TYPES, TransportParameter
from vljepa_ros.nodes.lifecycle_node import NAMESPACE
from vljepa_ros.nodes.parameters import NodeParameters, ParameterGroup, live, read_only
from vljepa_ros.nodes.topics import IMAGES, IMAGES_OUT, LATCHED, Endpoints, image_message
from vljepa_ros.perception.frames import image_to_rgb
from vljepa_ros.perception.image_encodings import FrameError
from vljepa_ros.perception.overlay import draw_overlay


@dataclass(frozen=True)
class OverlayParameters(TransportParameter):
    """What is drawn over what."""

    camera: str = read_only("front", "Name of the camera, as the perception node knows it.")
    image_topic: str = read_only("/camera/image_raw", "Topic of its images.")
    labels: int = live(3, "Labels that are shown, the best of all groups.", 0, 20)


class OverlayNode(ros.Node):
    """Publishes `<camera>/overlay`, and subscribes only while somebody subscribes to it."""

    def __init__(self, **options: Any) -> None:
        super().__init__("overlay_node", **{"namespace": NAMESPACE, **options})
        self._main = ParameterGroup(self, OverlayParameters)
        self._table = NodeParameters(self, [self._main])
        topic = f"{self._main.value.camera}/overlay"
        self._pictures = Endpoints(self).publisher(TYPES["raw"], topic, IMAGES_OUT)
        self._inputs = Endpoints(self)
        self._text = ""
        self._labels: list[tuple[str, float]] = []
        self._drawn = 0
        self._trouble = "; ".join(self._table.problems.values())
        self._pulse = self.create_timer(0.5, self._watch, clock=ros.steady_clock())
        self._diagnostics = Diagnostics(self, self._parts)

    def _watch(self) -> None:
        """Twice a second: subscribe while somebody subscribes to us."""
        if not self._pictures.get_subscription_count():
            self._inputs.close()
        elif not self._inputs.is_open:
            p, subscribe = self._main.value, self._inputs.subscribe
            subscribe(TYPES[p.transport], p.image_topic, self._on_image, IMAGES)
            subscribe("vljepa_ros/msg/SceneLabels", f"{p.camera}/labels", self._on_labels)
            subscribe("vljepa_ros/msg/SceneEvent", f"{p.camera}/scene", self._on_scene, LATCHED)

    def _on_labels(self, message: Any) -> None:
        labels = (label for group in message.groups for label in group.labels)
        pairs = ((str(label.text), float(label.score)) for label in labels)
        self._labels = sorted(pairs, key=lambda pair: -pair[1])

    def _on_scene(self, message: Any) -> None:
        self._text = str(message.text)

    def _on_image(self, message: Any) -> None:
        try:
            rgb = image_to_rgb(message)
        except FrameError as error:
            self._trouble = str(error)
            self.get_logger().warning(f"image not drawn: {error}", throttle_duration_sec=10.0)
            return
        self._trouble = ""
        drawn = draw_overlay(rgb, self._text, self._labels[: self._main.value.labels])
        self._drawn += 1
        self._pictures.publish(image_message(message.header, drawn))

    def _parts(self) -> list[Part]:
        watched = self._inputs.is_open
        values = {"drawn": self._drawn, "watched": watched}
        fine = "1 subscriber" if watched else "no subscribers"
        return [checked("picture", self._trouble, fine, values)]
