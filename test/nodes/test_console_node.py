"""The console on a running graph, with a real HTTP client beside it."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import cv2
import numpy as np
import pytest
from graph import COLOURS, MODEL, Graph, status, two_colours

from vljepa_ros import ros
from vljepa_ros.console import board
from vljepa_ros.nodes import console_node
from vljepa_ros.nodes.console_node import ConsoleNode
from vljepa_ros.nodes.perception_node import PerceptionNode

HEALTH = "diagnostic_msgs/msg/DiagnosticArray"


class Page:
    """What a browser does: follows the events, takes pictures, calls services."""

    def __init__(self, graph: Graph, node: ConsoleNode) -> None:
        self.graph = graph
        self.port = int(node.url.rsplit(":", 1)[1].strip("/"))
        self.got: dict[str, list[Any]] = {}
        self._stream = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        self._pool = ThreadPoolExecutor(2)
        self._pool.submit(self._follow)

    def _follow(self) -> None:
        self._stream.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        for line in self._stream.makefile("rb"):
            if line.startswith(b"data: "):
                message = json.loads(line[6:])
                self.got.setdefault(message["name"], []).append(message["value"])

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.shutdown(socket.SHUT_RDWR)
        self._pool.shutdown()
        self._stream.close()

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        again: Callable[[], Any] | None = None,
    ) -> tuple[int, bytes]:
        """A reply, while the graph is spun."""

        def request() -> tuple[int, bytes]:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
            kind = {"Content-Type": "application/json"} if method == "POST" else {}
            connection.request(method, path, None if body is None else json.dumps(body), kind)
            reply = connection.getresponse()
            result = reply.status, reply.read()
            connection.close()
            return result

        future = self._pool.submit(request)
        assert self.graph.spin(future.done, 60.0, again)
        return future.result()

    def call(self, service: str, **fields: Any) -> Any:
        code, body = self.ask("POST", f"/call/{service}", fields)
        return {"http": code, **json.loads(body)}

    def newest(self, name: str) -> Any:
        return (self.got.get(name) or [None])[-1]


@pytest.fixture
def opened(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Any], Page]]:
    monkeypatch.setattr(board, "LINGER_S", 0.5)
    monkeypatch.setattr(console_node, "ASK_S", 0.5)
    pages: list[Page] = []

    def open_page(node: ConsoleNode) -> Page:
        pages.append(Page(graph, node))
        return pages[-1]

    yield open_page
    for page in pages:
        page.close()


def test_a_page_sees_asks_and_changes_and_outlives_perception(
    graph: Graph, opened: Callable[[Any], Page]
) -> None:
    camera = graph.publisher("sensor_msgs/msg/Image", "/camera/image_raw", 5)
    question = {"text": "what?", "candidates": ["yes", "no"]}

    def start() -> PerceptionNode:
        made = graph.add(PerceptionNode, model=MODEL, max_rate=1000.0, front__crop=[0, 0, 40, 60])
        assert isinstance(made, PerceptionNode)
        return made

    def show() -> None:
        graph.show_one(camera, **two_colours("red", "blue"))

    perception = start()
    node = graph.add(ConsoleNode, port=0)
    graph.spin_for(0.8)
    assert camera.get_subscription_count() == 1, "perception's; no page looks"
    page = opened(node)
    assert graph.spin(lambda: page.newest("cameras") == ["front"])

    def sees() -> None:
        code, jpeg = 0, b""
        for _ in range(20):
            code, jpeg = page.ask("GET", "/picture?camera=front&after=0", again=show)
            if code == 200:
                break
        assert code == 200, jpeg
        picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
        assert picture.shape == (60, 40, 3), "what perception looks at"
        assert np.allclose(picture[30, 20, ::-1], COLOURS["red"], atol=12)
        assert graph.spin(lambda: page.got.get("front/labels"), again=show)

    sees()
    reply = page.call("answer_question", question=question, max_age=1000)
    assert reply["result"]["code"] == 0, reply
    assert len(reply["answer"]["scores"]) == 2
    reply = page.call("set_labels", owner="console", prompt="which?", labels=["<b>x</b>", "y"])
    assert reply["result"]["code"] in (0, 1), reply

    def labelled() -> bool:
        groups = (page.newest("vocabulary") or {"groups": []})["groups"]
        return any(one["labels"] == ["<b>x</b>", "y"] for one in groups)

    assert graph.spin(labelled)
    graph.remove(perception)
    reply = page.call("answer_question", question=question, max_age=1000)
    assert reply["http"] == 503
    assert "answer_question" in reply["error"]
    page.got.clear()
    start()
    assert graph.spin(lambda: page.newest("model_info"))
    sees()
    reply = page.call("describe")
    assert reply["http"] == 503, "there is no decoder"
    page.close()
    assert graph.spin(lambda: camera.get_subscription_count() == 1)


def test_events_triggers_and_health(graph: Graph, opened: Callable[[Any], Page]) -> None:
    node = graph.add(ConsoleNode, port=0)
    page = opened(node)
    events = graph.publisher("vljepa_ros/msg/SceneEvent", "events", 10)
    triggers = graph.publisher("vljepa_ros/msg/TriggerEvent", "triggers", 10)
    for publisher in (events, triggers):
        graph.connect(publisher)
    kind = ros.interface("vljepa_ros/msg/SceneEvent")
    events.publish(kind(camera="front", text="a door opens"))
    triggers.publish(ros.interface("vljepa_ros/msg/TriggerEvent")())
    assert graph.spin(lambda: page.newest("events") and page.newest("triggers"))
    assert page.newest("events")["text"] == "a door opens"
    assert page.newest("triggers")["trigger"]["score"] == 0.0
    assert graph.spin(lambda: page.newest("diagnostics/vljepa/console_node"))
    later = opened(node)
    assert graph.spin(lambda: later.newest("events")), "who comes later sees what happened"


@pytest.mark.parametrize(
    "parameters",
    [
        {"cameras": ["a-b"]},
        {
            "cameras": ["a-b"],
            "a-b.image_topic": "/c",
            "a-b.transport": "raw",
            "a-b.crop": [0, 0, 0, 0],
            "a-b.rotate": 0,
        },
    ],
)
def test_cameras_that_cannot_be_are_said(
    graph: Graph, opened: Callable[[Any], Page], parameters: dict[str, Any]
) -> None:
    log = graph.listen("rcl_interfaces/msg/Log", "/rosout")

    def other(parameter_overrides: Any) -> Any:
        made = ros.Node("perception_node", namespace="vljepa")
        for name, value in parameters.items():
            made.declare_parameter(name, value)
        return made

    graph.add(other)
    page = opened(graph.add(ConsoleNode, port=0))
    assert graph.spin(lambda: any("no pictures: perception_node" in m.msg for m in log))
    assert page.ask("GET", "/picture?camera=a-b")[0] == 404


def test_what_cannot_be_is_said(graph: Graph, opened: Callable[[Any], Page]) -> None:
    page = opened(graph.add(ConsoleNode, port=0))
    for path, fields, code, text in [
        ("/call/encode_text", {}, 404, "allowed: add_triggers"),
        ("/call/set_labels", {"labels": [1]}, 400, "labels[0] is 1"),
        ("/call/set_labels", [], 400, "allowed: an object"),
        ("/call/teach", {"operation": 0}, 503, "no service"),
        ("/picture?camera=back", None, 404, "allowed: none yet"),
    ]:
        got, body = page.ask("GET" if fields is None else "POST", path, fields)
        assert (got, text in json.loads(body)["error"]) == (code, True), body


def test_a_page_that_comes_in_the_last_moment_raises_nothing(graph: Graph) -> None:
    node = graph.add(ConsoleNode, port=0)
    with socket.create_connection(("127.0.0.1", urlsplit(node.url).port or 0)) as page:
        page.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        got = b""
        while b"retry" not in got:  # sent after the node was asked to subscribe
            got += page.recv(1000)
        graph.remove(node)
    graph.executor.spin_once(timeout_sec=0.1)


def test_a_service_that_does_not_answer(graph: Graph, opened: Callable[[Any], Page]) -> None:
    node = graph.add(ConsoleNode, port=0)
    page = opened(node)
    assert graph.set(node, "request_timeout", 0.3).successful
    waits = ros.Future()

    async def never(request: Any, response: Any) -> Any:
        await waits
        return response

    kind = ros.interface("vljepa_ros/srv/Describe")
    service = graph.client.create_service(kind, "describe", never)
    try:
        reply = page.call("describe")
        while reply["http"] == 503:  # it is not yet found
            reply = page.call("describe")
        assert reply["http"] == 504
        assert "within 0.3 s" in reply["error"]
    finally:
        waits.set_result(None)
        graph.spin_for(0.1)
        graph.client.destroy_service(service)


def test_a_port_that_is_taken_is_said_and_tried_again(
    graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console_node, "OPEN_S", 0.2)
    health = graph.listen(HEALTH, "/diagnostics")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        node = graph.add(ConsoleNode, port=taken.getsockname()[1])
        assert graph.spin(lambda: (s := status(health, ": page")) and "in use" in s.message)
        assert node.url == ""
    assert graph.spin(lambda: node.url)


@pytest.mark.parametrize("wrong", [{"token": "short"}, {"address": "no.such.host.invalid"}])
def test_a_setting_that_cannot_be_ends_nothing(graph: Graph, wrong: dict[str, str]) -> None:
    health = graph.listen(HEALTH, "/diagnostics")
    node = graph.add(ConsoleNode, port=0, **wrong)
    assert graph.spin(lambda: (s := status(health, ": page")) and "no page at" in s.message)
    assert node.url == ""
