"""What a robot's user sees while the campaign runs: every topic, questions, searches, a page."""

from __future__ import annotations

import http.client
import threading
import time
from array import array
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from vljepa_ros import ros
from vljepa_ros.cli.client import GraphClient
from vljepa_ros.nodes.topics import IMAGES, LATCHED, RESULTS, to_duration, to_nanoseconds

STREAMS = (  # of each camera
    ("vljepa_ros/msg/Embedding", "embeddings", RESULTS),
    ("vljepa_ros/msg/SceneLabels", "labels", RESULTS),
    ("vljepa_ros/msg/SceneEvent", "scene", LATCHED),
    ("vljepa_ros/msg/TriggerState", "trigger_state", LATCHED),
)
HEARTBEATS = ("model_info", "scene", "trigger_state")  # repeated, so that silence means a loss
DEADLINE_S = 1.5  # between two heartbeats
LEVELS = ("OK", "WARN", "ERROR")
ASKED = "is the door open or closed?", ["the door is open", "the door is closed"]


@dataclass
class Stream:
    """Messages of one topic by their arrival on the steady clock."""

    count: int = 0
    last: float = 0.0
    longest: float = 0.0  # seconds between two, since `reset`
    late: int = 0  # how often that was more than DEADLINE_S

    def take(self) -> None:
        now = time.monotonic()
        if self.count:
            gap = now - self.last
            self.longest, self.late = max(self.longest, gap), self.late + (gap > DEADLINE_S)
        self.count, self.last = self.count + 1, now

    def reset(self) -> None:
        self.longest, self.late = 0.0, 0


@dataclass
class Asked:
    """Requests to one service."""

    sent: int = 0
    answered: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    seconds: array[float] = field(default_factory=lambda: array("f"))


