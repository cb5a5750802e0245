"""Counts the functions and files on the way of a frame, an embedding and a question.

    python lab/bench/call_path.py [--names]

Starts the perception node and then the decoder node in this process, lets one image become an
embedding, one question an answer, one change of embedding a scene event, and records by
`sys.setprofile` which functions of the package run meanwhile. Left out: the room `ros` (rclpy has
its own), what timers call (diagnostics, deadlines), lambdas and comprehensions.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

import vljepa_ros
from vljepa_ros import ros
from vljepa_ros.nodes.perception_node import PerceptionNode
from vljepa_ros.nodes.selective_decoder_node import SelectiveDecoderNode
from vljepa_ros.nodes.topics import image_message

PACKAGE = Path(vljepa_ros.__file__).parent
LEFT_OUT = ("ros/",)
FLOORS = ("models", "engines", "perception", "nodes")  # a call from one to a later one goes up
SECOND = 1_000_000_000


class Recorder:
    """Functions of the package that ran while it was on, in the order of their first call."""

    def __init__(self) -> None:
        self.on = False
        self.functions: dict[tuple[str, str], None] = {}
        self.upwards: set[tuple[str, str]] = set()
        self._thread = threading.local()
        self._leave_out_timers()
        threading.setprofile(self._profile)
        sys.setprofile(self._profile)

    def _profile(self, frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if not self.on or event != "call" or getattr(self._thread, "in_timer", False):
            return
        name = _place(code.co_filename)
        if not name or name.startswith(LEFT_OUT) or code.co_name.startswith("<"):
            return
        # The name without its class before Python 3.11.
        self.functions.setdefault((name, getattr(code, "co_qualname", code.co_name)), None)
        caller = _place(frame.f_back.f_code.co_filename) if frame.f_back else ""
        if _floor(name) > _floor(caller) >= 0:
            self.upwards.add((caller, f"{name}: {code.co_name}"))

    def _leave_out_timers(self) -> None:
        """Timers, diagnostics among them, only happen to run meanwhile."""
        create_timer = ros.Node.create_timer

        def create_quiet(node: Any, period: float, callback: Any, *args: Any, **named: Any) -> Any:
            def quiet() -> None:
                self._thread.in_timer = True
                try:
                    callback()
                finally:
                    self._thread.in_timer = False

            return create_timer(node, period, quiet, *args, **named)

        ros.Node.create_timer = create_quiet


def _place(file: str) -> str:
    """File within the package, "" elsewhere."""
    path = Path(file)
    return path.relative_to(PACKAGE).as_posix() if PACKAGE in path.parents else ""


def _floor(name: str) -> int:
    room = name.split("/")[0]
    return FLOORS.index(room) if room in FLOORS else -1


class Graph:
    """One node under observation, a client, one executor."""

    def __init__(self) -> None:
        ros.init(args=[])
        self.executor = ros.SingleThreadedExecutor()
        self.client = ros.Node("tracer", namespace="vljepa")
        self.executor.add_node(self.client)

    def start(self, kind: Callable[..., Any], **parameters: Any) -> Any:
        """A configured and active node on the embedded model."""
        given = {"model": "nano", "cameras": ["front"], **parameters}
        overrides = [ros.Parameter(name, value=value) for name, value in given.items()]
        node = kind(parameter_overrides=overrides)
        self.executor.add_node(node)
        node.autostart()
        return node

    def stop(self, node: Any) -> None:
        """Destroy a node."""
        self.executor.remove_node(node)
        node.destroy_node()

    def spin(self, until: Callable[[], Any], seconds: float = 30.0) -> None:
        """Run callbacks until a condition holds.

        Raises:
            TimeoutError: it did not within `seconds`.
        """
        end = time.monotonic() + seconds
        while not until():
            if time.monotonic() > end:
                raise TimeoutError("the graph did not do what was expected")
            self.executor.spin_once(timeout_sec=0.02)

    def rest(self, seconds: float) -> None:
        """Run callbacks for a while."""
        end = time.monotonic() + seconds
        self.spin(lambda: time.monotonic() > end)

    def listen(self, kind: str, topic: str, qos: Any = 10) -> list[Any]:
        """Everything that arrives on a topic from now on."""
        received: list[Any] = []
        self.client.create_subscription(ros.interface(kind), topic, received.append, qos)
        return received


def image(stamp: int, level: int) -> Any:
    """A grey sensor_msgs/Image."""
    time_of = ros.Time(nanoseconds=stamp).to_msg()
    header = ros.interface("std_msgs/msg/Header")(stamp=time_of, frame_id="front_optical")
    return image_message(header, np.full((48, 64, 3), level, np.uint8))


def trace() -> dict[str, tuple[dict[tuple[str, str], None], set[tuple[str, str]]]]:
    """Functions and calls up by way: frame, embedding, question."""
    os.environ.setdefault("ROS_DOMAIN_ID", "71")
    recorder = Recorder()
    graph = Graph()
    perception = graph.start(PerceptionNode, max_rate=1000.0)
    embeddings = graph.listen("vljepa_ros/msg/Embedding", "front/embeddings")
    labels = graph.listen("vljepa_ros/msg/SceneLabels", "front/labels")
    camera = graph.client.create_publisher(
        ros.interface("sensor_msgs/msg/Image"), "/camera/image_raw", 5
    )
    graph.spin(lambda: camera.get_subscription_count() > 0)
    stamp = time.time_ns() - 60 * SECOND
    found = {}
    for number in range(40):
        stamp += SECOND // 10
        recorder.functions, recorder.upwards = {}, set()
        recorder.on = number == 39
        before = len(embeddings), len(labels)
        camera.publish(image(stamp, 100))
        if number >= 20:
            graph.spin(lambda b=before: len(embeddings) > b[0] and len(labels) > b[1])
        graph.rest(0.1)
    recorder.on = False
    found["frame"] = recorder.functions, recorder.upwards

    ask = ros.interface("vljepa_ros/srv/AnswerQuestion")
    client = graph.client.create_client(ask, "answer_question")
    graph.spin(client.service_is_ready)
    asked = ros.interface("vljepa_ros/msg/Question")(
        text="is the door open?", candidates=["yes", "no"]
    )
    request = ask.Request(question=asked, max_age=ros.Duration(seconds=3600).to_msg())
    for number in range(2):
        recorder.functions, recorder.upwards, recorder.on = {}, set(), number == 1
        future = client.call_async(request)
        graph.spin(future.done)
    recorder.on = False
    found["question"] = recorder.functions, recorder.upwards

    graph.stop(perception)
    decoder = graph.start(SelectiveDecoderNode)
    events = graph.listen("vljepa_ros/msg/SceneEvent", "events")
    template = embeddings[-1]
    publisher = graph.client.create_publisher(type(template), "front/embeddings", 10)
    graph.spin(lambda: publisher.get_subscription_count() > 1)
    graph.rest(0.5)
    first = np.array(template.vector, np.float32)
    second = np.roll(first, 1)
    for number in range(400):
        stamp += SECOND // 5
        template.header.stamp = ros.Time(nanoseconds=stamp).to_msg()
        template.vector = (first if number < 100 else second).tolist()
        if number == 100:
            events.clear()
            recorder.functions, recorder.upwards, recorder.on = {}, set(), True
        publisher.publish(template)
        graph.rest(0.02)
        if number > 100 and events:
            break
    else:
        raise TimeoutError("no event followed the change")
    recorder.on = False
    found["embedding"] = recorder.functions, recorder.upwards
    sys.setprofile(None)
    graph.stop(decoder)
    graph.stop(graph.client)
    ros.shutdown()
    return found


def main() -> None:
    """Print the counts, with --names the functions, too."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--names", action="store_true", help="list the functions")
    args = parser.parse_args()
    for way, (functions, upwards) in trace().items():
        files = {file for file, _ in functions}
        print(
            f"{way:<10} {len(functions):3} functions in {len(files):2} files, "
            f"{len(upwards)} calls up"
        )
        if args.names:
            for file, name in functions:
                print(f"    {file}: {name}")
            for caller, called in sorted(upwards):
                print(f"    up: {caller} -> {called}")


if __name__ == "__main__":
    main()
