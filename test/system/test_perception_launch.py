"""The launch file: its arguments everywhere, its nodes where launch_ros is installed."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path
from typing import Any

import pytest

from vljepa_ros.resources import share_dir

FILE = share_dir() / "launch" / "perception.launch.py"
WANTED = {
    "cameras",
    "source",
    "model",
    "engine",
    "params_file",
    "namespace",
    "use_sim_time",
    "log_level",
    "autostart",
    "decoder",
    "triggers",
    "memory",
    "image",
    "transport",
}


SEEING = ["perception_node", "selective_decoder_node"]


def arguments() -> dict[str, Any]:
    tree = ast.parse(FILE.read_text(encoding="utf-8"))
    (assigned,) = [
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and node.targets[0].id == "ARGUMENTS"  # type: ignore[attr-defined]
    ]
    return dict(ast.literal_eval(assigned))


def test_every_argument_has_a_description_and_a_default_that_is_allowed() -> None:
    found = arguments()
    assert set(found) == WANTED
    for name, (default, description, choices) in found.items():
        assert len(description) > 10, name
        assert choices is None or default in choices, name
    assert found["source"][0] == "none"


def test_nothing_is_done_while_it_is_read() -> None:
    """Only imports, constants and functions stand at the top."""
    allowed = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.Assign, ast.Expr)
    tree = ast.parse(FILE.read_text(encoding="utf-8"))
    for node in tree.body:
        assert isinstance(node, allowed)
        assert not isinstance(getattr(node, "value", None), ast.Call)


def test_the_programs_and_files_it_names_exist() -> None:
    text = FILE.read_text(encoding="utf-8")
    for name in (
        "perception.yaml",
        "selective_decoder.yaml",
        "triggers.yaml",
        "memory.yaml",
        "camera.yaml",
    ):
        assert f'"{name}"' in text
        assert (share_dir() / "config" / name).is_file()
    scripts = Path(share_dir()) / "scripts"
    if scripts.is_dir():
        for name in (
            "perception_node",
            "selective_decoder_node",
            "trigger_node",
            "memory_node",
            "camera_node",
        ):
            assert f'"{name}"' in text
            assert (scripts / name).read_text(encoding="utf-8").startswith("#!/usr/bin/env python3")


def loaded() -> Any:
    spec = importlib.util.spec_from_file_location("perception_launch", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("given", "nodes"),
    [
        ({}, [*SEEING, "trigger_node"]),
        ({"source": "demo"}, [*SEEING, "trigger_node", "camera_node"]),
        ({"source": "0", "decoder": "false"}, [SEEING[0], "trigger_node", "camera_node"]),
        ({"memory": "true", "triggers": "false"}, [*SEEING, "memory_node"]),
    ],
)
def test_it_makes_the_nodes(given: dict[str, str], nodes: list[str]) -> None:
    launch = pytest.importorskip("launch")
    pytest.importorskip("launch_ros")
    module = loaded()
    context = launch.LaunchContext()
    for name, (default, _, _) in module.ARGUMENTS.items():
        context.launch_configurations[name] = given.get(name, default)
    said, *made = module.make_nodes(context)
    model = "nano" if given.get("source") == "demo" else "everyday"
    assert f"model {model}: " in said.msg[0].text
    assert [node.node_executable for node in made] == nodes
    for node in made:
        node._perform_substitutions(context)
        assert "/vljepa/" in node.node_name
    assert module.generate_launch_description().get_launch_arguments()
