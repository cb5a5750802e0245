"""The launch file: its arguments everywhere, its nodes where launch_ros is installed."""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
import types
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
    "overlay",
    "use_respawn",
    "autostart",
    "decoder",
    "triggers",
    "memory",
    "console",
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
        "overlay.yaml",
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
            "overlay_node",
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
        (
            {"console": "true", "overlay": "true"},
            [SEEING[0], "overlay_node", SEEING[1], "trigger_node", "console_node"],
        ),
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


class Kept:
    """Stands for any class of launch and launch_ros: keeps what it was made with."""

    def __init__(self, *values: Any, **options: Any) -> None:
        self.values, self.options = values, options

    def perform(self, given: dict[str, str]) -> str:
        return given[self.values[0]]


def nodes_of(monkeypatch: pytest.MonkeyPatch, **given: str) -> dict[str, tuple[Any, Any]]:
    """Name of each node -> its parameters that stand in no file, its options; without a ROS."""
    for module, names in {
        "ament_index_python.packages": (),
        "launch": ("LaunchDescription",),
        "launch.actions": ("DeclareLaunchArgument", "LogInfo", "OpaqueFunction"),
        "launch.substitutions": ("LaunchConfiguration",),
        "launch_ros.actions": ("Node",),
        "launch_ros.parameter_descriptions": ("ParameterValue",),
    }.items():
        stub = types.ModuleType(module)
        stub.__dict__.update(dict.fromkeys(names, Kept))
        monkeypatch.setitem(sys.modules, module, stub)
    packages = sys.modules["ament_index_python.packages"]
    packages.get_package_share_directory = lambda name: str(share_dir())  # type: ignore[attr-defined]
    module = loaded()
    defaults = {name: default for name, (default, _, _) in module.ARGUMENTS.items()}
    made = {}
    for node in module.make_nodes({**defaults, **given})[1:]:
        values: dict[str, Any] = {}
        for entry in node.options["parameters"]:
            values |= entry if isinstance(entry, dict) else {}
        plain = {n: v.values[0] if isinstance(v, Kept) else v for n, v in values.items()}
        made[node.options["name"]] = plain, node.options
    return made


@pytest.mark.parametrize(
    ("given", "parameters"),
    [
        ({}, {}),
        (
            {"cameras": "front=/camera/image_raw rear=/rear/image_raw"},
            {
                "cameras": ["front", "rear"],
                "front.image_topic": "/camera/image_raw",
                "rear.image_topic": "/rear/image_raw",
            },
        ),
        (
            {"cameras": "left=/left/compressed, right"},
            {
                "cameras": ["left", "right"],
                "left.image_topic": "/left/compressed",
                "left.transport": "compressed",
            },
        ),
        (
            {"cameras": "left right=/r", "image": "/l", "transport": "raw"},
            {
                "cameras": ["left", "right"],
                "left.image_topic": "/l",
                "left.transport": "raw",
                "right.image_topic": "/r",
                "right.transport": "raw",
            },
        ),
        (
            {"cameras": "a,b", "source": "demo"},
            {"cameras": ["a", "b"], "a.image_topic": "image"},
        ),
        (
            {"source": "0", "transport": "compressed"},
            {"front.image_topic": "image/compressed", "front.transport": "compressed"},
        ),
    ],
)
def test_cameras_and_their_topics(
    given: dict[str, str], parameters: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    found, _ = nodes_of(monkeypatch, **given)["perception_node"]
    of_cameras = {n: v for n, v in found.items() if n == "cameras" or "." in n}
    assert of_cameras == parameters


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"params_file": "/no/such.yaml"}, "params_file: there is no file '/no/such.yaml'"),
        ({"cameras": "front=/a front=/b"}, "names must differ, given: front, front"),
        ({"cameras": "2nd=/a"}, "'2nd=/a' is not NAME or NAME=TOPIC"),
        ({"cameras": "front=/a", "image": "/b"}, "cameras gives the topic of front already"),
    ],
)
def test_wrong_arguments_are_an_error(
    given: dict[str, str], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Exception, match=re.escape(says)):
        nodes_of(monkeypatch, **given)


def test_nodes_that_die_come_back_where_that_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    for given in ("false", "true"):
        nodes = nodes_of(monkeypatch, source="demo", use_respawn=given)
        assert len(nodes) == 4
        assert {options["respawn"] for _, options in nodes.values()} == {given == "true"}


def test_an_overlay_for_each_camera_sees_what_perception_sees(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert "overlay_node" not in nodes_of(monkeypatch)
    seen, _ = nodes_of(monkeypatch, overlay="true", image="/cam/compressed")["overlay_node"]
    wanted = {"camera": "front", "image_topic": "/cam/compressed", "transport": "compressed"}
    assert seen == {"use_sim_time": False, **wanted}
    file = tmp_path / "robot.yaml"
    file.write_text(
        "/**/perception_node:\n  ros__parameters:\n    cameras: [left, right]\n"
        "    left: {image_topic: /l}\n    right.image_topic: /r\n    right.transport: compressed\n"
    )
    nodes = nodes_of(
        monkeypatch, overlay="true", params_file=str(file), cameras="left=/other right"
    )
    drawn = {name: values for name, (values, _) in nodes.items() if "overlay" in name}
    assert drawn["left_overlay_node"]["image_topic"] == "/other"
    assert drawn["right_overlay_node"]["image_topic"] == "/r"
    assert drawn["right_overlay_node"]["transport"] == "compressed"
    nodes = nodes_of(monkeypatch, overlay="true", params_file=str(file))
    assert nodes["left_overlay_node"][0]["image_topic"] == "/l"
