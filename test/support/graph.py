"""A small graph for node tests: nodes, a client beside them, one executor, real middleware."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from vljepa_ros import ros
from vljepa_ros.nodes.perception_node import PerceptionNode
from vljepa_ros.nodes.topics import LATCHED, RESULTS

MODEL = os.environ.get("VLJEPA_TEST_MODEL", "nano")
COLOURS = {"red": (220, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 220)}
SECOND = 1_000_000_000
NO_LIMIT_S = 2**31 - 1  # as max_age of a question
PATIENCE = 30.0  # seconds; a busy machine is slow, not wrong


class Graph:
    """Nodes under test, and a node that publishes to them, listens and calls.

    It meets nobody else: the fixture `domain` has set ROS_DOMAIN_ID.
    """

    def __init__(self) -> None:
        ros.init(args=[])
        self.executor = ros.SingleThreadedExecutor()
        self.nodes: list[Any] = []
        self._names: set[str] = set()
        self.client = ros.Node("tester", namespace="vljepa")
        self.executor.add_node(self.client)
        self._subscriptions: list[Any] = []
        self._publishers: list[Any] = []
        self.stamp = time.time_ns() - 5 * SECOND

    def close(self) -> None:
        while self.nodes:
            self.remove(self.nodes[-1])
        self.client.destroy_node()
        self.executor.shutdown()
        ros.shutdown()

    def add(self, kind: Callable[..., Any], start: bool = True, **parameters: Any) -> Any:
        """A node with parameters (`__` stands for a dot), configured and activated.

        Painted pictures are in no model's domain: it is judged only where a test asks for it.
        """
        if kind is PerceptionNode and start:
            parameters.setdefault("judge_domain", False)
        overrides = [
            ros.Parameter(name.replace("__", "."), value=value)
            for name, value in parameters.items()
        ]
        if ros.RUNTIME == "rclpy":
            # A lifecycle node of an earlier test ends there when it is collected, and with it the
            # publisher of /rosout of any node that has its name by then; the executor keeps the
            # nodes of its last turn.
            self.executor.spin_once(timeout_sec=0.0)
            gc.collect()
        node = kind(parameter_overrides=overrides)
        # In rclpy two nodes of one name in a process share a publisher of /rosout, which goes with
        # the first of them that ends: give one of them a namespace of its own.
        assert node.get_fully_qualified_name() not in self._names
        self._names.add(node.get_fully_qualified_name())
        self.nodes.append(node)
        self.executor.add_node(node)
        if start and hasattr(node, "autostart"):
            node.autostart()
        return node

    def remove(self, node: Any) -> None:
        self.nodes.remove(node)
        self._names.remove(node.get_fully_qualified_name())
        self.executor.remove_node(node)
        node.destroy_node()

    def spin(
        self,
        until: Callable[[], Any],
        timeout: float = PATIENCE,
        again: Callable[[], Any] | None = None,
    ) -> bool:
        """Run callbacks until a condition holds; False after `timeout` seconds.

        Args:
            again: Done over and over meanwhile, such as publishing what may be lost.
        """
        end = time.monotonic() + timeout
        while not until():
            if time.monotonic() > end:
                return False
            if again is not None:
                again()
            self.executor.spin_once(timeout_sec=0.02)
        return True

    def spin_for(self, seconds: float) -> None:
        """Run callbacks for a while: only for what must *not* happen."""
        self.spin(lambda: False, seconds)

    def spin_once_all(self) -> None:
        """Let everything in the executor take at least one message.

        A task runs at the beginning of a round over all entities, so between two there is one.
        """
        for _ in range(2):
            task = self.executor.create_task(lambda: None)
            assert self.spin(task.done), "the executor stands still"

    def listen(self, kind: str, topic: str, latched: bool = False) -> list[Any]:
        """Everything that arrives on a topic from now on."""
        heard: list[Any] = []
        qos = LATCHED if latched else RESULTS
        self._subscriptions.append(
            self.client.create_subscription(ros.interface(kind), topic, heard.append, qos)
        )
        return heard

    def unsubscribe_all(self) -> None:
        """Stop listening to everything."""
        for subscription in self._subscriptions:
            self.client.destroy_subscription(subscription)
        self._subscriptions.clear()

    def destroy_publishers(self) -> None:
        """Destroy the publishers that `publisher` and `camera` made."""
        for publisher in self._publishers:
            self.client.destroy_publisher(publisher)
        self._publishers.clear()

    def publisher(self, kind: str, topic: str, qos: Any = 10) -> Any:
        """A publisher that goes with the test."""
        made = self.client.create_publisher(ros.interface(kind), topic, qos)
        self._publishers.append(made)
        return made

    def connect(self, publisher: Any) -> Any:
        """Wait until somebody hears a publisher; the same publisher.

        Nodes under test share the tester's process, and there both ends match at the same moment.
        """
        assert self.spin(lambda: publisher.get_subscription_count() > 0), "nobody subscribes"
        self.spin_once_all()
        return publisher

    def call(self, kind: str, name: str, /, timeout: float = 2 * PATIENCE, **fields: Any) -> Any:
        """The reply of a service."""
        interface = ros.interface(kind)
        client = self.client.create_client(interface, name)
        try:
            assert self.spin(client.service_is_ready), f"nobody serves {name}"
            future = client.call_async(interface.Request(**fields))
            assert self.spin(future.done, timeout), f"no reply from {name}"
            return future.result()
        finally:
            self.client.destroy_client(client)

    def ask(self, text: str = "what?", candidates: Any = ("yes", "no"), **fields: Any) -> Any:
        """The reply to a question, about images of any age unless `max_age` is given."""
        fields = {"max_age": duration(NO_LIMIT_S), "question": question(text, candidates)} | fields
        return self.call("vljepa_ros/srv/AnswerQuestion", "answer_question", **fields)

    def ask_all(self, **fields: Any) -> Any:
        """The reply to several questions."""
        fields = {"max_age": duration(NO_LIMIT_S)} | fields
        return self.call("vljepa_ros/srv/AnswerQuestions", "answer_questions", **fields)

    def ask_about(self, picture: Any, candidates: Any = ("yes", "no"), **fields: Any) -> Any:
        """The reply to a question about a picture in the request."""
        fields = {"image": [picture], "question": question("what?", candidates)} | fields
        return self.call("vljepa_ros/srv/AnswerAboutImage", "answer_about_image", **fields)

    def set(self, node: Any, name: str, value: Any) -> Any:
        """Set a parameter through the node's own service, as `ros2 param set` does."""
        parameter = ros.Parameter(name, value=value).to_parameter_msg()
        reply = self.call(
            "rcl_interfaces/srv/SetParameters",
            f"{node.get_fully_qualified_name()}/set_parameters",
            parameters=[parameter],
        )
        return reply.results[0]

    def camera(self, topic: str = "/camera/image_raw", kind: str = "sensor_msgs/msg/Image") -> Any:
        """A connected publisher of images."""
        return self.connect(self.publisher(kind, topic, 5))

    def show(self, camera: Any, colour: str = "red", seconds: float = 2.0, **fields: Any) -> int:
        """Publish ten images for each second of stamps, each heard before the next one.

        Returns:
            The last stamp.
        """
        for _ in range(round(seconds * 10)):
            self.show_one(camera, colour, **fields)
        return self.stamp

    def show_one(self, camera: Any, colour: str = "red", **fields: Any) -> None:
        """Publish one image, 0.1 s after the one before by its stamp, and let it be heard."""
        self.stamp += SECOND // 10
        camera.publish(image(colour, self.stamp, **fields))
        self.spin_once_all()


