"""Labels by example on the real middleware, from the first recording to a restart."""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np
import pytest
from graph import COLOURS, MODEL, Graph

from vljepa_ros import ros
from vljepa_ros.nodes.perception_node import PerceptionNode
from vljepa_ros.nodes.trigger_node import TriggerNode
from vljepa_ros.perception.teacher import Taught, Teacher
from vljepa_ros.resources import kept_by

TEACH = ros.interface("vljepa_ros/srv/Teach")
RESULT = ros.interface("vljepa_ros/msg/Result")
RED, BLUE = "the red lamp is on", "the blue lamp is on"


def teach(graph: Graph, operation: str, name: str = "", **fields: Any) -> tuple[str, str, Any]:
    """The code's name, the message, and the reply."""
    reply = graph.call(
        "vljepa_ros/srv/Teach",
        "teach",
        operation=getattr(TEACH.Request, operation),
        name=name,
        **fields,
    )
    codes = ("OK", "PENDING", "BUSY", "STALE", "BAD_REQUEST", "UNKNOWN_CAMERA", "UNKNOWN_ID",
             "UNSUPPORTED", "FAILED", "NOT_ACTIVE", "TIMEOUT")  # fmt: skip
    code = next(c for c in codes if getattr(RESULT, c) == reply.result.code)
    return code, reply.result.message, reply


class Room:
    """A perception node whose camera shows one colour or another, no two images alike."""

    def __init__(self, graph: Graph, **parameters: Any) -> None:
        self.graph = graph
        self.node = graph.add(PerceptionNode, model=MODEL, max_rate=1000.0, **parameters)
        self.random = np.random.default_rng(0)
        self.camera = graph.camera()

    def show_one(self, colour: str) -> None:
        pixels = np.array(COLOURS[colour]) + self.random.normal(0, 12, (60, 80, 3))
        self.graph.show_one(self.camera, data=np.clip(pixels, 0, 255).astype(np.uint8).tobytes())

    def show(self, colour: str, clips: int) -> None:
        """Until so many clips were embedded."""
        wanted = self.node.pipeline.clips + clips
        assert self.graph.spin(
            lambda: self.node.pipeline.clips >= wanted, again=lambda: self.show_one(colour)
        )

    def record(self, colour: str, clips: int = 24, **fields: Any) -> tuple[str, str, Any]:
        """What STOP replies."""
        code, text, _ = teach(self.graph, "START", **{"name": RED, "other": BLUE, **fields})
        assert code == "PENDING", text
        self.show(colour, clips)
        return teach(self.graph, "STOP")


