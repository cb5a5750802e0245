"""The examples for planners with real nodes, on the runtime that is there."""

from __future__ import annotations

import importlib
import importlib.util
import runpy
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import rclpy_stand_in
import yaml
from code_size import ROOT
from graph import MODEL, Graph, question
from trigger_robot import ARM, DOOR, STATE, STATUS, Robot

from vljepa_ros import ros
from vljepa_ros.nodes.perception_node import PerceptionNode
from vljepa_ros.nodes.topics import REPEATED
from vljepa_ros.nodes.trigger_node import TriggerNode

Example = Callable[[str], Any]


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Iterator[Example]:
    """Imports a file of `examples/`; the built-in runtime stands in for rclpy meanwhile."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    if ros.RUNTIME == "builtin":
        for name, module in rclpy_stand_in.modules().items():
            monkeypatch.setitem(sys.modules, name, module)
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if Path(getattr(sys.modules[name], "__file__", None) or "/").parent.name == "examples":
            del sys.modules[name]


def test_ask(graph: Graph, example: Example) -> None:
    ask, kind = example("ask"), "vljepa_ros/srv/AnswerQuestion"

    def decide(candidates: list[str], **fields: Any) -> tuple[str, str]:
        wanted = ask.request("what colour is it?", candidates)
        fields = {
            name: fields.get(name, getattr(wanted, name))
            for name in ("question", "max_age", "wait")
        }
        return ask.decide(graph.call(kind, "answer_question", **fields))

    graph.add(PerceptionNode, model=MODEL)
    assert decide(["red", "green"], wait=ros.Duration(seconds=0.0).to_msg())[0] == "retry"
    camera = graph.camera()
    graph.stamp = graph.client.get_clock().now().nanoseconds
    graph.show(camera, seconds=0.2)
    limit = ros.Duration(seconds=60.0).to_msg()
    assert decide(["red", "green"], max_age=limit)[0] in ("act", "look again")
    assert decide(["red", "green"], question=question("what?", [" "]))[0] == "give up"


@pytest.fixture
def robot(graph: Graph) -> Robot:
    return Robot(graph)


@pytest.fixture
def planner(graph: Graph) -> Iterator[Any]:
    """A node of the planner's own."""
    node = ros.Node("planner")
    graph.executor.add_node(node)
    yield node
    graph.executor.remove_node(node)
    node.destroy_node()


def test_wait_for(graph: Graph, robot: Robot, example: Example) -> None:
    client = ros.ActionClient(graph.client, ros.interface("vljepa_ros/action/WaitFor"), "wait_for")
    assert graph.spin(client.server_is_ready)
    wait_for = example("wait_for").wait_for

    async def wait() -> Any:
        return await wait_for(client, [ARM], 20.0)

    task = graph.executor.create_task(wait)
    assert graph.spin(lambda: robot.node.owners.triggers)
    robot.see(ARM)
    assert graph.spin(task.done)
    assert task.result().outcome == task.result().OUTCOME_TRUE
    client.destroy()