def image(colour: str, stamp: int, **fields: Any) -> Any:
    """A sensor_msgs/Image of one colour; fields replace its own."""
    height, width = fields.pop("height", 60), fields.pop("width", 80)
    message = ros.interface("sensor_msgs/msg/Image")()
    message.header.stamp = ros.Time(nanoseconds=stamp).to_msg()
    message.header.frame_id = "front_optical"
    message.height, message.width, message.step = height, width, 3 * width
    message.encoding = "rgb8"
    message.data = np.full((height, width, 3), COLOURS[colour], np.uint8).tobytes()
    for name, value in fields.items():
        setattr(message, name, value)
    return message


def two_colours(left: str = "red", right: str = "blue") -> dict[str, Any]:
    """Fields of `image` for a picture of 80 x 60 pixels with two halves."""
    pixels = np.full((60, 80, 3), COLOURS[left], np.uint8)
    pixels[:, 40:] = COLOURS[right]
    return {"data": pixels.tobytes()}


def compressed(colour: str, stamp: int) -> Any:
    """A sensor_msgs/CompressedImage of one colour."""
    import cv2

    _, jpeg = cv2.imencode(".jpg", np.full((60, 80, 3), COLOURS[colour][::-1], np.uint8))
    message = ros.interface("sensor_msgs/msg/CompressedImage")()
    message.header.stamp = ros.Time(nanoseconds=stamp).to_msg()
    message.header.frame_id = "front_optical"
    message.format, message.data = "jpeg", jpeg.tobytes()
    return message


def question(text: str, candidates: Any = ("yes", "no")) -> Any:
    return ros.interface("vljepa_ros/msg/Question")(text=text, candidates=list(candidates))


def duration(seconds: float) -> Any:
    return ros.Duration(seconds=seconds).to_msg()


def nanoseconds(stamp: Any) -> int:
    return int(stamp.sec * SECOND + stamp.nanosec)


def accepted(reply: Any) -> bool:
    """Whether a service did what it was asked for, or will."""
    return reply.result.code in (reply.result.OK, reply.result.PENDING)


def status(heard: list[Any], name: str) -> Any:
    """The newest diagnostic status with a name that ends so."""
    for message in reversed(heard):
        for found in message.status:
            if found.name.endswith(name):
                return found
    return None


def value(found: Any, key: str) -> str:
    return next(str(pair.value) for pair in found.values if pair.key == key)