class Watch(GraphClient):
    """Subscribes to everything while its context is open; see GraphClient.

    Attributes:
        streams: By topic, as `front/labels`.
        latency: Seconds from image to embedding.
        health: Newest status of each part of a node: level, message, arrival.
        troubles: How often a part was seen not OK: (part, message) -> count, since `reset`.
        events, trigger_events: All SceneEvents and TriggerEvents.
        asked: By service.
        late: Longest time between two turns of this process, which measures: all figures of time
            are as coarse. Since `reset`.
    """

    def __init__(self, cameras: Iterable[str] = ("front",), overlay: bool = True) -> None:
        super().__init__()
        self.cameras = tuple(cameras)
        self.streams: dict[str, Stream] = {}
        self.latency: array[float] = array("f")
        self.health: dict[str, tuple[int, str, float]] = {}
        self.troubles: Counter[tuple[str, str]] = Counter()
        self.events: list[Any] = []
        self.trigger_events: list[Any] = []
        self.asked: dict[str, Asked] = {}
        self.late = 0.0
        self._overlay = overlay
        self._turn = time.monotonic()
        self._clients: dict[str, Any] = {}

    def __enter__(self) -> Watch:
        super().__enter__()
        for camera in self.cameras:
            for kind, topic, qos in STREAMS:
                self.follow(kind, f"{camera}/{topic}", qos)
        if self._overlay:
            self.follow("sensor_msgs/msg/Image", f"{self.cameras[0]}/overlay", IMAGES)
        self.follow("vljepa_ros/msg/ModelInfo", "model_info", LATCHED)
        self.subscribe("vljepa_ros/msg/SceneEvent", "events", self.events.append, RESULTS)
        many = ros.QoSProfile(depth=1000)
        kind = "vljepa_ros/msg/TriggerEvent"
        self.subscribe(kind, "triggers", self.trigger_events.append, many)
        health = "diagnostic_msgs/msg/DiagnosticArray"
        self.subscribe(health, "/diagnostics", self._on_health, ros.QoSProfile(depth=100))
        return self

    def follow(self, kind: str, topic: str, qos: Any) -> Stream:
        """Count the messages of a topic."""
        stream = self.streams[topic] = Stream()

        def take(message: Any) -> None:
            stream.take()
            if topic.endswith("/embeddings"):
                self.latency.append(message.latency)

        self.subscribe(kind, topic, take, qos)
        return stream

    @property
    def client(self) -> Any:
        """The ROS node."""
        return self._node

    def reset(self) -> None:
        """Count gaps and troubles from now on."""
        for stream in self.streams.values():
            stream.reset()
        self.troubles.clear()
        self.late, self._turn = 0.0, time.monotonic()

    def spin(self, until: Callable[[], bool], timeout: float | None = None) -> bool:
        def turn() -> bool:
            now = time.monotonic()
            self.late, self._turn = max(self.late, now - self._turn), now
            return until()

        self._turn = time.monotonic()
        return super().spin(turn, timeout)

    def wait(self, seconds: float) -> None:
        """Listen for a while."""
        self.spin(lambda: False, seconds)

    def streaming(self, timeout: float = 120.0) -> bool:
        """Wait until everything that is followed has come."""
        return self.spin(lambda: all(s.count for s in self.streams.values()), timeout)

    def ask(self, kind: str, service: str, timeout: float = 15.0, **fields: Any) -> Any:
        """The reply of a service, None if there was none in time; counted."""
        counts = self.asked.setdefault(service, Asked())
        interface = ros.interface(f"vljepa_ros/srv/{kind}")
        if service not in self._clients:
            self._clients[service] = self._node.create_client(interface, service)
        client = self._clients[service]
        counts.sent += 1
        begin = time.monotonic()
        self.spin(client.service_is_ready, timeout)
        future = client.call_async(interface.Request(**fields))
        if not self.spin(future.done, timeout):
            client.remove_pending_request(future)
            counts.lost += 1
            return None
        reply = future.result()
        counts.seconds.append(time.monotonic() - begin)
        if reply.result.code == reply.result.OK:
            counts.answered += 1
        else:
            counts.refused[f"{reply.result.code}: {reply.result.message}"] += 1
        return reply

    def ask_question(self, timeout: float = 15.0) -> Any:
        """The reply about the first camera."""
        question = ros.interface("vljepa_ros/msg/Question")(text=ASKED[0], candidates=ASKED[1])
        fields = {"camera": self.cameras[0], "max_age": to_duration(60.0), "question": question}
        return self.ask("AnswerQuestion", "answer_question", timeout, **fields)

    def find_moments(self, timeout: float = 15.0) -> Any:
        """The reply of the memory."""
        return self.ask("FindMoments", "find_moments", timeout, text=ASKED[1][0], limit=5)

    def level(self, node: str) -> int:
        """The worst level of a node's newest diagnostics; -1: there are none from the last 3 s."""
        now = time.monotonic()
        found = [
            level
            for name, (level, _, at) in self.health.items()
            if name.split(":")[0].endswith(node) and now - at < 3.0
        ]
        return max(found, default=-1)

    def forget(self, node: str) -> None:
        """Drop a node's diagnostics: it was killed."""
        self.health = {
            name: one for name, one in self.health.items() if not name.split(":")[0].endswith(node)
        }

    def _on_health(self, message: Any) -> None:
        now = time.monotonic()
        for status in message.status:
            level = status.level
            level = level[0] if isinstance(level, bytes) else int(level)
            self.health[status.name] = level, str(status.message), now
            if level:
                self.troubles[status.name, str(status.message)] += 1


def newest_stamp(events: Iterable[Any]) -> int:
    """The newest header.stamp in nanoseconds, 0: there are none."""
    return max((to_nanoseconds(event.header.stamp) for event in events), default=0)


class Page:
    """A browser's page that is open on the console: its events, and pictures one after another.

    Attributes:
        events, pictures, errors: Counts.
    """

    def __init__(self, port: int, camera: str = "front", period: float = 1.0) -> None:
        self.events = self.pictures = self.errors = 0
        self._port, self._camera, self._period = port, camera, period
        self._leaving = threading.Event()
        threads = self._follow, self._look
        self._threads = [threading.Thread(target=work, daemon=True) for work in threads]

    def __enter__(self) -> Page:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._leaving.set()
        for thread in self._threads:
            thread.join(15.0)

    def _follow(self) -> None:
        while not self._leaving.is_set():
            connection = http.client.HTTPConnection("localhost", self._port, timeout=10.0)
            try:
                connection.request("GET", "/events")
                reply = connection.getresponse()
                while not self._leaving.is_set() and (line := reply.readline()):
                    self.events += line.startswith(b"data:")
            except OSError:
                self.errors += 1
                self._leaving.wait(1.0)
            finally:
                connection.close()

    def _look(self) -> None:
        number = "0"
        while not self._leaving.wait(self._period):
            connection = http.client.HTTPConnection("localhost", self._port, timeout=10.0)
            try:
                connection.request("GET", f"/picture?camera={self._camera}&after={number}")
                reply = connection.getresponse()
                self.pictures += bool(reply.read()) and reply.status == 200
                number = reply.getheader("X-Picture", "0")
            except (OSError, http.client.HTTPException):
                self.errors += 1
            finally:
                connection.close()
