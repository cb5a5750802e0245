"""A topic of images: its name, and a publisher that was refused."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from vljepa_ros.nodes.image_topic import ImageTopic


class Node:
    """Whose arguments swap two topics."""

    def __init__(self) -> None:
        self.subscribed: dict[str, Any] = {}
        self.destroy_subscription = self.warn = print

    def resolve_topic_name(self, name: str) -> str:
        return {"/left": "/right", "/right": "/left"}[name]

    def get_publishers_info_by_topic(self, name: str) -> list[Any]:
        found = self.resolve_topic_name(name)
        return [SimpleNamespace(topic_type="sensor_msgs/msg/Image")] if found == "/right" else []

    def create_subscription(self, kind: Any, topic: str, callback: Any, *_: Any, **__: Any) -> Any:
        self.subscribed[self.resolve_topic_name(topic)] = callback
        return topic


def test_a_name_is_remapped_once() -> None:
    node = Node()
    topic = ImageTopic(node, "/left", "raw")
    topic.start()
    assert topic.topic == "/right"
    assert list(node.subscribed) == ["/right"]
    assert topic.other_topics() == "", "it is published"


def test_a_publisher_that_was_refused_is_no_trouble_once_images_come() -> None:
    node = Node()
    topic = ImageTopic(node, "/left", "raw")
    topic.start()
    topic.receivers.append(lambda message, image: None)
    topic.mismatch = "a publisher was refused because of RELIABILITY"
    node.subscribed["/right"](SimpleNamespace())
    assert topic.mismatch == ""
