"""States of the nodes: what is answered in each, through the services that `ros2 lifecycle`
uses."""

from __future__ import annotations

import contextlib
import pkgutil
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from graph import MODEL, Graph, accepted, status

from vljepa_ros import ros
from vljepa_ros.nodes.memory_node import MemoryNode
from vljepa_ros.nodes.overlay_node import OverlayNode
from vljepa_ros.nodes.perception_node import PerceptionNode
from vljepa_ros.nodes.selective_decoder_node import SelectiveDecoderNode
from vljepa_ros.nodes.trigger_node import TriggerNode

CONFIGURE, CLEANUP, ACTIVATE, DEACTIVATE = 1, 2, 3, 4
SHUTDOWN = {"unconfigured": 5, "inactive": 6, "active": 7}


def change(graph: Graph, node: Any, transition: int) -> bool:
    kind = ros.interface("lifecycle_msgs/srv/ChangeState")
    name = f"{node.get_fully_qualified_name()}/change_state"
    request = kind.Request()
    request.transition.id = transition
    return bool(
        graph.call("lifecycle_msgs/srv/ChangeState", name, transition=request.transition).success
    )


def state(graph: Graph, node: Any) -> str:
    name = f"{node.get_fully_qualified_name()}/get_state"
    return str(graph.call("lifecycle_msgs/srv/GetState", name).current_state.label)


def encode(graph: Graph) -> Any:
    return graph.call("vljepa_ros/srv/EncodeText", "encode_text", texts=["a cup"])


def label(graph: Graph) -> Any:
    return graph.call("vljepa_ros/srv/SetLabels", "set_labels", prompt="q?", labels=["a", "b"])


def test_each_state_answers_what_it_can(graph: Graph) -> None:
    node = graph.add(PerceptionNode, model=MODEL, autostart=False)
    assert state(graph, node) == "unconfigured"
    for reply in (graph.ask(), encode(graph), label(graph)):
        assert not accepted(reply)
        assert "/vljepa/perception_node is not configured" in reply.result.message
        assert "ros2 lifecycle set /vljepa/perception_node configure" in reply.result.message
    assert graph.set(node, "max_rate", 7.0).successful, "parameters answer in every state"

    assert change(graph, node, CONFIGURE)
    assert state(graph, node) == "inactive"
    assert accepted(encode(graph))
    assert accepted(label(graph))
    reply = graph.ask()
    assert not accepted(reply)
    assert (
        "is not active; try: ros2 lifecycle set /vljepa/perception_node activate"
        in reply.result.message
    )
    assert graph.spin(lambda: graph.client.count_subscribers("/camera/image_raw") == 0)

    words = graph.listen("vljepa_ros/msg/Vocabulary", "vocabulary", latched=True)
    info = graph.listen("vljepa_ros/msg/ModelInfo", "model_info", latched=True)
    assert change(graph, node, ACTIVATE)
    assert state(graph, node) == "active"
    assert graph.spin(lambda: words and info)
    camera = graph.camera()
    graph.show(camera)
    assert accepted(graph.ask())

    assert change(graph, node, DEACTIVATE)
    assert "not active" in graph.ask().result.message
    assert accepted(encode(graph))
    assert graph.spin(lambda: camera.get_subscription_count() == 0)

    assert change(graph, node, CLEANUP)
    assert node.engine is None, "the model is freed"
    assert "not configured" in encode(graph).result.message

    assert change(graph, node, CONFIGURE)
    assert change(graph, node, ACTIVATE)
    assert graph.spin(lambda: camera.get_subscription_count() > 0)
    graph.show(camera)
    assert accepted(graph.ask()), "and all over again"


def test_the_decoder_answers_what_it_can(graph: Graph) -> None:
    node = graph.add(SelectiveDecoderNode, model=MODEL, autostart=False, request_timeout=0.3)
    describe = "vljepa_ros/srv/Describe"
    assert "not configured" in graph.call(describe, "describe").result.message
    assert change(graph, node, CONFIGURE)
    assert "is not active" in graph.call(describe, "describe").result.message
    assert change(graph, node, ACTIVATE)
    assert "no embedding" in graph.call(describe, "describe").result.message
    assert change(graph, node, DEACTIVATE)
    assert change(graph, node, CLEANUP)
    assert "not configured" in graph.call(describe, "describe").result.message


