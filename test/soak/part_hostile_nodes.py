"""Hostile input to live nodes: a hundred thousand images, requests, messages and parameter sets.

Two cameras: `rear` sends pictures all the time, everything else is made to do harm: mutated images
on `front`, mutated requests to every service, mutated messages on the topics between the nodes,
parameters of every node set to values of every kind, and bytes that are no message.

Judged: no node ends, `rear` is embedded all the time, every request has a reply, the diagnostics
say what is wrong, no node grows.
"""

from __future__ import annotations

import itertools
import random
import struct
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fuzz_images
import fuzz_wire
from graph import Graph, image, status
from robot import Robot

from vljepa_ros import ros
from vljepa_ros.ros.builtin.cdr import encode
from vljepa_ros.ros.builtin.dds import DdsError

CASES = 100_000
QUIET = 100  # cases of nothing, for comparison
IMAGE_S = 0.005  # between two images of `front`: more of them than any camera sends
SHARES = {"images": 0.3, "requests": 0.3, "messages": 0.2, "parameters": 0.1, "bytes": 0.1}
AT_ONCE = 8  # requests that wait for their replies
PERIOD_S = 0.1  # of the images of `rear`
SILENCE_S = 2.0  # between two embeddings of `rear`, at 5 Hz, beside a machine's other work
PATIENCE_S = 60.0  # for a reply; a request may itself ask to wait for up to ten seconds
GROWTH_MIB = 32.0  # of a node in a phase, from a quarter of it on
CACHES_MIB = 160.0  # that the memory node fills; see doc/memory.md
NODES = ("perception_node", "selective_decoder_node", "trigger_node", "memory_node", "console_node")
SERVICES = {
    **{"answer_question": "AnswerQuestion", "answer_questions": "AnswerQuestions"},
    **{"answer_about_image": "AnswerAboutImage", "encode_text": "EncodeText"},
    **{"set_labels": "SetLabels", "teach": "Teach", "describe": "Describe"},
    **{"add_triggers": "AddTriggers", "remove_triggers": "RemoveTriggers"},
    "find_moments": "FindMoments",
}
TOPICS = {
    **{"front/embeddings": "Embedding", "front/labels": "SceneLabels", "events": "SceneEvent"},
    **{"model_info": "ModelInfo", "vocabulary": "Vocabulary", "front/scene": "SceneEvent"},
    **{"triggers": "TriggerEvent", "front/trigger_state": "TriggerState"},
}


def run(scale: float, folder: Path) -> dict[str, Any]:
    """Figures of the part; see `run.py`."""
    cameras = {"front": "/front/image", "rear": "/rear/image"}
    parameters = {
        "perception_node": {"always_on": True, "judge_domain": False, "image_timeout": 2.0}
    }
    nodes = NODES
    with Robot(folder, parameters, nodes, cameras, respawn=False) as robot:
        graph = Graph()
        try:
            attack = Attack(graph, robot)
            quiet = attack.phase("quiet", QUIET)
            phases = {"quiet": quiet} | {
                name: attack.phase(name, round(CASES * scale * share))
                for name, share in SHARES.items()
            }
        finally:
            graph.close()
    missed = [f"{name}: {one}" for name, done in phases.items() for one in done.pop("missed")]
    missed += [f"{name} ended with {code}; asked: no node ends" for name, code in robot.exits]
    for name in NODES:
        _, *errors = robot.log(name).split("Traceback (most recent")
        if errors:
            kinds = Counter(one[:2000].partition("\n[")[0].strip()[-300:] for one in errors)
            missed.append(f"{len(errors)} tracebacks of {name}; asked: none; {dict(kinds)}")
    return {
        "cases": sum(done["cases"] for done in phases.values()) - QUIET,
        "phases": phases,
        "missed": missed,
    }


