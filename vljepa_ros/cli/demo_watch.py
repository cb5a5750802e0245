"""Watches the demo's nodes from outside: topics into a DemoRecord, questions from another
process."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from vljepa_ros import ros
from vljepa_ros.cli.client import GraphClient
from vljepa_ros.cli.demo_record import Answer, DemoRecord, Said, Truth
from vljepa_ros.cli.demo_view import DemoView
from vljepa_ros.cli.events import event_as_dict
from vljepa_ros.cli.options import CliError, seconds_of
from vljepa_ros.cli.processes import PackageProcess

STARTUP_SECONDS = 90.0
SILENCE_SECONDS = 15.0  # without an embedding, once they came
CAMERA = "front"


@dataclass(frozen=True)
class _Question:
    """A question of the demo, when it is asked (share of its length), and the truth in a state."""

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
    """Turns messages into entries of a DemoRecord. Cosine distances are taken to the last told
    state."""

    def __init__(self, record: DemoRecord, namespace: str) -> None:
        self.record = record
        self._nodes = namespace.lstrip("/")
        self.states: list[tuple[float, dict[str, Any]]] = []
        self.last_embedding = 0.0  # monotonic seconds
        self.ailing = ""  # a node's own report of an error
        self._told: Sequence[float] | None = None

    def on_embedding(self, message: Any) -> None:
        import numpy as np

        self.last_embedding = time.monotonic()
        self.record.latencies.append(float(message.latency))
        if self._told is not None:
            vector = np.asarray(message.vector, dtype=np.float32)
            drift = max(0.0, 1.0 - float(vector @ np.asarray(self._told, dtype=np.float32)))
            self.record.drifts.append((seconds_of(message.header.stamp), drift))

    def on_event(self, message: Any) -> None:
        event = event_as_dict(message)
        self.record.events.append(event)
        heard = event["stamp"] + event["latency"]
        self.record.said.append(
            Said(
                event["stamp"],
                event["onset"],
                heard,
                event["text"],
                event["decoded"],
                event["confidence"],
                event["reason"],
            )
        )

    def on_scene(self, message: Any) -> None:
        """The present state, told at each decode and now and then in between."""
        if message.reason == message.HEARTBEAT:
            return
        self.record.decodes += 1
        if len(message.vector) > 0:
            self._told = list(message.vector)

    def on_status(self, message: Any) -> None:
        """Take the threshold from the decoder's diagnostics, and what ails any node."""
        for status in message.status:
            own = status.name.startswith(f"{self._nodes}/")
            if own and status.level == status.ERROR:
                self.ailing = f"{status.name}: {status.message}"
            if status.name.startswith(f"{self._nodes}/selective_decoder_node: "):
                values = {pair.key: pair.value for pair in status.values}
                self.record.threshold = float(values.get("threshold", self.record.threshold))

    def on_truth(self, message: Any) -> None:
        stamp = seconds_of(message.header.stamp)
        self.record.truths.append(
            Truth(stamp, message.event, message.object, message.caption, tuple(message.valid_texts))
        )
        self.states.append((stamp, json.loads(message.state)))

    def state_at(self, stamp: float) -> dict[str, Any] | None:
        return next((state for at, state in reversed(self.states) if at <= stamp + 1e-6), None)


class _Asker:
    """Asks one question with `vljepa ask` in a process of its own, without waiting for it."""

    def __init__(self, question: _Question, graph_options: Sequence[str]) -> None:
        self.question = question
        self._options = ["--json", "--camera", CAMERA, "--timeout", "10", *graph_options]
        self._process: PackageProcess | None = None

    def start(self) -> None:
        text, candidates = self.question.text, self.question.candidates
        self._process = PackageProcess(
            "vljepa_ros.cli.main", ["ask", text, *candidates, *self._options]
        )
        self._process.__enter__()

    @property
    def started(self) -> bool:
        return self._process is not None

    def poll(self, watcher: _Watcher) -> bool:
        """Take the answer if it is there."""
        assert self._process is not None
        if not self._process.ended():
            return False
        reply = json.loads(self._process.finish(0.0))
        state = watcher.state_at(reply["stamp"])
        watcher.record.answers.append(
            Answer(
                reply["stamp"],
                self.question.text,
                reply["answer"],
                max(reply["scores"]),
                reply["seconds"],
                "" if state is None else self.question.truth(state),
            )
        )
        return True

    def close(self) -> None:
        if self._process is not None:
            self._process.__exit__(None, None, None)


def watch(
    graph: GraphClient,
    nodes: PackageProcess,
    record: DemoRecord,
    view: DemoView,
    seconds: float,
    graph_options: Sequence[str],
) -> None:
    """Fill `record` for `seconds` seconds from the first embedding on.

    :raises ProcessFailed: the nodes or a question failed.
    :raises CliError: no embedding came, or they stopped coming.
    """
    watcher = _Watcher(record, graph.namespace)
    reliable = ros.QoSProfile(depth=10)
    graph.subscribe("vljepa_ros/msg/SceneEvent", f"{CAMERA}/scene", watcher.on_scene, reliable)
    graph.subscribe(
        "diagnostic_msgs/msg/DiagnosticArray", "/diagnostics", watcher.on_status, reliable
    )
    graph.subscribe(
        "vljepa_ros/msg/Embedding", f"{CAMERA}/embeddings", watcher.on_embedding, reliable
    )
    graph.subscribe("vljepa_ros/msg/SceneEvent", "events", watcher.on_event, reliable)
    graph.subscribe("vljepa_ros/msg/GroundTruth", "ground_truth", watcher.on_truth, reliable)
    _wait_for_start(graph, nodes, watcher, view)
    begin = time.monotonic()
    waiting = [_Asker(question, graph_options) for question in QUESTIONS]
    askers = list(waiting)
    try:
        while (elapsed := time.monotonic() - begin) < seconds or any(a.started for a in waiting):
            graph.spin(lambda: False, timeout=0.2)
            _check(nodes, watcher)
            if time.monotonic() - watcher.last_embedding > SILENCE_SECONDS:
                raise CliError(
                    f"no embedding for {SILENCE_SECONDS:g} s; the nodes said: "
                    f"{nodes.output()[-400:]}"
                )
            for asker in list(waiting):
                if not asker.started and elapsed >= asker.question.at * seconds:
                    asker.start()
                elif asker.started and asker.poll(watcher):
                    waiting.remove(asker)
            view.refresh(elapsed)
    finally:
        for asker in askers:
            asker.close()


def _wait_for_start(
    graph: GraphClient, nodes: PackageProcess, watcher: _Watcher, view: DemoView
) -> None:
    end = time.monotonic() + STARTUP_SECONDS
    while not watcher.last_embedding:
        graph.spin(lambda: bool(watcher.last_embedding), timeout=0.2)
        _check(nodes, watcher)
        view.refresh(0.0)
        if time.monotonic() > end:
            raise CliError(
                f"no embedding within {STARTUP_SECONDS:g} s of the start; the nodes said: "
                f"{nodes.output()[-400:]}"
            )


def _check(nodes: PackageProcess, watcher: _Watcher) -> None:
    nodes.check()
    if watcher.ailing:
        raise CliError(f"a node failed: {watcher.ailing}")
