"""Parameters out of range and models that cannot be loaded: named, and the node lives on."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from bad_input import DIAGNOSTICS, ask_second, second
from graph import MODEL, Graph, accepted, status

from vljepa_ros.resources import model_dir


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("labels", ["a", "a"], "appear twice: 'a'"),
        ("labels", ["which? |"], "has 0 characters"),
        ("max_rate", 0.0, "0.1"),
        ("max_rate", 1e9, "1000"),
        ("front.rotate", 45, "0, 90, 180, 270"),
        ("request_timeout", -1.0, "0.1"),
        ("abstain_below", 2.0, "1"),
        ("max_rate", "fast", "DOUBLE"),
    ],
)
def test_parameters_out_of_range(
    graph: Graph, started: Any, name: str, value: Any, reason: str
) -> None:
    before = started.get_parameter(name).value
    result = graph.set(started, name, value)
    assert not result.successful
    assert reason in result.reason
    assert started.get_parameter(name).value == before


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"max_rate": 0.0}, "max_rate"),
        ({"front__transport": "theora"}, "raw, compressed"),
        ({"max_rate": 5}, "allowed: 0.1 to 1000.0, with a decimal point"),
        ({"cameras": ["front door"]}, "a letter first, then letters, digits and _"),
        ({"cameras": ["a", "a"]}, "one or more different names"),
        ({"engine": "warp"}, "engine is 'warp', allowed: auto, "),
        ({"labels": ["a", "a"]}, "appear twice"),
    ],
)
def test_parameters_that_are_wrong_at_the_start(
    graph: Graph, parameters: dict[str, Any], reason: str
) -> None:
    diagnostics = graph.listen(DIAGNOSTICS, "/diagnostics")
    node = graph.add(second, **{"model": MODEL, **parameters})
    name = "second/vljepa/perception_node: model"
    assert graph.spin(lambda: (s := status(diagnostics, name)) and s.message)
    assert reason in status(diagnostics, name).message
    reply = ask_second(graph)
    assert not accepted(reply)
    assert "not configured" in reply.result.message
    assert node.engine is None


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    folder = tmp_path / "copied"
    shutil.copytree(model_dir(MODEL), folder, ignore=shutil.ignore_patterns("demo"))
    return folder


@pytest.mark.parametrize("damage", ["absent", "truncated", "corrupted", "missing", "not json"])
def test_models_that_cannot_be_loaded(graph: Graph, copy: Path, damage: str) -> None:
    weights = copy / "frame.onnx"
    expected = "is damaged: SHA-256"
    if damage == "absent":
        shutil.rmtree(copy)
        expected = "it is neither a folder nor one of the shipped models"
    elif damage == "truncated":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif damage == "corrupted":
        raw = bytearray(weights.read_bytes())
        raw[len(raw) // 2] ^= 255
        weights.write_bytes(bytes(raw))
    elif damage == "missing":
        weights.unlink()
        expected = "is missing"
    else:
        (copy / "config.json").write_text("{", encoding="utf-8")
        expected = "is not valid JSON"
    node = graph.add(second, model=str(copy))
    reply = ask_second(graph)
    assert "not configured" in reply.result.message
    assert expected in reply.result.message
    assert "ros2 lifecycle set /second/vljepa/perception_node configure" in reply.result.message
    if damage in ("truncated", "corrupted", "missing"):
        shutil.copy(model_dir(MODEL) / "frame.onnx", weights)
        node.autostart()
        assert node.active, "once the file is right, the same node starts"
