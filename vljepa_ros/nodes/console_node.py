"""The console: a page in a browser that shows what the robot sees and calls its services.

It is an ordinary client of the topics and services. It subscribes only while a page is open, reads
the names of the cameras from perception_node, and keeps working when other nodes restart.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from vljepa_ros import ros
from vljepa_ros.console.board import Board
from vljepa_ros.console.server import ConsoleServer, Refused, Robot
from vljepa_ros.nodes.console_camera import CameraView, ConsoleCamera
from vljepa_ros.nodes.diagnostics import ERROR, Diagnostics, Part, Warnings, checked
from vljepa_ros.nodes.lifecycle_node import NAMESPACE
from vljepa_ros.nodes.message_json import from_json, to_json
from vljepa_ros.nodes.parameters import NodeParameters, ParameterGroup, live, read_only
from vljepa_ros.nodes.topics import LATCHED, RESULTS, Endpoints
from vljepa_ros.perception.image_encodings import FrameError

SERVICES = {
    "add_triggers": "AddTriggers",
    "answer_question": "AnswerQuestion",
    "describe": "Describe",
    "find_moments": "FindMoments",
    "remove_triggers": "RemoveTriggers",
    "set_labels": "SetLabels",
    "teach": "Teach",
}
TOPICS = (
    ("vljepa_ros/msg/ModelInfo", "model_info", LATCHED),
    ("vljepa_ros/msg/Vocabulary", "vocabulary", LATCHED),
    ("vljepa_ros/msg/TeachProgress", "teach_progress", RESULTS),
    ("vljepa_ros/msg/SceneEvent", "events", RESULTS),
    ("vljepa_ros/msg/TriggerEvent", "triggers", ros.QoSProfile(depth=1000)),
)
OF_CAMERA = (
    ("vljepa_ros/msg/SceneLabels", "labels", RESULTS),
    ("vljepa_ros/msg/SceneEvent", "scene", LATCHED),
    ("vljepa_ros/msg/TriggerState", "trigger_state", LATCHED),
)
VIEW = ("image_topic", "transport", "crop", "rotate")  # parameters of a camera
EVENTS = ("events", "triggers")
KEPT_EVENTS = 50
MOST_LABELS = 8  # of a group, best first
ASK_S = 2.0  # period of reading the cameras from perception_node, while a page is open
PULSE_S = 1.0  # each one costs rclpy's executor a millisecond
OPEN_S = 5.0  # how often a port that is taken is tried


@dataclass(frozen=True)
class ConsoleParameters:
    """Parameters of the console node."""

    address: str = read_only(
        "127.0.0.1",
        "Address of this machine to serve the page at; 0.0.0.0: all. Other machines need "
        "the token; nothing is encrypted.",
    )
    port: int = read_only(8420, "Port to serve the page at; 0: any free one.", 0, 65535)
    token: str = read_only(
        "",
        "Token for other machines: 16 or more letters, digits, _ and -; empty: a new one at each "
        "start, in the log.",
    )
    perception: str = read_only("perception_node", "Name of the perception node.", ros_name=True)
    picture_width: int = read_only(480, "Width of a picture in pixels, at most.", 64, 1920)
    picture_rate: float = read_only(6.0, "Pictures per second and camera, at most.", 0.1, 60.0)
    request_timeout: float = live(
        15.0, "Seconds to wait for a service that the page calls.", 0.1, 600.0
    )


class ConsoleNode(ros.Node):
    """Serves the page until it is destroyed."""

    def __init__(self, **options: Any) -> None:
        super().__init__("console_node", **{"namespace": NAMESPACE, **options})
        self._main = ParameterGroup(self, ConsoleParameters)
        self._table = NodeParameters(self, [self._main])
        self.warn = Warnings(self).warn
        self._board = Board(self._watch_soon)
        self._topics = Endpoints(self)
        self._of_cameras = Endpoints(self)
        self._cameras: dict[str, ConsoleCamera] = {}
        self._callers = {
            name: (kind, self.create_client(kind, name))
            for name, interface in SERVICES.items()
            for kind in [ros.interface(f"vljepa_ros/srv/{interface}")]
        }
        self._asked: Any = None
        self._ask_at = self._open_at = 0.0
        perception = self._main.value.perception
        kind = ros.interface("rcl_interfaces/srv/GetParameters")
        self._perception = kind, self.create_client(kind, f"{perception}/get_parameters")
        self._server: ConsoleServer | None = None
        self._ended = False
        self._trouble = "; ".join(self._table.problems.values())
        if self._trouble:
            self.get_logger().error(f"no page is served: {self._trouble}")
        else:
            self._watch()
            self._pulse = self.create_timer(PULSE_S, self._watch, clock=ros.steady_clock())
        self._diagnostics = Diagnostics(self, self._parts)

    @property
    def url(self) -> str:
        """URL of the page; empty: it is not served."""
        return self._server.url if self._server else ""

    def destroy_node(self) -> None:
        """Close the server, then destroy the node."""
        self._ended = True
        if self._server:
            self._server.close()
        self._close()
        super().destroy_node()

    def _watch_soon(self) -> None:
        """Have `_watch` called at once, from a thread of the server, when a page opens."""
        if self.executor is not None:
            self.executor.create_task(self._watch)

    def _watch(self) -> None:
        """Subscribe while a page is open; every PULSE_S seconds, and when a page opens."""
        if self._ended:  # requested by a page that opened in the last moment
            return
        now = time.monotonic()
        if self._server is None and now >= self._open_at:
            self._open_at = now + OPEN_S
            self._open()
        if not self._board.is_watched:
            self._close()
            return
        if not self._topics.is_open:
            for kind, topic, qos in TOPICS:
                keep = KEPT_EVENTS if topic in EVENTS else 1
                self._topics.subscribe(kind, topic, partial(self._show, topic, keep), qos)
            health = "diagnostic_msgs/msg/DiagnosticArray"
            self._topics.subscribe(health, "/diagnostics", self._show_health)
        if now >= self._ask_at:
            self._ask_at = now + ASK_S
            self._ask_for_cameras(tuple(self._cameras))

    def _open(self) -> None:
        """Start the server, or report why it cannot run."""
        p = self._main.value
        robot = Robot(self._board, self._picture, self._call_service, self.get_logger().error)
        try:
            self._server = ConsoleServer(p.address, p.port, p.token, robot)
        except (OSError, ValueError) as error:
            self._trouble = f"no page at {p.address}, port {p.port}: {error}"
            self.warn(self._trouble, interval=60.0)
        else:
            self._trouble = ""
            self.get_logger().info(f"the console is at {self.url}")

    def _close(self) -> None:
        """Unsubscribe and forget the state, which is outdated when a page opens again."""
        if self._topics.is_open:
            self._topics.close()
            self._set_cameras([])
            self._board.forget(EVENTS)

    def _show(self, name: str, keep: int, message: ros.Message) -> None:
        self._board.put(name, to_json(message), keep)

    def _show_labels(self, name: str, keep: int, message: ros.Message) -> None:
        """Show the best labels of each group: a vocabulary has hundreds."""
        for group in message.groups:
            group.labels = list(group.labels)[:MOST_LABELS]
        self._show(name, keep, message)

    def _show_health(self, message: ros.Message) -> None:
        """Show the diagnostics of this robot's nodes, by node."""
        own = f"{self.get_namespace().strip('/')}/"
        found = [one for one in message.status if one.name.startswith(own)]
        if found:
            node = found[0].name.partition(":")[0]
            self._board.put(f"diagnostics/{node}", [to_json(one) for one in found])

    def _ask_for_cameras(self, known: Sequence[str]) -> None:
        """Read from perception_node its cameras, and the parameters of those already known."""
        kind, client = self._perception
        if self._asked is not None:
            client.remove_pending_request(self._asked)  # it has restarted meanwhile
            self._asked = None
        if not client.service_is_ready():
            self.warn(f"no pictures: there is no service '{client.srv_name}'")
            return
        names = [f"{camera}.{field}" for camera in known for field in VIEW]
        self._asked = client.call_async(kind.Request(names=["cameras", *names]))
        self._asked.add_done_callback(lambda done: self._on_cameras(known, done.result()))

    def _on_cameras(self, known: Sequence[str], reply: ros.Message) -> None:
        self._asked = None
        if not self._topics.is_open:
            return
        if not reply.values:  # it does not have all of these parameters (any more)
            self.warn(f"no pictures: perception_node has no parameters of {', '.join(known)}")
            self._set_cameras([])
            return
        names, *values = reply.values
        cameras = [str(name) for name in names.string_array_value]
        if cameras != list(known):
            self._ask_for_cameras(cameras)
            return
        rows = [values[at : at + len(VIEW)] for at in range(0, len(values), len(VIEW))]
        views = [
            CameraView(
                name,
                str(topic.string_value),
                str(transport.string_value),
                tuple(map(int, crop.integer_array_value)),
                int(rotate.integer_value),
            )
            for name, (topic, transport, crop, rotate) in zip(cameras, rows, strict=True)
        ]
        try:
            for view in views:
                ros.check_name(self, view.topic)
                ros.check_name(self, f"{view.name}/labels")
        except ValueError as error:
            self.warn(f"no pictures: perception_node has an invalid topic name: {error}")
        else:
            self._set_cameras(views)

    def _set_cameras(self, views: Iterable[CameraView]) -> None:
        """Show these cameras and no others."""
        p, before = self._main.value, self._cameras
        wanted = {view.name: view for view in views}
        kept = {name: one for name, one in before.items() if wanted.get(name) == one.view}
        for name in before.keys() - kept.keys():
            before[name].close()
        self._cameras = {
            name: kept.get(name) or ConsoleCamera(self, view, p.picture_width, p.picture_rate)
            for name, view in wanted.items()
        }
        for camera in self._cameras.values():
            camera.look_for_trouble()
        if before.keys() != wanted.keys():
            self._of_cameras.close()
            for name in wanted:
                for kind, topic, qos in OF_CAMERA:
                    show = self._show_labels if topic == "labels" else self._show
                    full = f"{name}/{topic}"
                    self._of_cameras.subscribe(kind, full, partial(show, full, 1), qos)
            self._board.put("cameras", list(wanted))

    def _picture(self, name: str, after: int) -> tuple[int, bytes] | None:
        """The next picture of a camera as JPEG; in a thread of the server."""
        camera = self._cameras.get(name)
        if camera is None:
            known = ", ".join(self._cameras) or "none yet"
            raise Refused(404, f"camera is {name[:80]!r}, allowed: {known}")
        try:
            picture = camera.picture(after)
        except FrameError as error:
            raise Refused(422, f"the image cannot be converted: {error}") from error
        if picture is None and camera.trouble:
            raise Refused(503, camera.trouble)
        return picture

    def _call_service(self, service: str, fields: object) -> Any:
        """Call a service and wait for its reply; in a thread of the server."""
        if service not in self._callers:
            raise Refused(404, f"service is {service[:80]!r}, allowed: {', '.join(SERVICES)}")
        kind, client = self._callers[service]
        try:
            request = from_json(kind.Request, fields)
        except ValueError as error:
            raise Refused(400, str(error)) from error
        executor, timeout = self.executor, self._main.value.request_timeout
        if executor is None:
            raise Refused(503, "the console is being shut down")
        replies: queue.SimpleQueue[Any] = queue.SimpleQueue()
        sent: list[Any] = []
        executor.create_task(partial(_send, client, request, sent, replies.put))
        try:
            reply = replies.get(timeout=timeout)
        except queue.Empty:
            for future in sent:
                client.remove_pending_request(future)
            late = f"no reply from '{client.srv_name}' within {timeout:g} s"
            raise Refused(504, late) from None
        if reply is None:
            raise Refused(503, f"no service '{client.srv_name}': is its node running?")
        return to_json(reply)

    def _parts(self) -> list[Part]:
        watched = self._topics.is_open
        fine = "a page looks" if watched else "no page looks"
        port = self._server.server_address[1] if self._server else 0
        values = {"address": self._main.value.address, "port": port, "cameras": len(self._cameras)}
        return [checked("page", self._trouble, fine, values, ERROR)]


def _send(
    client: ros.Client, request: ros.Message, sent: list[Any], on_reply: Callable[[Any], None]
) -> None:
    """Call a service in the executor's thread; the reply is None if it does not exist."""
    if not client.service_is_ready():
        on_reply(None)
        return
    sent.append(client.call_async(request))
    sent[0].add_done_callback(lambda done: on_reply(done.result()))