@pytest.mark.parametrize("before", SHUTDOWN)
def test_after_shutdown_nothing_advises_to_configure(graph: Graph, before: str) -> None:
    node = graph.add(PerceptionNode, model=MODEL, start=False)
    for transition in (CONFIGURE, ACTIVATE)[: list(SHUTDOWN).index(before)]:
        assert change(graph, node, transition)
    assert state(graph, node) == before
    assert change(graph, node, SHUTDOWN[before])
    assert state(graph, node) == "finalized"
    heard = graph.listen("diagnostic_msgs/msg/DiagnosticArray", "/diagnostics")
    for reply in (graph.ask(), encode(graph), label(graph)):
        assert reply.result.code == reply.result.NOT_ACTIVE
        assert "/vljepa/perception_node was shut down" in reply.result.message
        assert "ros2 lifecycle set" not in reply.result.message
    assert graph.spin(lambda: (s := status(heard, "node: model")) and s.message == "shut down")


@pytest.mark.parametrize("kind", [PerceptionNode, SelectiveDecoderNode])
def test_configuring_without_a_model_fails_and_can_be_tried_again(graph: Graph, kind: Any) -> None:
    node = graph.add(kind, model="no such model", autostart=False)
    assert not change(graph, node, CONFIGURE)
    assert state(graph, node) == "unconfigured"
    heard = graph.listen("diagnostic_msgs/msg/DiagnosticArray", "/diagnostics")
    assert graph.spin(lambda: (s := status(heard, "node: model")) and "no such model" in s.message)
    assert not change(graph, node, CONFIGURE)


def test_diagnostics_beat_in_every_state_even_without_a_clock(graph: Graph) -> None:
    heard = graph.listen("diagnostic_msgs/msg/DiagnosticArray", "/diagnostics")
    graph.add(PerceptionNode, model=MODEL, autostart=False, use_sim_time=True)
    assert graph.spin(lambda: len(heard) >= 2)
    assert status(heard, "node: model").message == "not configured"


ENDPOINTS = {
    PerceptionNode: ("perception_node.CameraInput", "perception_node.ImageTopic.start"),
    SelectiveDecoderNode: (
        "selective_decoder_node.DecoderCamera",
        "selective_decoder_node.Endpoints.repeat",
    ),
    TriggerNode: ("trigger_node.TriggerCamera", "trigger_node.TriggerNode._use"),
    MemoryNode: ("memory_node.MemoryInput", "memory_node.MemoryInput.start"),
}
"""Of each node: what it makes for each camera at configure, and what it calls at activate."""


def endpoints(node: Any) -> list[Any]:
    return [entity for _, entity in ros.endpoints(node)]


@contextlib.contextmanager
def fails_once_more(name: str) -> Iterator[None]:
    """What is called by a name fails, but for the first call, as an endpoint does."""
    module, _, what = f"vljepa_ros.nodes.{name}".rpartition(".")
    owner = pkgutil.resolve_name(module)
    original, calls = getattr(owner, what), []

    def call(*args: Any, **options: Any) -> Any:
        calls.append(args)
        if len(calls) > 1 or what in ("_use", "repeat"):
            raise RuntimeError("no more endpoints")
        return original(*args, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, what, call)
        yield


