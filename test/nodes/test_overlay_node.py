"""The overlay: pictures with the text and labels of the moment, only while somebody looks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from graph import Graph, image, status

from vljepa_ros import ros
from vljepa_ros.nodes import overlay_node
from vljepa_ros.nodes.overlay_node import OverlayNode
from vljepa_ros.nodes.topics import LATCHED, RESULTS
from vljepa_ros.perception.frames import image_to_rgb
from vljepa_ros.perception.overlay import draw_overlay

IMAGE = "sensor_msgs/msg/Image"


@pytest.mark.parametrize(
    ("size", "drawn_size"),
    [
        ((120, 160), (360, 480)),
        ((240, 320), (480, 640)),
        ((480, 640), (480, 640)),
        ((1080, 1920), (1080, 1920)),
        ((120, 1000), (120, 1000)),
        ((320, 120), (1280, 480)),
        ((4, 4), (480, 480)),
        ((3, 700), (3, 700)),
    ],
)
def test_words_can_be_read_at_any_size(size: tuple[int, int], drawn_size: tuple[int, int]) -> None:
    plain = np.full((*size, 3), 100, np.uint8)
    drawn = draw_overlay(plain, "the door opens", [("door", 0.9), ("a cup " * 80, 0.1)])
    assert plain.min() == 100, "the picture itself is left alone"
    assert drawn.shape == (*drawn_size, 3)
    height, _ = drawn_size
    if height > 100:
        changed = (drawn != 100).any(2)
        ink = (drawn > 180).all(2)
        line = np.flatnonzero(ink[: height // 3].any(1))
        assert line[-1] - line[0] > 20, "two lines of labels"
        foot = np.flatnonzero(ink[height // 2 :].any(1))
        assert foot[-1] - foot[0] >= 8, "letters of 8 pixels or more"
        assert changed[-10:].any()
        assert not changed[height // 2 - 5 : height // 2 + 5].any()
    assert (draw_overlay(plain, "", []) == 100).all()


def test_a_picture_of_one_column_fills_no_memory() -> None:
    drawn = draw_overlay(np.zeros((3000, 1, 3), np.uint8), "the door opens", [("door", 0.9)])
    assert drawn.shape == (3000, 1, 3), "480 times as wide it would be 2 GB"


def test_pictures_are_drawn_only_while_somebody_looks(
    graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overlay_node, "LABELS_TIMEOUT_S", 2.0)
    node = graph.add(OverlayNode)
    diagnostics = graph.listen("diagnostic_msgs/msg/DiagnosticArray", "/diagnostics")
    camera = graph.publisher(IMAGE, "/camera/image_raw", 5)
    graph.spin_for(0.8)
    assert camera.get_subscription_count() == 0
    scene = graph.publisher("vljepa_ros/msg/SceneEvent", "front/scene", LATCHED)
    labels = graph.publisher("vljepa_ros/msg/SceneLabels", "front/labels", RESULTS)
    heard = graph.listen(IMAGE, "front/overlay")
    graph.connect(camera)
    graph.connect(labels)
    red = ros.interface("vljepa_ros/msg/Label")(text="red", score=0.9)
    group = ros.interface("vljepa_ros/msg/LabelGroup")(labels=[red])

    def show(says: bool = True) -> None:
        if says:
            labels.publish(ros.interface("vljepa_ros/msg/SceneLabels")(groups=[group]))
            scene.publish(ros.interface("vljepa_ros/msg/SceneEvent")(text="a red wall"))
        graph.show_one(camera)

    def drawn(message: Any) -> tuple[bool, bool]:
        """Whether there is a label, and a text."""
        picture = np.frombuffer(message.data, np.uint8).reshape(message.height, message.width, 3)
        plain = np.frombuffer(image("red", 0).data, np.uint8)[:3]
        return (picture[:12] != plain).any(), (picture[-8:] != plain).any()

    assert graph.spin(lambda: heard and drawn(heard[-1]) == (True, True), again=show)
    assert (heard[-1].width, heard[-1].height) == (480, 360), "of 80 x 60 pixels"
    packed = graph.listen("sensor_msgs/msg/CompressedImage", "front/overlay/compressed")
    assert graph.spin(lambda: packed, again=show)
    assert image_to_rgb(packed[-1]).shape == (360, 480, 3)
    assert graph.set(node, "labels", 0).successful
    assert graph.spin(lambda: drawn(heard[-1]) == (False, True), again=show), "no label any more"
    assert graph.set(node, "labels", 3).successful
    old = lambda: drawn(heard[-1]) == (False, False)  # noqa: E731
    assert graph.spin(old, again=lambda: show(says=False)), "nobody says so any more"
    assert graph.spin(
        lambda: (s := status(diagnostics, "picture")) and "allowed: rgb8" in s.message,
        again=lambda: graph.show_one(camera, encoding="32FC1"),
    )
    graph.unsubscribe_all()
    assert graph.spin(lambda: camera.get_subscription_count() == 0)


def test_a_topic_that_nobody_publishes_is_named(
    graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overlay_node, "IMAGE_TIMEOUT_S", 0.5)
    graph.publisher("sensor_msgs/msg/CompressedImage", "/robot/camera/compressed", 5)
    graph.add(OverlayNode, image_topic="/no/camera")
    diagnostics = graph.listen("diagnostic_msgs/msg/DiagnosticArray", "/diagnostics")
    log = graph.listen("rcl_interfaces/msg/Log", "/rosout")
    assert graph.spin(lambda: status(diagnostics, "picture"))
    assert status(diagnostics, "picture").message == "no subscribers", "it does not look"
    graph.listen(IMAGE, "front/overlay")
    texts = ("no image on '/no/camera' yet", "/robot/camera/compressed (compressed)")
    named = lambda: [m.msg for m in log if all(text in m.msg for text in texts)]  # noqa: E731
    assert graph.spin(named)
    assert "overlay" not in named()[0], "no camera's"
    assert graph.spin(lambda: texts[0] in status(diagnostics, "picture").message)
