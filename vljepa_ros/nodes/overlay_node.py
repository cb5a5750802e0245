"""What a camera sees, with what is said of it drawn over: for RViz, rqt and Foxglove."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vljepa_ros import ros
from vljepa_ros.nodes.camera_input import TYPES
from vljepa_ros.nodes.diagnostics import OK, WARN, Diagnostics, Part
from vljepa_ros.nodes.parameters import Declared, ParameterTable, fixed, live
from vljepa_ros.nodes.qos import IMAGES, IMAGES_OUT, LATCHED, RESULTS
from vljepa_ros.nodes.worker_node import NAMESPACE
from vljepa_ros.perception.frames import FrameError, image_to_rgb
from vljepa_ros.perception.overlay import draw_overlay


@dataclass(frozen=True)
class OverlayParameters:
    """What is drawn over what."""

    camera: str = fixed("front", "Name of the camera, as the perception node knows it.")
    image_topic: str = fixed("/camera/image_raw", "Topic of its images.")
    transport: str = fixed(
        "raw", "raw: sensor_msgs/Image; compressed: JPEG or PNG.", choices=tuple(TYPES)
    )
    labels: int = live(3, "Labels that are shown, the best of all groups.", 0, 20)


class OverlayNode(ros.Node):
    """Publishes `<camera>/overlay`, and subscribes only while somebody looks at it."""

    def __init__(self, **options: Any) -> None:
        super().__init__("overlay_node", **{"namespace": NAMESPACE, **options})
        self._declared: Declared[OverlayParameters] = Declared(self, OverlayParameters)
        self._table = ParameterTable(self, [self._declared], lambda _: None, lambda: None)
        self._image = ros.interface("sensor_msgs/msg/Image")
        camera = self._declared.value.camera
        self._pictures = self.create_publisher(self._image, f"{camera}/overlay", IMAGES_OUT)
        self._heard: list[Any] = []
        self._text = ""
        self._labels: list[tuple[str, float]] = []
        self._drawn = 0
        self._trouble = "; ".join(self._table.problems.values())
        self._pulse = self.create_timer(0.5, self._listen, clock=ros.steady_clock())
        self._diagnostics = Diagnostics(self, self._parts)

    def _listen(self) -> None:
        watched = self._pictures.get_subscription_count() > 0
        if watched and not self._heard:
            settings = self._declared.value
            for kind, topic, callback, qos in (
                (TYPES[settings.transport], settings.image_topic, self._on_image, IMAGES),
                (
                    "vljepa_ros/msg/SceneLabels",
                    f"{settings.camera}/labels",
                    self._on_labels,
                    RESULTS,
                ),
                ("vljepa_ros/msg/SceneEvent", f"{settings.camera}/scene", self._on_scene, LATCHED),
            ):
                subscribed = self.create_subscription(ros.interface(kind), topic, callback, qos)
                self._heard.append(subscribed)
        elif not watched:
            for subscription in self._heard:
                self.destroy_subscription(subscription)
            self._heard.clear()

    def _on_labels(self, message: Any) -> None:
        pairs = zip(message.labels, message.scores, strict=False)
        self._labels = sorted(((str(n), float(s)) for n, s in pairs), key=lambda p: -p[1])

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
        drawn = draw_overlay(rgb, self._text, self._labels[: self._declared.value.labels])
        height, width = drawn.shape[:2]
        self._drawn += 1
        self._pictures.publish(
            self._image(
                header=message.header,
                height=height,
                width=width,
                encoding="rgb8",
                is_bigendian=0,
                step=3 * width,
                data=drawn.tobytes(),
            )
        )

    def _parts(self) -> list[Part]:
        values = {"drawn": self._drawn, "watched": bool(self._heard)}
        if self._trouble:
            return [Part("picture", WARN, self._trouble, values)]
        return [Part("picture", OK, "somebody looks" if self._heard else "nobody looks", values)]


def main(args: Sequence[str] | None = None) -> int:
    """Run the node until Ctrl-C; the exit code."""
    return int(ros.run(lambda: [OverlayNode()], list(sys.argv if args is None else args)))


if __name__ == "__main__":
    sys.exit(main())