@pytest.mark.parametrize("kind", ENDPOINTS)
def test_what_fails_in_a_transition_is_undone(graph: Graph, kind: Any, tmp_path: Path) -> None:
    options: dict[str, Any] = {"cameras": ["left", "right"]}
    if kind is MemoryNode:
        pytest.importorskip("lancedb")
        options["location"] = str(tmp_path / "memory")
    if kind is PerceptionNode:
        options |= {f"{side}__image_topic": f"/{side}/image" for side in ("left", "right")}
    node = graph.add(kind, start=False, **options)
    log = graph.listen("rcl_interfaces/msg/Log", "/rosout")
    health = graph.listen("diagnostic_msgs/msg/DiagnosticArray", "/diagnostics")
    reason, before = "RuntimeError: no more endpoints", endpoints(node)
    at_configure, at_activate = ENDPOINTS[kind]
    for _ in range(2):
        with fails_once_more(at_configure):
            assert not change(graph, node, CONFIGURE)
        assert state(graph, node) == "unconfigured"
        assert endpoints(node) == before, "nothing of it stays"
    assert graph.spin(lambda: any(reason in m.msg and "Traceback" in m.msg for m in log))
    assert graph.spin(lambda: (s := status(health, f": {node.subject}")) and reason in s.message)
    assert change(graph, node, CONFIGURE)

    inactive = endpoints(node)
    for _ in range(2):
        with fails_once_more(at_activate):
            assert not change(graph, node, ACTIVATE)
        assert state(graph, node) == "inactive"
        assert endpoints(node) == inactive
    assert node.refusal(True).count(reason) == 1
    assert graph.spin(
        lambda: (s := status(health, f": {node.subject}")) and s.message == f"not active: {reason}"
    )
    assert change(graph, node, ACTIVATE)
    assert graph.spin(
        lambda: (s := status(health, f": {node.subject}")) and reason not in s.message
    )
    assert change(graph, node, DEACTIVATE)
    assert change(graph, node, CLEANUP)
    assert endpoints(node) == before


