"""Observes the nodes of a demo: records their topics, and asks questions."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vljepa_ros import ros
from vljepa_ros.cli.client import GraphClient
from vljepa_ros.cli.demo_record import Answer, DemoRecord, PublishedText, Truth
from vljepa_ros.cli.demo_view import DemoView
from vljepa_ros.cli.events import event_as_dict
from vljepa_ros.cli.options import CliError, seconds_of
from vljepa_ros.cli.processes import PackageProcess

STARTUP_TIMEOUT_S = 90.0
SILENCE_TIMEOUT_S = 15.0  # without an embedding, once they came
REPLY_TIMEOUT_S = 10.0
CAMERA = "front"


@dataclass(frozen=True)
class _Question:
    """A question, when it is asked (share of the demo's length), and its true answer."""

    text: str
    candidates: tuple[str, ...]
    at: float
    truth: Callable[[dict[str, Any]], str]


QUESTIONS = (
    _Question(
        "is anybody in here?", ("yes", "no"), 0.3, lambda s: "yes" if s["person"] > 0.5 else "no"
    ),
    _Question(
        "is the door open or closed?",
        ("open", "closed"),
        0.65,
        lambda s: "open" if s["door"] > 0.5 else "closed",
    ),
)


class _Watcher:
    """Turns messages into entries of a DemoRecord.

    Cosine distances are from the last published state.
    """

    def __init__(self, graph: GraphClient, nodes: PackageProcess, record: DemoRecord) -> None:
        self._graph = graph
        self._nodes = nodes
        self._record = record
        self._states: list[tuple[float, dict[str, Any]]] = []
        self._published: NDArray[np.float32] | None = None  # [D], of the last published state
        self._error = ""  # a node's own report
        self.last_embedding = 0.0  # monotonic seconds
        for interface, topic, callback in (
            ("vljepa_ros/msg/SceneEvent", f"{CAMERA}/scene", self._on_scene),
            ("diagnostic_msgs/msg/DiagnosticArray", "/diagnostics", self._on_status),
            ("vljepa_ros/msg/Embedding", f"{CAMERA}/embeddings", self._on_embedding),
            ("vljepa_ros/msg/SceneEvent", "events", self._on_event),
            ("std_msgs/msg/String", "ground_truth", self._on_truth),
        ):
            graph.subscribe(interface, topic, callback, ros.QoSProfile(depth=10))

    def spin(self) -> None:
        """Receive messages for a moment.

        Raises:
            ProcessFailed: The nodes ended.
            CliError: A node reports an error.
        """
        self._graph.spin(lambda: False, timeout=0.2)
        self._nodes.check()
        if self._error:
            raise CliError(f"a node failed: {self._error}")

    def ask(self, client: ros.Client, question: _Question) -> ros.Future:
        """Ask without waiting; returns a future, whose reply is added to the record."""
        request = ros.interface("vljepa_ros/srv/AnswerQuestion").Request(
            camera=CAMERA,
            question=ros.interface("vljepa_ros/msg/Question")(
                text=question.text, candidates=list(question.candidates)
            ),
            wait=ros.Duration(seconds=REPLY_TIMEOUT_S).to_msg(),  # a busy machine may be slow
        )
        begin = time.perf_counter()
        future = client.call_async(request)

        def on_reply(done: ros.Future) -> None:
            seconds = time.perf_counter() - begin
            reply = done.result()
            if reply.result.code:
                self._error = f"'{question.text}' was refused: {reply.result.message}"
                return
            stamp = seconds_of(reply.answer.header.stamp)
            state = next((s for at, s in reversed(self._states) if at <= stamp + 1e-6), None)
            truth = "" if state is None else question.truth(state)
            text = reply.answer.answer or "(no answer)"
            score = round(max(reply.answer.scores, default=0.0), 6)
            self._record.answers.append(Answer(stamp, question.text, text, score, seconds, truth))

        future.add_done_callback(on_reply)
        return future

    def _on_embedding(self, message: ros.Message) -> None:
        self.last_embedding = time.monotonic()
        self._record.latencies.append(float(message.latency))
        if self._published is not None:
            vector = np.asarray(message.vector, dtype=np.float32)
            drift = max(0.0, 1.0 - float(vector @ self._published))
            self._record.drifts.append((seconds_of(message.header.stamp), drift))

    def _on_event(self, message: ros.Message) -> None:
        event = event_as_dict(message)
        self._record.events.append(event)
        stamp, received = event["stamp"], event["stamp"] + event["latency"]
        self._record.texts.append(
            PublishedText(stamp, event["onset"], received, event["text"], event["decoded"])
        )

    def _on_scene(self, message: ros.Message) -> None:
        """Handle a state, which is published at each decode and repeated in between."""
        if message.reason == message.HEARTBEAT:
            return
        self._record.decodes += 1
        if len(message.vector) > 0:
            self._published = np.asarray(message.vector, dtype=np.float32)

    def _on_status(self, message: ros.Message) -> None:
        """Take the threshold from the decoder's diagnostics, and errors of any node."""
        own = f"{self._graph.namespace.lstrip('/')}/"
        for status in message.status:
            if status.name.startswith(own) and status.level == status.ERROR:
                self._error = f"{status.name}: {status.message}"
            if status.name.startswith(f"{own}selective_decoder_node: "):
                values = {pair.key: pair.value for pair in status.values}
                self._record.threshold = float(values.get("threshold", self._record.threshold))

    def _on_truth(self, message: ros.Message) -> None:
        fact = json.loads(message.data)
        stamp = fact["stamp"] * 1e-9
        texts = tuple(fact["valid_texts"])
        self._record.truths.append(Truth(stamp, fact["event"], fact["object"], texts))
        self._states.append((stamp, fact["state"]))


def watch(
    graph: GraphClient, nodes: PackageProcess, record: DemoRecord, view: DemoView, seconds: float
) -> None:
    """Fill `record` for `seconds` seconds from the first embedding on, and ask the questions.

    Raises:
        ProcessFailed: The nodes ended.
        CliError: Embeddings are missing or have stopped, or a node or a question failed.
    """
    watcher = _Watcher(graph, nodes, record)
    start = time.monotonic()
    while not watcher.last_embedding:
        watcher.spin()
        view.refresh(0.0)
        if time.monotonic() > start + STARTUP_TIMEOUT_S:
            raise CliError(
                f"no embedding within {STARTUP_TIMEOUT_S:g} s of the start; output of the nodes: "
                f"{nodes.output()[-400:]}"
            )
    begin = time.monotonic()
    client = graph.connect("vljepa_ros/srv/AnswerQuestion", "answer_question", STARTUP_TIMEOUT_S)
    questions = list(QUESTIONS)
    asked: list[Any] = []
    while (elapsed := time.monotonic() - begin) < seconds or not all(f.done() for f in asked):
        watcher.spin()
        if time.monotonic() - watcher.last_embedding > SILENCE_TIMEOUT_S:
            raise CliError(
                f"no embedding for {SILENCE_TIMEOUT_S:g} s; output of the nodes: "
                f"{nodes.output()[-400:]}"
            )
        if questions and elapsed >= questions[0].at * seconds:
            asked.append(watcher.ask(client, questions.pop(0)))
        if elapsed > seconds + REPLY_TIMEOUT_S:
            raise CliError(f"no reply from {client.srv_name} after {REPLY_TIMEOUT_S:g} s")
        view.refresh(elapsed)