class Attack:
    """What is sent, and what the nodes make of it."""

    def __init__(self, graph: Graph, robot: Robot) -> None:
        self.graph, self.robot = graph, robot
        self._rear = graph.camera("/rear/image")
        self._front = graph.camera("/front/image")
        self._due = self._last = 0.0
        self._silence = self._allowed = 0.0
        self._counts: Counter[str] = Counter()
        self._slowest = 0.0
        self._model = ""
        subscribe = graph.client.create_subscription
        subscribe(ros.interface("vljepa_ros/msg/Embedding"), "rear/embeddings", self._seen, 10)
        self._diagnostics = graph.listen("diagnostic_msgs/msg/DiagnosticArray", "/diagnostics")
        if not graph.spin(lambda: self._last, 300.0, again=self._stream):
            raise RuntimeError("no embedding of the camera 'rear' within 300 s")
        self._clients = {
            name: graph.client.create_client(ros.interface(f"vljepa_ros/srv/{kind}"), name)
            for name, kind in SERVICES.items()
        }
        for name, client in self._clients.items():
            if not graph.spin(client.service_is_ready, 120.0, again=self._stream):
                raise RuntimeError(f"no server of {name}")
        self._publishers = {
            topic: graph.publisher(f"vljepa_ros/msg/{kind}", topic)
            for topic, kind in TOPICS.items()
        }

    def phase(self, name: str, cases: int) -> dict[str, Any]:
        """One kind of input; figures, and what is missed."""
        print(f"{name}: {cases} cases", file=sys.stderr, flush=True)
        self._counts, self._slowest, self._silence = Counter(), 0.0, 0.0
        draw = random.Random(f"hostile nodes/{name}")
        makers: dict[str, Callable[[random.Random], Iterator[None]]] = {
            "quiet": self._quiet,
            "images": self._images,
            "requests": self._requests,
            "messages": self._messages,
            "parameters": self._parameters,
            "bytes": self._bytes,
        }
        begin, settled = time.monotonic(), self._resident()
        steps = makers[name](draw)
        for number in range(cases):
            if number == cases // 4:
                settled = self._resident()
            next(steps)
            self._stream()
            self.graph.executor.spin_once(timeout_sec=0.0)
        steps.close()
        reported = self._reported(name)
        grown = {
            node: round(now - settled.get(node, now), 1) for node, now in self._resident().items()
        }
        lives = self._lives()
        missed = [
            f"{node} grew by {mib} MiB; asked: at most {GROWTH_MIB:g} (memory: {CACHES_MIB:g})"
            for node, mib in grown.items()
            if mib > (CACHES_MIB if node == "memory_node" else GROWTH_MIB)
        ]
        if name == "quiet":
            self._allowed = max(SILENCE_S, 2 * self._silence)
        if self._silence > self._allowed:
            missed.append(
                f"rear was not embedded for {self._silence:.1f} s; asked: {self._allowed:.1f} (in "
                "the same run twice the longest pause without hostile input, and at least 2)"
            )
        if lost := self._counts["without a reply"]:
            missed.append(f"{lost} requests without a reply; asked: none")
        failed = [one for one in self._counts if one.startswith("FAILED")]
        missed += [f"{one}, an error inside a node; asked: none" for one in failed]
        if any("without a reason" in one for one in self._counts):
            missed.append("refusals without a reason; asked: none")
        if not reported:
            missed.append("the diagnostics do not say so; asked: they do")
        missed += [f"{what} at the end; asked: it is" for what, good in lives.items() if not good]
        return {
            "cases": cases,
            "seconds": round(time.monotonic() - begin),
            "outcomes": dict(self._counts.most_common()),
            "slowest_reply_s": round(self._slowest, 2),
            "longest_silence_of_rear_s": round(self._silence, 2),
            "growth_mib": grown,
            "missed": missed,
        }

    # ---- what is sent

    def _quiet(self, draw: random.Random) -> Iterator[None]:
        """Nothing."""
        while True:
            self.graph.spin(lambda: False, PERIOD_S, again=self._stream)
            yield

    def _images(self, draw: random.Random) -> Iterator[None]:
        """Every image that `fuzz_images` makes, as a message."""
        kind = ros.interface("sensor_msgs/msg/Image")
        sent: list[Any] = []
        original, fuzz_images.outcome = fuzz_images.outcome, lambda one: sent.append(one) or ""
        try:
            while True:
                fuzz_images.raw(draw)
                made = sent.pop()
                message = kind()
                message.header.stamp = self.graph.client.get_clock().now().to_msg()
                if draw.random() < 0.1:
                    message.header = fuzz_wire.message(draw, "std_msgs/msg/Header")
                fields = {name: getattr(made, name) for name in ("height", "width", "encoding")}
                fields |= {"is_bigendian": made.is_bigendian, "step": min(made.step, 2**32 - 1)}
                for name, value in fields.items():
                    setattr(message, name, value)
                message.data = bytes(made.data)
                self._front.publish(message)
                self._counts["sent"] += 1
                self.graph.spin(lambda: False, IMAGE_S, again=self._stream)
                yield
        finally:
            fuzz_images.outcome = original

    def _requests(self, draw: random.Random) -> Iterator[None]:
        """Requests to every service, some of them good."""
        waiting: list[tuple[Any, float, str, Any]] = []
        while True:
            name = draw.choice(list(SERVICES))
            request = fuzz_wire.message(draw, f"vljepa_ros/srv/{SERVICES[name]}_Request")
            for field in ("camera", "like_camera"):
                if hasattr(request, field) and draw.random() < 0.7:
                    setattr(request, field, "rear")
            if hasattr(request, "wait"):  # it may ask for ten seconds; see PATIENCE_S
                request.wait = ros.Duration(seconds=draw.choice((0.0, 0.0, -1.0, 0.2))).to_msg()
            client = self._clients[name]
            waiting.append((client.call_async(request), time.monotonic(), name, client))
            while len(waiting) >= AT_ONCE:
                self._stream()
                self.graph.executor.spin_once(timeout_sec=0.005)
                waiting = [one for one in waiting if not self._replied(*one)]
            yield

    def _replied(self, future: Any, sent: float, name: str, client: Any) -> bool:
        late = time.monotonic() - sent
        if not future.done():
            if late < PATIENCE_S:
                return False
            client.remove_pending_request(future)
            self._counts["without a reply"] += 1
            self._counts[f"without a reply: {name}"] += 1
            return True
        result = future.result().result
        names = {value: key for key, value in _constants(type(result)).items()}
        silent = result.code not in (result.OK, result.PENDING) and not result.message
        code = names.get(result.code, result.code)
        code = f"{code}: {name}" if code in ("TIMEOUT", "FAILED") else code
        self._counts[f"{code}{' without a reason' if silent else ''}"] += 1
        self._slowest = max(self._slowest, late)
        return True

    def _messages(self, draw: random.Random) -> Iterator[None]:
        """What nodes send each other, of the right model mostly."""
        while True:
            topic = draw.choice(list(TOPICS))
            message = fuzz_wire.message(draw, f"vljepa_ros/msg/{TOPICS[topic]}")
            fields = {"model_id": self._model, "camera": topic.partition("/")[0]}
            for field, value in fields.items():
                if hasattr(message, field) and draw.random() < 0.7:
                    setattr(message, field, value)
            if hasattr(message, "vector") and draw.random() < 0.5:
                values = draw.choice(((0.0,), (1.0,), (float("nan"),), (1e38, -1e38), (0.1, -0.2)))
                message.vector = list(itertools.islice(itertools.cycle(values), 256))
            self._publishers[topic].publish(message)
            self._counts["sent"] += 1
            yield

    def _parameters(self, draw: random.Random) -> Iterator[None]:
        """Every parameter of every node; what was taken is set back at once."""
        kind = ros.interface("rcl_interfaces/srv/SetParameters")
        listing = ros.interface("rcl_interfaces/srv/ListParameters")
        reading = ros.interface("rcl_interfaces/srv/GetParameters")
        known = {}
        for node in NODES:
            reply = self._call(listing, f"{node}/list_parameters", listing.Request())
            names = [name for name in reply.result.names if "front" not in name or draw.random()]
            values = self._call(reading, f"{node}/get_parameters", reading.Request(names=names))
            known[node] = dict(zip(names, values.values, strict=True))
        while True:
            node = draw.choice(NODES)
            name = draw.choice([*known[node], "no_such", "", "a" * 300])
            message = ros.interface("rcl_interfaces/msg/Parameter")(name=name)
            message.value = fuzz_wire.message(draw, "rcl_interfaces/msg/ParameterValue")
            message.value.type = draw.choice((message.value.type, *range(11), 255))
            if name in known[node] and draw.random() < 0.7:
                message.value.type = known[node][name].type
            request = kind.Request(parameters=[message])
            reply = self._call(kind, f"{node}/set_parameters", request)
            results = reply.results if reply is not None else []
            taken = any(one.successful for one in results)
            silent = any(not one.successful and not one.reason for one in results)
            self._counts[
                "refused without a reason" if silent else "set" if taken else "refused"
            ] += 1
            if taken and name in known[node]:
                back = ros.interface("rcl_interfaces/msg/Parameter")(name=name)
                back.value = known[node][name]
                self._call(kind, f"{node}/set_parameters", kind.Request(parameters=[back]))
            yield

    def _bytes(self, draw: random.Random) -> Iterator[None]:
        """Bytes near a message, to topics and services; of the built-in runtime alone."""
        identity = struct.pack("=Qq", 1, 1)
        while True:
            if ros.RUNTIME != "builtin":
                yield
                continue
            if draw.random() < 0.5:
                topic = draw.choice(list(TOPICS))
                name = f"vljepa_ros/msg/{TOPICS[topic]}"
                writer, prefix = self._publishers[topic].writer, b""
            else:
                service = draw.choice(list(SERVICES))
                name = f"vljepa_ros/srv/{SERVICES[service]}_Request"
                writer, prefix = self._clients[service].writer, identity
            made = encode(fuzz_wire.message(draw, name), prefix)
            data = fuzz_wire.mutated(draw, made)
            try:
                writer.write(data)
                self._counts["sent"] += 1
            except DdsError:  # a header that DDS itself refuses to send
                self._counts["not sent"] += 1
            yield

    # ---- what comes back

    def _stream(self) -> None:
        """The next image of `rear`, when it is due."""
        now = time.monotonic()
        if now >= self._due:
            self._due = now + PERIOD_S
            stamp = self.graph.client.get_clock().now().nanoseconds
            self._rear.publish(image("green" if stamp // 10**10 % 2 else "red", stamp))

    def _seen(self, message: Any) -> None:
        now = time.monotonic()
        if self._last:
            self._silence = max(self._silence, now - self._last)
        self._last, self._model = now, message.model_id

    def _call(self, kind: Any, name: str, request: Any) -> Any:
        client = self._clients.get(name)
        if client is None:
            client = self._clients[name] = self.graph.client.create_client(kind, name)
            self.graph.spin(client.service_is_ready, PATIENCE_S, again=self._stream)
        begin = time.monotonic()
        future = client.call_async(request)
        if not self.graph.spin(future.done, PATIENCE_S, again=self._stream):
            self._counts["without a reply"] += 1
            return None
        self._slowest = max(self._slowest, time.monotonic() - begin)
        return future.result()

    def _resident(self) -> dict[str, float]:
        return {
            name: process.memory_info().rss / 2**20
            for name, process in self.robot.processes().items()
        }

    def _reported(self, phase: str) -> bool:
        """Whether the diagnostics say that images are refused; other input has replies."""
        del self._diagnostics[:-20]
        if phase != "images":
            return True
        found = status(self._diagnostics, "perception_node: camera front")
        return found is not None and found.level != found.OK

    def _lives(self) -> dict[str, bool]:
        """Whether each node does its work still."""
        del self._diagnostics[:]
        before = self._last
        embeds = self.graph.spin(lambda: self._last > before, PATIENCE_S, again=self._stream)
        silent = [
            node
            for node in NODES
            if not self.graph.spin(
                lambda node=node: status_of(self._diagnostics, node), 30.0, again=self._stream
            )
        ]
        found = {"rear is not embedded": embeds}
        return found | {f"{node} sends no diagnostics": False for node in silent}


def status_of(received: list[Any], node: str) -> bool:
    """Whether a node has sent diagnostics."""
    return any(node in one.name for message in received for one in message.status)


def _constants(kind: Any) -> dict[str, int]:
    return {name: getattr(kind, name) for name in dir(kind) if name.isupper()}