def test_what_fails_at_deactivate_leaves_a_node_that_can_be_configured(
    graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = graph.add(TriggerNode)
    log = graph.listen("rcl_interfaces/msg/Log", "/rosout")
    with monkeypatch.context() as patch:
        patch.setattr(node, "stop", lambda: 1 // 0)
        assert not change(graph, node, DEACTIVATE)
    assert state(graph, node) == "unconfigured"
    assert "ZeroDivisionError" in node.refusal(False)
    assert graph.spin(lambda: any("cannot deactivate: ZeroDivisionError" in m.msg for m in log))
    assert change(graph, node, CONFIGURE)
    assert change(graph, node, ACTIVATE)


def test_a_missing_package_is_one_line_without_a_traceback(
    graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = graph.add(TriggerNode, start=False)
    log = graph.listen("rcl_interfaces/msg/Log", "/rosout")

    def missing() -> None:
        raise ModuleNotFoundError("No module named 'tokenizers'", name="tokenizers")

    monkeypatch.setattr(node, "open", missing)
    assert not change(graph, node, CONFIGURE)
    assert "the Python package tokenizers is not installed" in node.refusal(False)
    assert graph.spin(lambda: any("cannot configure: the Python package" in m.msg for m in log))
    assert not any("Traceback" in m.msg for m in log)


def test_the_snippet_for_a_lifecycle_manager_brings_the_nodes_up(graph: Graph) -> None:
    """What nav2_lifecycle_manager does with it: configure and activate one after the other."""
    text = (Path(__file__).parents[2] / "doc" / "install.md").read_text(encoding="utf-8")
    snippet = yaml.safe_load(re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)[0])
    ((manager, section),) = snippet.items()
    settings = section["ros__parameters"]
    assert settings["bond_timeout"] == 0.0
    for name in settings["node_names"]:
        kind = pkgutil.resolve_name(f"vljepa_ros.nodes.{name}:{name.title().replace('_', '')}")
        models = {} if kind is TriggerNode else {"model": MODEL}
        node = graph.add(kind, start=False, autostart=False, **models)
        assert node.get_fully_qualified_name() == manager.rpartition("/")[0] + f"/{name}"
        assert change(graph, node, CONFIGURE)
        assert change(graph, node, ACTIVATE)
        assert state(graph, node) == "active"


BONDPY = """
BONDS = []
class Bond:
    def __init__(self, node, topic, bond_id):
        self.id, self.alive = (topic, bond_id), False
        self.sub = self.pub = None
        BONDS.append(self)
    def start(self):
        self.alive = True
    def shutdown(self):
        self.alive = False
"""


def test_a_manager_may_watch_an_active_node(
    graph: Graph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where bondpy is installed, as Nav2's own nodes do it; with autostart there is no manager."""
    (tmp_path / "bondpy").mkdir()
    (tmp_path / "bondpy" / "bondpy.py").write_text(BONDPY)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(ros, "RUNTIME", "rclpy")
    node = graph.add(TriggerNode, start=False, autostart=False)
    assert change(graph, node, CONFIGURE)
    assert change(graph, node, ACTIVATE)
    bonds = pkgutil.resolve_name("bondpy.bondpy:BONDS")
    assert [(bond.id, bond.alive) for bond in bonds] == [(("bond", "trigger_node"), True)]
    assert change(graph, node, DEACTIVATE)
    assert not bonds[0].alive
    assert change(graph, node, ACTIVATE)
    assert [bond.alive for bond in bonds] == [False, True]


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        (PerceptionNode, "right.image_topic", "/camera/0/image"),
        (PerceptionNode, "right.image_topic", ""),
        (PerceptionNode, "right.image_topic", "camera/"),
        (PerceptionNode, "right.image_topic", "a//b"),
        (PerceptionNode, "right.image_topic", "/my camera"),
        (PerceptionNode, "right.image_topic", "/" + 250 * "x"),
        (PerceptionNode, "snapshot_service", "/0/snapshot"),
        (SelectiveDecoderNode, "turn_topic", "odom?"),
        (TriggerNode, "turn_topic", "~odom"),
        (MemoryNode, "pose_topic", "/1/pose"),
        (MemoryNode, "right.image_topic", "/camera/1/image"),
    ],
)
def test_names_that_ros_does_not_allow(graph: Graph, kind: Any, name: str, value: str) -> None:
    options = {"cameras": ["left", "right"], name: value}
    node = graph.add(kind, start=False, **options)
    before = endpoints(node)
    for _ in range(2):
        assert not change(graph, node, CONFIGURE)
        assert state(graph, node) == "unconfigured"
        assert endpoints(node) == before
    assert name in node.why
    assert value[:20] in node.why
    assert "allowed: names of letters, digits and _ between slashes" in node.why


@pytest.mark.parametrize("name", ["image_topic", "camera"])
def test_the_overlay_draws_nothing_with_a_wrong_name(graph: Graph, name: str) -> None:
    health = graph.listen("diagnostic_msgs/msg/DiagnosticArray", "/diagnostics")
    node = graph.add(OverlayNode, **{name: "/camera/0/image"})
    graph.listen("sensor_msgs/msg/Image", "front/overlay")
    assert graph.spin(lambda: (s := status(health, ": picture")) and f"{name}: " in s.message)
    assert graph.client.count_subscribers("/camera/image_raw") == 0
    assert node.get_name() == "overlay_node"


def test_a_worker_that_hangs_or_fails_is_an_error_while_it_does(
    graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = graph.add(PerceptionNode, model=MODEL, always_on=True)
    received = graph.listen("diagnostic_msgs/msg/DiagnosticArray", "/diagnostics")
    camera = graph.camera()

    def fails(*_: Any) -> None:
        raise RuntimeError("no memory left on the device")

    def model() -> Any:
        return status(received, "model")

    release, error = threading.Event(), "RuntimeError: no memory left on the device"
    with monkeypatch.context() as patch:
        patch.setattr("vljepa_ros.nodes.lifecycle_node.LONGEST_STEP_S", 0.5)
        patch.setattr(node.engine, "encode", lambda *_: release.wait(60.0))
        hangs = "the model's worker hangs: its current step has taken"
        assert graph.spin(
            lambda: model() and model().message.startswith(hangs),
            again=lambda: graph.show_one(camera),
        )
        patch.setattr(node.engine, "encode", fails)
        release.set()
        assert graph.spin(
            lambda: model().message == f"the model's worker continues after {error}",
            again=lambda: graph.show_one(camera),
        )
        assert model().level == model().ERROR
    assert graph.spin(lambda: model().level == model().OK, again=lambda: graph.show_one(camera))


def test_a_warning_silences_no_other_one(graph: Graph) -> None:
    node = graph.add(TriggerNode, start=False)
    log = graph.listen("rcl_interfaces/msg/Log", "/rosout")
    graph.spin_once_all()
    for text in ("one: first", "another: first", "one: again", "another: again"):
        node.warn(text)
    assert graph.spin(lambda: any(m.msg == "another: first" for m in log))
    assert [m.msg for m in log if "first" in m.msg or "again" in m.msg] == [
        "one: first",
        "another: first",
    ]
