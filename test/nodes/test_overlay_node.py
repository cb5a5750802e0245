"""The overlay: pictures with the text and labels of the moment, only while somebody looks."""

from __future__ import annotations

import numpy as np
import pytest
from graph import Graph, image, nanoseconds, status

from vljepa_ros import ros
from vljepa_ros.nodes import overlay_node
from vljepa_ros.nodes.overlay_node import OverlayNode
from vljepa_ros.nodes.topics import LATCHED, RESULTS
from vljepa_ros.perception.overlay import draw_overlay

IMAGE = "sensor_msgs/msg/Image"


def test_words_are_drawn_where_they_belong() -> None:
    plain = np.full((120, 160, 3), 100, np.uint8)
    drawn = draw_overlay(plain, "the door opens", [("door", 0.9), ("cup", 0.1)])
    changed = (drawn != plain).any(2)
    assert plain.min() == 100, "the picture itself is left alone"
    assert changed[-10:].any()
    assert changed[:24, :80].any()
    assert not changed[40:100].any()
    assert drawn.max() > 180
    assert np.array_equal(draw_overlay(plain, "", []), plain)


def test_pictures_are_drawn_only_while_somebody_looks(graph: Graph) -> None:
    node = graph.add(OverlayNode)
    diagnostics = graph.listen("diagnostic_msgs/msg/DiagnosticArray", "/diagnostics")
    camera = graph.publisher(IMAGE, "/camera/image_raw", 5)
    graph.spin_for(0.8)
    assert camera.get_subscription_count() == 0
    scene = graph.publisher("vljepa_ros/msg/SceneEvent", "front/scene", LATCHED)
    labels = graph.publisher("vljepa_ros/msg/SceneLabels", "front/labels", RESULTS)
    scene.publish(ros.interface("vljepa_ros/msg/SceneEvent")(text="a red wall"))
    heard = graph.listen(IMAGE, "front/overlay")
    graph.connect(camera)
    graph.connect(labels)
    red = ros.interface("vljepa_ros/msg/Label")(text="red", score=0.9)
    group = ros.interface("vljepa_ros/msg/LabelGroup")(labels=[red])
    said = ros.interface("vljepa_ros/msg/SceneLabels")(groups=[group])
    labels.publish(said)
    graph.spin_once_all()

    def show() -> None:
        graph.show_one(camera)

    assert graph.spin(lambda: heard, again=show)
    got = np.frombuffer(heard[-1].data, np.uint8).reshape(60, 80, 3)
    plain = np.frombuffer(image("red", 0).data, np.uint8).reshape(60, 80, 3)
    assert (got[-8:] != plain[-8:]).any(), "the text"
    assert (got[:12] != plain[:12]).any(), "the label"
    assert graph.set(node, "labels", 0).successful
    heard.clear()
    first = graph.stamp
    assert graph.spin(lambda: heard and nanoseconds(heard[-1].header.stamp) > first, again=show)
    got = np.frombuffer(heard[-1].data, np.uint8).reshape(60, 80, 3)
    assert np.array_equal(got[:12], plain[:12]), "no label any more"
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
    assert graph.spin(lambda: any(all(text in m.msg for text in texts) for m in log))
    assert graph.spin(lambda: texts[0] in status(diagnostics, "picture").message)