def test_a_state_is_shown_and_then_used_like_a_text(graph: Graph) -> None:
    room = Room(graph)
    node = room.node
    watcher = graph.add(TriggerNode, triggers=[RED], settle=0.0)
    progress = graph.listen("vljepa_ros/msg/TeachProgress", "teach_progress")
    states = graph.listen("vljepa_ros/msg/TriggerState", "front/trigger_state", latched=True)

    for operation, fields, code, message in (
        ("STOP", {}, "BAD_REQUEST", "no recording is running"),
        (
            "START",
            {"name": RED, "other": BLUE, "camera": "rear"},
            "UNKNOWN_CAMERA",
            "allowed: front",
        ),
        ("START", {"name": RED, "other": RED}, "BAD_REQUEST", "allowed: two states"),
        ("START", {"name": RED}, "BAD_REQUEST", "other, the state that it is distinguished from"),
        ("START", {"name": "a" * 129, "other": RED}, "BAD_REQUEST", "129 characters"),
        ("START", {"name": "a | b", "other": RED}, "BAD_REQUEST", "allowed: no '|'"),
        ("FORGET", {"name": RED}, "UNKNOWN_ID", "there are: none"),
        ("LIST", {"name": RED}, "UNKNOWN_ID", "there are: none"),
    ):
        found, text, _ = teach(graph, operation, **fields)
        assert (found, message in text) == (code, True), text

    code, text, reply = room.record("red", 5)
    assert code == "PENDING"
    assert "frames show" in text
    assert "allowed: 20 or more" in text
    assert reply.labels[0].frames < 20
    assert not reply.labels[0].usable
    assert teach(graph, "START", RED, other="the lamp is off")[1].endswith("or forget it")
    code, text, _ = room.record("red", name="again", other="the same")
    assert code == "PENDING"
    assert "0 frames show 'the same'" in text
    code, text, _ = room.record("red", name="again", other="the same", showing_other=True)
    assert code == "BAD_REQUEST"
    assert "too alike" in text
    room.record("red")
    teach(graph, "START", RED, showing_other=True)
    assert teach(graph, "START", RED)[0] == "BUSY"
    assert teach(graph, "FORGET", RED)[0] == "BUSY"
    room.show("blue", 24)
    assert graph.spin(lambda: progress and progress[-1].frames >= 20)
    code, text, reply = teach(graph, "STOP", RED)
    assert (code, text) == ("OK", "")
    (label,) = reply.labels
    assert label.usable
    assert label.recordings == 3
    assert list(label.cameras) == ["front"]
    assert math.isnan(label.accuracy), "the other state was recorded once"
    assert progress[-1].needed == 20
    assert progress[-1].separability > 0.9
    assert not progress[-1].too_alike
    assert progress[-1].header.frame_id == "front_optical"

    # a vocabulary, a trigger
    labels = graph.listen("vljepa_ros/msg/SceneLabels", "front/labels")
    fields = {"prompt": "lamp", "labels": [RED, "a dog"]}
    assert graph.call("vljepa_ros/srv/SetLabels", "set_labels", **fields).result.code == 0

    def shows(colour: str, best: str, state: int) -> bool:
        def both() -> bool:
            groups = [g for g in labels[-1].groups if g.prompt == "lamp"] if labels else []
            is_best = any((g.labels[0].text == best) == (g.labels[0].score > 0.5) for g in groups)
            return bool(groups) and is_best and states[-1].triggers[0].state == state

        return graph.spin(both, again=lambda: room.show_one(colour))

    assert shows("red", RED, 2), states[-1]
    assert shows("blue", "a dog", 1), states[-1]
    assert watcher.parts()[0].message.startswith("1 triggers")

    # a restart, another name, forgotten
    (folder,) = {kept_by(node.get_fully_qualified_name(), ".taught")}
    (folder / f"damaged{next(folder.iterdir()).suffix}").write_bytes(b"no label")
    node.trigger_deactivate(), node.trigger_cleanup()
    assert node.trigger_configure() == node.trigger_activate()
    code, text, reply = teach(graph, "LIST")
    assert code == "OK"
    assert "damaged" in text
    assert [(one.name, one.usable) for one in reply.labels] == [("again", False), (RED, True)]
    assert "cannot be used" in next(p for p in node.parts() if p.name == "taught labels").message
    assert teach(graph, "RENAME", RED, new_name="again")[0] == "BAD_REQUEST"
    assert teach(graph, "RENAME", RED, new_name="lit")[0] == "OK"
    encoded = graph.call("vljepa_ros/srv/EncodeText", "encode_text", texts=["lit", RED])
    assert encoded.logit_scales[0] != encoded.logit_scales[1], "a direction, and a text again"
    refused = graph.call("vljepa_ros/srv/EncodeText", "encode_text", texts=["again"])
    assert "'again' is a taught label that cannot be used" in refused.result.message
    assert teach(graph, "FORGET", "lit")[0] == teach(graph, "FORGET", "again")[0] == "OK"
    assert teach(graph, "LIST")[2].labels == []


def test_a_request_that_takes_too_long_is_answered(
    graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as one for a memory whose object storage hangs."""
    Room(graph, request_timeout=0.3)
    release = threading.Event()
    monkeypatch.setattr(Teacher, "listed", lambda self, name: release.wait() and Taught())
    code, text, _ = teach(graph, "LIST")
    release.set()
    assert (code, text) == ("TIMEOUT", "still at work after 0.3 s: LIST says how it ended")