def test_triggers(
    graph: Graph,
    robot: Robot,
    planner: Any,
    example: Example,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    triggers = example("triggers")
    monkeypatch.setattr(triggers, "LEASE_S", 0.9)
    kind = ros.interface("vljepa_ros/msg/Trigger")
    watched = triggers.Triggers(planner, "planner", [kind(id="door", texts=[DOOR])], "front")
    assert watched.state("door") == STATUS.STATE_UNKNOWN
    assert graph.spin(lambda: watched.added)
    assert robot.watches()
    for text, state in ((DOOR, STATUS.STATE_TRUE), (ARM, STATUS.STATE_FALSE)):
        robot.see(text)
        assert graph.spin(lambda state=state: watched.state("door") == state)
    robot.remove("planner")  # as after a restart: the lease's renewal adds them again
    assert graph.spin(lambda: not robot.node.owners.triggers)
    assert graph.spin(lambda: robot.node.owners.triggers)
    robot.see(ARM)
    assert graph.spin(lambda: watched.state("door") == STATUS.STATE_FALSE)
    graph.remove(robot.node)
    assert graph.spin(lambda: watched.state("door") == STATUS.STATE_UNKNOWN)


def test_triggers_are_unknown_when_the_state_is_not_repeated(
    graph: Graph, planner: Any, example: Example
) -> None:
    watched = example("triggers").Triggers(planner, "planner", [], "front")
    publisher = graph.connect(graph.publisher(STATE, "front/trigger_state", REPEATED))
    status = STATUS(owner="planner", id="door", state=STATUS.STATE_TRUE)
    publisher.publish(ros.interface(STATE)(camera="front", triggers=[status]))
    assert graph.spin(lambda: watched.state("door") == STATUS.STATE_TRUE)
    assert graph.spin(lambda: watched.state("door") == STATUS.STATE_UNKNOWN, 10.0)


def test_py_trees(graph: Graph, robot: Robot, example: Example) -> None:
    trees = pytest.importorskip("py_trees", reason="py_trees is not installed")
    nodes, status = example("py_trees_nodes"), trees.common.Status
    states = {"door": STATUS.STATE_UNKNOWN}
    watched = type("Watched", (), {"state": staticmethod(states.get)})
    condition = nodes.TriggerIsTrue(watched, "door")
    for state, expected in (
        (STATUS.STATE_UNKNOWN, status.RUNNING),
        (STATUS.STATE_FALSE, status.FAILURE),
        (STATUS.STATE_TRUE, status.SUCCESS),
    ):
        states["door"] = state
        condition.tick_once()
        assert condition.status == expected
    client = ros.ActionClient(graph.client, ros.interface("vljepa_ros/action/WaitFor"), "wait_for")
    assert graph.spin(client.server_is_ready)
    action = nodes.WaitForText(client, ARM, 20.0)

    def ticked(expected: Any) -> bool:
        action.tick_once()
        return bool(action.status == expected)

    assert ticked(status.RUNNING)
    assert graph.spin(lambda: robot.node.owners.triggers)
    robot.see(ARM)
    assert graph.spin(lambda: ticked(status.SUCCESS))
    assert ticked(status.RUNNING)
    assert graph.spin(lambda: robot.node.owners.triggers)
    action.stop(status.INVALID)
    assert graph.spin(lambda: not robot.node.owners.triggers), "canceled"
    client.destroy()


class Stub:
    """Stands for any class of launch: keeps what it was made with."""

    def __init__(self, *values: Any, **options: Any) -> None:
        self.values, self.options = values, options


def launched(monkeypatch: pytest.MonkeyPatch, file: Path) -> dict[str, str]:
    """The arguments that a launch file gives to perception.launch.py, without a ROS."""
    if importlib.util.find_spec("ament_index_python") is None:
        names = {
            "ament_index_python.packages": (),
            "launch": ("LaunchDescription",),
            "launch.actions": ("DeclareLaunchArgument", "IncludeLaunchDescription"),
            "launch.launch_description_sources": ("PythonLaunchDescriptionSource",),
            "launch.substitutions": ("LaunchConfiguration",),
        }
        for name, classes in names.items():
            made: Any = ModuleType(name)
            vars(made).update(dict.fromkeys(classes, Stub))
            made.get_package_share_directory = lambda package: str(ROOT)
            monkeypatch.setitem(sys.modules, name, made)
    (entities,) = runpy.run_path(str(file))["generate_launch_description"]().values
    *declared, included = entities
    defaults = {one.values[0]: one.options["default_value"] for one in declared}
    assert Path(included.values[0].values[0]).is_file()

    def text(value: Any) -> str:
        parts = value if isinstance(value, list) else [value]
        return "".join(p if isinstance(p, str) else defaults[p.values[0]] for p in parts)

    return {name: text(value) for name, value in included.options["launch_arguments"]}


def parameters(file: str, node: str) -> dict[str, Any]:
    """A node's parameters in a file, `__` for the dots in their names."""
    content = yaml.safe_load(Path(file).read_text(encoding="utf-8"))

    def flat(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        for name, value in values.items():
            if isinstance(value, dict):
                yield from ((f"{name}__{inner}", v) for inner, v in flat(value))
            else:
                yield name, value

    return dict(flat(content[f"/**/{node}"]["ros__parameters"]))


@pytest.mark.skipif(
    ros.RUNTIME == "rclpy", reason="test_ros2_launch.py starts it with ROS's launch"
)
def test_two_cameras(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    """The launch file's arguments and its parameter file, on running nodes."""
    given = launched(monkeypatch, ROOT / "examples" / "two_cameras.launch.py")
    known = (ROOT / "launch" / "perception.launch.py").read_text(encoding="utf-8")
    assert [name for name in given if f'"{name}": (' not in known] == []
    assert Path(given["params_file"]).name == "two_cameras.yaml"
    topics = dict(one.split("=") for one in given["cameras"].split())
    assert topics == {"front": "/front/image_raw", "arm": "/arm/image_raw"}
    seeing = parameters(given["params_file"], "perception_node")
    graph.add(
        PerceptionNode,
        model=MODEL,
        cameras=list(topics),
        **{f"{name}__image_topic": topic for name, topic in topics.items()},
        **seeing,
    )
    watching = parameters(given["params_file"], "trigger_node")
    graph.add(TriggerNode, cameras=list(topics), **watching)
    cameras = [graph.publisher("sensor_msgs/msg/Image", topic, 5) for topic in topics.values()]
    labels = {name: graph.listen("vljepa_ros/msg/SceneLabels", f"{name}/labels") for name in topics}
    states = {name: graph.listen(STATE, f"{name}/trigger_state", latched=True) for name in topics}
    for camera in cameras:
        graph.connect(camera)

    def scored(name: str) -> bool:
        """Whether a camera's own label, or that of all, is judged there."""
        return any(
            any(one.state for one in message.triggers) and len(message.triggers) == 2
            for message in states[name]
        )

    assert graph.spin(
        lambda: all(labels.values()) and scored("front") and scored("arm"),
        again=lambda: [graph.show_one(camera) for camera in cameras],
    )
    prompts = {name: [g.prompt for g in heard[-1].groups] for name, heard in labels.items()}
    assert prompts["front"] == ["is there a person?"]
    assert prompts["arm"] == ["is there a person?", "is the gripper empty?"]
