"""Every parameter is live, and its effect is seen, or read-only, and its refusal is."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from graph import MODEL, SECOND, Graph, accepted, duration, nanoseconds, status, two_colours

from vljepa_ros import ros
from vljepa_ros.nodes.camera_node import CameraNode
from vljepa_ros.nodes.console_node import ConsoleNode
from vljepa_ros.nodes.overlay_node import OverlayNode
from vljepa_ros.nodes.perception_node import PerceptionNode
from vljepa_ros.nodes.selective_decoder_node import SelectiveDecoderNode
from vljepa_ros.nodes.trigger_node import TriggerNode
from vljepa_ros.resources import share_dir

EMBEDDING = "vljepa_ros/msg/Embedding"
ROS_OWN = ("use_sim_time", "start_type_description_service")
FILES = {
    PerceptionNode: "perception.yaml",
    SelectiveDecoderNode: "selective_decoder.yaml",
    CameraNode: "camera.yaml",
    ConsoleNode: "console.yaml",
    OverlayNode: "overlay.yaml",
    TriggerNode: "triggers.yaml",
}
SEEN_LIVE = {
    PerceptionNode: {
        "always_on",
        "request_timeout",
        "max_rate",
        "labels",
        "abstain_below",
        "answer_max_age",
        "image_timeout",
        "top_labels",
        "evidence",  # its effect is seen in test_evidence.py
        "judge_domain",  # its effect is seen in test_perception_node.py
        "front.labels",
        "front.crop",
        "front.rotate",
        "front.max_rate",
    },
    SelectiveDecoderNode: {
        "always_on",
        "request_timeout",
        "sensitivity",
        "threshold",
        "release",
        "smoothing",
        "settle",
        "min_gap",
        "min_confidence",
        "include_vector",
        "turn_rate",
        "turn_factor",
        "max_state_age",  # its effect is seen in test_selective_decoder_node.py
    },
    TriggerNode: {  # their effects are seen in test_trigger_node.py
        "request_timeout",
        "triggers",
        "threshold",
        "release",
        "settle",
        "camera_timeout",
        "turn_rate",
    },
    OverlayNode: {"labels"},  # its effect is seen in test_overlay_node.py
    ConsoleNode: {"request_timeout"},  # its effect is seen in test_console_node.py
    CameraNode: {"rate", "loop", "encoding", "frame_id"},
}


def declared(graph: Graph, node: Any) -> dict[str, Any]:
    """Our own parameters and their descriptors, as `ros2 param` gets them."""
    name = node.get_fully_qualified_name()
    listed = graph.call("rcl_interfaces/srv/ListParameters", f"{name}/list_parameters")
    names = list(listed.result.names)
    own = [n for n in names if n not in ROS_OWN and "qos_overrides" not in n]
    described = graph.call(
        "rcl_interfaces/srv/DescribeParameters", f"{name}/describe_parameters", names=own
    )
    return dict(zip(own, described.descriptors, strict=True))


@pytest.mark.parametrize("kind", list(FILES))
def test_each_parameter_is_described_and_live_or_read_only(graph: Graph, kind: Any) -> None:
    node = graph.add(kind, start=False, **({"source": "0x"} if kind is CameraNode else {}))
    found = declared(graph, node)
    live = {name for name, descriptor in found.items() if not descriptor.read_only}
    assert live == SEEN_LIVE[kind], "a live parameter needs a test of its effect below"
    for name, descriptor in found.items():
        assert len(descriptor.description) > 10, name
        value = node.get_parameter(name).value
        numeric = isinstance(value, (int, float)) and not isinstance(value, bool)
        ranged = descriptor.floating_point_range or descriptor.integer_range
        assert ranged or not numeric or "Allowed:" in descriptor.description, name
    for name in sorted(set(found) - live):
        result = graph.set(node, name, node.get_parameter(name).value)
        assert not result.successful, name
        assert "read-only" in result.reason


@pytest.mark.parametrize(("kind", "file"), FILES.items())
def test_the_files_in_config_name_every_parameter_with_its_default(
    graph: Graph, kind: Any, file: str
) -> None:
    text = (share_dir() / "config" / file).read_text(encoding="utf-8")
    (node_key, content), *others = yaml.safe_load(text).items()
    node = graph.add(kind, start=False, **({"source": "0x"} if kind is CameraNode else {}))
    assert not others
    assert node_key == f"/**/{node.get_name()}"

    def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
        found = {}
        for name, value in values.items():
            nested = flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {}
            found.update(nested or {prefix + name: value})
        return found

    written = flat(content["ros__parameters"])
    assert set(written) == set(declared(graph, node))
    for name, value in written.items():
        if name != "source":
            assert node.get_parameter(name).value == value, name
            assert type(node.get_parameter(name).value) is type(value), name


@pytest.fixture
def node(graph: Graph) -> PerceptionNode:
    made = graph.add(PerceptionNode, model=MODEL, max_rate=1000.0)
    assert isinstance(made, PerceptionNode)
    return made


def test_always_on(graph: Graph, node: PerceptionNode) -> None:
    camera = graph.camera()
    graph.show(camera)
    assert node.pipeline.clips == 0
    assert graph.set(node, "always_on", True).successful
    assert graph.spin(lambda: node.pipeline.clips > 0, again=lambda: graph.show_one(camera))


@pytest.mark.parametrize("name", ["max_rate", "front.max_rate"])
def test_max_rate(graph: Graph, node: PerceptionNode, name: str) -> None:
    heard = graph.listen(EMBEDDING, "front/embeddings")
    camera = graph.camera()
    shown = partial(graph.show_one, camera)
    assert graph.spin(lambda: heard, again=shown)
    assert graph.set(node, name, 2.0).successful
    first, begin = graph.stamp, time.monotonic()

    def later() -> int:
        return sum(nanoseconds(message.header.stamp) > first for message in heard)

    assert graph.spin(lambda: later() >= 3 and time.monotonic() > begin + 2.0, again=shown)
    seconds = time.monotonic() - begin
    assert later() <= 2.0 * seconds + 2, "the first at once, and one that was late"


def test_rotate(graph: Graph, node: PerceptionNode) -> None:
    heard = graph.listen(EMBEDDING, "front/embeddings")
    camera = graph.camera()
    half = np.zeros((60, 60, 3), np.uint8)
    half[:30] = (200, 60, 20)

    def look() -> np.ndarray:
        """Of a clip that is all new: the model looks back 1.5 s."""
        fields = {"height": 60, "width": 60, "data": half.tobytes()}
        first = graph.stamp
        graph.show(camera, "red", 2.5, **fields)
        assert graph.spin(
            lambda: heard and nanoseconds(heard[-1].clip_start) > first,
            again=lambda: graph.show_one(camera, **fields),
        )
        return np.array(heard[-1].vector)

    upright = look()
    assert np.allclose(look(), upright, atol=1e-3)
    assert graph.set(node, "front.rotate", 180).successful
    assert not np.allclose(look(), upright, atol=1e-3)


def test_crop(graph: Graph, node: PerceptionNode) -> None:
    camera = graph.camera()
    diagnostics = graph.listen("diagnostic_msgs/msg/DiagnosticArray", "/diagnostics")

    def look() -> Any:
        graph.show(camera, **two_colours())
        (feed,) = node.pipeline.cameras.values()
        return node.pipeline.look([feed], lambda times: True)["front"][1].tokens

    whole = look()
    assert graph.set(node, "front.crop", [8, 10, 20, 30]).successful
    part = look()
    assert not np.allclose(part, whole, atol=1e-3)
    assert graph.set(node, "front.crop", [0, 0, 0, 0]).successful
    assert np.allclose(look(), whole, atol=1e-3)
    for wrong in ([1, 2, 3], [0, 0, -1, 4], ["a"]):
        assert not graph.set(node, "front.crop", wrong).successful
    assert graph.set(node, "front.crop", [70, 50, 20, 20]).successful
    assert graph.spin(
        lambda: (s := status(diagnostics, "camera front")) and "within the image of" in s.message,
        again=lambda: graph.show_one(camera, "blue"),
    )


def test_labels(graph: Graph, node: PerceptionNode) -> None:
    def found(vocabulary: Any) -> list[str]:
        return [label for group in vocabulary.groups for label in group.labels]

    words = graph.listen("vljepa_ros/msg/Vocabulary", "vocabulary", latched=True)
    assert graph.set(node, "labels", ["cat", "dog"]).successful
    assert graph.spin(lambda: words and found(words[-1]) == ["cat", "dog"])
    assert graph.set(node, "labels", [""]).successful
    own = [label for group in node.engine.config.vocabulary.values() for label in group]
    assert graph.spin(lambda: found(words[-1]) == own)


def test_top_labels_and_labels_of_a_camera(graph: Graph, node: PerceptionNode) -> None:
    seen = graph.listen("vljepa_ros/msg/SceneLabels", "front/labels")
    camera = graph.camera()

    def published(*expected: int) -> bool:
        def arrived() -> bool:
            return bool(seen) and [len(g.labels) for g in seen[-1].groups] == list(expected)

        return bool(graph.spin(arrived, again=lambda: graph.show_one(camera, "blue")))

    assert graph.set(node, "labels", ["which? | a | b | c | d"]).successful
    graph.show(camera)
    assert published(4)
    assert graph.set(node, "top_labels", 2).successful
    assert published(2)
    (best,) = seen[-1].groups
    assert sum(label.score for label in best.labels) + best.none_score <= 1 + 1e-5
    assert graph.set(node, "front.labels", ["is it? | yes | no"]).successful
    assert published(2, 2)


def test_abstain_below(graph: Graph, node: PerceptionNode) -> None:
    camera = graph.camera()
    graph.show(camera)
    for limit in (1.0, 0.0):
        assert graph.set(node, "abstain_below", limit).successful
        answer = graph.ask(candidates=["a", "b", "c"]).answer
        chosen = limit == 0.0 and max(answer.scores) >= answer.none_score
        assert (answer.status == answer.ANSWERED) == chosen


def test_answer_max_age(graph: Graph, node: PerceptionNode) -> None:
    camera = graph.camera()
    graph.stamp = time.time_ns() - 60 * SECOND
    graph.show(camera)
    for limit, fits in ((0.0, False), (3600.0, True)):
        assert graph.set(node, "answer_max_age", limit).successful
        assert accepted(graph.ask(max_age=duration(0))) == fits


def test_request_timeout(graph: Graph, node: PerceptionNode) -> None:
    camera = graph.camera()
    graph.show(camera)
    assert graph.set(node, "request_timeout", 0.1).successful
    reply = graph.ask(candidates=[f"a thing with the number {i}" for i in range(1000)])
    assert "no answer within 0.1 s" in reply.result.message
    assert graph.set(node, "request_timeout", 20.0).successful
    assert accepted(graph.ask())


def test_image_timeout(graph: Graph, node: PerceptionNode) -> None:
    log = graph.listen("rcl_interfaces/msg/Log", "/rosout")
    assert graph.set(node, "image_timeout", 0.5).successful
    assert graph.spin(lambda: any("no image on" in m.msg for m in log))


def test_the_decoders_detection(graph: Graph) -> None:
    made = graph.add(SelectiveDecoderNode, model=MODEL)
    detector = made._inputs["front"].decoder.detector
    values = {
        "sensitivity": 20.0,
        "threshold": 0.1,
        "release": 0.5,
        "smoothing": 1.5,
        "settle": 2.5,
        "min_gap": 3.5,
    }
    for name, value in values.items():
        assert graph.set(made, name, value).successful
        assert getattr(detector.config, name) == value
    for name, value in {"turn_rate": 0.5, "turn_factor": 9.0}.items():
        assert graph.set(made, name, value).successful
        assert getattr(detector.guard.config, name.removeprefix("turn_")) == value
    result = graph.set(made, "threshold", 3.0)
    assert not result.successful
    assert "2" in result.reason
    assert detector.config.threshold == 0.1


def test_the_decoders_reports(graph: Graph) -> None:
    made = graph.add(SelectiveDecoderNode, model=MODEL)
    assert graph.set(made, "request_timeout", 0.2).successful
    assert "within 0.2 s" in graph.call("vljepa_ros/srv/Describe", "describe").result.message
    publisher = graph.publisher(EMBEDDING, "front/embeddings")
    assert graph.set(made, "always_on", True).successful
    graph.connect(publisher)  # always_on
    scene = graph.listen("vljepa_ros/msg/SceneEvent", "front/scene", latched=True)
    assert graph.set(made, "include_vector", True).successful

    def show() -> None:
        graph.stamp += SECOND // 5
        message = ros.interface(EMBEDDING)(camera="front", query="q")
        message.model_id = made.engine.config.model_id
        message.vector = [1.0] + [0.0] * (made.engine.config.dim - 1)
        message.header.stamp = ros.Time(nanoseconds=graph.stamp).to_msg()
        publisher.publish(message)
        graph.spin_once_all()

    assert graph.spin(lambda: scene and len(scene[-1].vector), again=show)
    assert len(scene[-1].vector) == made.engine.config.dim
    assert graph.set(made, "min_confidence", 1.0).successful
    reply = graph.call("vljepa_ros/srv/Describe", "describe")
    assert (reply.event.text, reply.event.confidence) == ("", 0.0)


def test_the_cameras(graph: Graph, tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    cv2.imwrite(str(tmp_path / "a.png"), np.full((8, 8, 3), 50, np.uint8))
    images = graph.listen("sensor_msgs/msg/Image", "image")
    made = graph.add(CameraNode, source=str(tmp_path), rate=5.0)
    assert graph.spin(lambda: images)
    assert graph.set(made, "frame_id", "other").successful
    assert graph.spin(lambda: images[-1].header.frame_id == "other")
    assert graph.set(made, "encoding", "bgr8").successful
    assert graph.spin(lambda: images[-1].encoding == "bgr8")
    assert graph.set(made, "rate", 100.0).successful
    before = len(images)
    assert graph.spin(lambda: len(images) >= before + 10)
    first, last = (nanoseconds(one.header.stamp) for one in (images[before], images[before + 9]))
    assert last - first < 9 * SECOND / 5, "faster than before"
    assert graph.set(made, "loop", False).successful
    assert graph.spin(lambda: made._pace is None), "it plays to the end"
    graph.spin_once_all()
    before = len(images)
    graph.spin_for(0.3)
    assert len(images) == before


def test_labels_that_fit_by_themselves_but_not_together_change_nothing(
    graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = graph.add(PerceptionNode, model=MODEL, labels=["a", "b", "c"])
    monkeypatch.setattr("vljepa_ros.perception.vocabulary.MAX_TOTAL_LABELS", 5)
    result = graph.set(node, "front.labels", ["what? | d | e | f"])
    assert (result.successful, result.reason) == (False, "6 labels in all, allowed: 1 to 5")
    assert node.get_parameter("front.labels").value == [""]
    assert graph.set(node, "max_rate", 7.0).successful, "the refused value is not used later either"
    assert graph.set(node, "front.labels", ["what? | d | e"]).successful
