"""Bad input: each gets a clear word that names what is allowed, and the node lives on."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from graph import COLOURS, MODEL, PATIENCE, SECOND, Graph, image, nanoseconds, status

from vljepa_ros import ros
from vljepa_ros.nodes.perception_node import PerceptionNode
from vljepa_ros.resources import model_dir

EMBEDDING = "vljepa_ros/msg/Embedding"
DIAGNOSTICS = "diagnostic_msgs/msg/DiagnosticArray"
ENCODINGS = "rgb8, bgr8, rgba8, bgra8"


@pytest.fixture(scope="module")
def started(network: Graph) -> Any:
    """One node for all tests that leave it alive, which is what they are about."""
    node = network.add(
        PerceptionNode, model=MODEL, max_rate=1000.0, image_timeout=1.0, always_on=True
    )
    network.nodes.remove(node)  # not to be removed after each test
    yield node
    network.nodes.append(node)
    network.remove(node)


def second(**options: Any) -> PerceptionNode:
    """Another robot's node, beside the one that is there."""
    return PerceptionNode(namespace="/second/vljepa", **options)


def ask_second(graph: Graph) -> Any:
    return graph.call(
        "vljepa_ros/srv/AnswerQuestion",
        "/second/vljepa/answer_question",
        question="what?",
        candidates=["yes", "no"],
    )


class Watch:
    """Diagnostics and log of the node, and whether it still works."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.diagnostics = graph.listen(DIAGNOSTICS, "/diagnostics")
        self.log = graph.listen("rcl_interfaces/msg/Log", "/rosout")
        self.camera = graph.camera()

    def says(self, *texts: str, again: Callable[[], Any] | None = None) -> bool:
        """Whether the diagnostics come to say so; see `Graph.spin` for `again`."""

        def found() -> bool:
            now = status(self.diagnostics, "perception_node: camera front")
            return now is not None and all(text in now.message for text in texts)

        return self.graph.spin(found, again=again)

    def logs(self, *texts: str, again: Callable[[], Any] | None = None) -> bool:
        return self.graph.spin(
            lambda: any(all(text in m.msg for text in texts) for m in self.log), again=again
        )

    def lives(self) -> bool:
        """Whether new images become embeddings with their stamps, and the diagnostics say so."""
        heard = self.graph.listen(EMBEDDING, "front/embeddings")
        first = self.graph.stamp
        end = time.monotonic() + 2 * PATIENCE
        while time.monotonic() < end:
            self.graph.show(self.camera, "green", 0.5)
            newest = nanoseconds(heard[-1].header.stamp) if heard else 0
            now = status(self.diagnostics, "perception_node: camera front")
            if first < newest <= self.graph.stamp and now and now.message == "images arrive":
                return True
        return False


@pytest.fixture
def watch(graph: Graph, started: Any) -> Watch:
    return Watch(graph)


def test_no_camera_is_said_with_the_image_topics_that_exist(graph: Graph) -> None:
    graph.publisher("sensor_msgs/msg/CompressedImage", "/robot/camera/compressed", 5)
    graph.add(PerceptionNode, model=MODEL, image_timeout=0.5, front__image_topic="/no/camera")
    diagnostics = graph.listen(DIAGNOSTICS, "/diagnostics")
    log = graph.listen("rcl_interfaces/msg/Log", "/rosout")
    assert graph.spin(
        lambda: (s := status(diagnostics, "camera front")) and "no image on" in s.message
    )
    assert "no image on '/no/camera' yet" in status(diagnostics, "camera front").message
    assert graph.spin(lambda: any("/robot/camera/compressed (compressed)" in m.msg for m in log))
    assert any("set front.image_topic and front.transport" in m.msg for m in log)


def test_a_camera_that_stops(graph: Graph, watch: Watch) -> None:
    assert watch.lives()
    assert watch.says("no image on '/camera/image_raw' any more")
    assert watch.logs("any more", "image topics that exist: /camera/image_raw (raw)")
    assert watch.lives()


@pytest.mark.parametrize(
    ("fields", "texts"),
    [
        ({"encoding": "32FC1"}, ["image encoding is '32FC1', allowed:", ENCODINGS]),
        ({"encoding": ""}, ["image encoding is '', allowed:", ENCODINGS]),
        ({"data": b"123"}, ["truncated: 3 bytes, 80x60 rgb8 with step 240 needs 14400"]),
        ({"data": b""}, ["truncated: 0 bytes"]),
        ({"height": 0, "data": b""}, ["80x0 pixels, allowed: at least 1x1"]),
        ({"width": 0}, ["0x60 pixels, allowed: at least 1x1"]),
        ({"step": 7}, ["step is 7 bytes, allowed for rgb8 of width 80: at least 240"]),
    ],
)
def test_images_that_cannot_be_used(
    graph: Graph, watch: Watch, fields: dict[str, Any], texts: list[str]
) -> None:
    def show() -> None:
        graph.stamp += SECOND // 10
        message = image("red", graph.stamp)
        for name, value in fields.items():
            setattr(message, name, value)
        watch.camera.publish(message)
        graph.turn()

    assert watch.says("no usable image", *texts, again=show)
    assert watch.logs(*texts)
    assert watch.lives()


def test_truncated_images_in_mid_stream(graph: Graph, watch: Watch) -> None:
    assert watch.lives()

    def show() -> None:
        graph.show_one(watch.camera)
        graph.show_one(watch.camera, data=b"\x00" * 100)

    assert watch.logs("images could not be used", "truncated: 100 bytes", again=show)
    assert watch.lives()


def test_jpegs_that_are_none(graph: Graph) -> None:
    node = graph.add(
        PerceptionNode, model=MODEL, front__transport="compressed", front__image_topic="/jpeg"
    )
    diagnostics = graph.listen(DIAGNOSTICS, "/diagnostics")
    camera = graph.camera("/jpeg", "sensor_msgs/msg/CompressedImage")
    message = ros.interface("sensor_msgs/msg/CompressedImage")(format="jpeg", data=b"GIF89a12")
    message.header.stamp = node.get_clock().now().to_msg()
    assert graph.spin(
        lambda: (s := status(diagnostics, "camera front")) and "allowed: JPEG and PNG" in s.message,
        again=lambda: camera.publish(message),
    )


def test_another_resolution_in_mid_stream(graph: Graph, watch: Watch) -> None:
    heard = graph.listen(EMBEDDING, "front/embeddings")
    graph.show(watch.camera, "red", 2.0)
    first = graph.stamp
    assert graph.spin(
        lambda: heard and nanoseconds(heard[-1].header.stamp) > first,
        again=lambda: graph.show_one(watch.camera, "blue", height=48, width=200),
    )
    assert watch.lives()


def test_time_jumping_back(graph: Graph, watch: Watch) -> None:
    assert watch.lives()
    graph.stamp -= 60 * SECOND
    assert watch.lives(), "embeddings with the new stamps"
    graph.stamp += 60 * SECOND
    assert watch.lives()


def test_stamps_of_a_bag_without_simulated_time_are_named(graph: Graph, watch: Watch) -> None:
    before, graph.stamp = graph.stamp, time.time_ns() - 48 * 3600 * SECOND
    texts = ("48 h old: is this a bag?", "use_sim_time:=true")
    assert watch.says(*texts, again=lambda: graph.show_one(watch.camera))
    graph.stamp = before
    assert watch.lives()


def test_images_without_stamp_take_the_time_of_arrival(graph: Graph, watch: Watch) -> None:
    heard = graph.listen(EMBEDDING, "front/embeddings")
    assert graph.spin(lambda: heard, again=lambda: watch.camera.publish(image("red", 0)))
    assert watch.logs("images have no stamp", "set header.stamp")
    assert abs(nanoseconds(heard[-1].header.stamp) - time.time_ns()) < 3600 * SECOND


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"camera": "rear"}, "unknown camera 'rear', allowed: front"),
        ({"candidates": []}, "0 candidates, allowed: 1 to 10000"),
        ({"candidates": ["yes", ""]}, "text 1 of the candidates has 0 characters"),
        ({"candidates": ["x"] * 10001}, "10001 candidates, allowed: 1 to 10000"),
        ({"question": ""}, "has 0 characters, allowed: 1 to 512"),
        ({"question": "why? " * 200}, "characters, allowed: 1 to 512"),
        ({"max_age": 0.001}, "older than max_age allows"),
        ({"image": [image("red", 1, encoding="32FC1")]}, "encoding is '32FC1', allowed: rgb8"),
        ({"image": [image("red", 1, data=b"12")]}, "truncated: 2 bytes"),
    ],
)
def test_questions_that_cannot_be_answered(
    graph: Graph, watch: Watch, fields: dict[str, Any], reason: str
) -> None:
    graph.stamp = time.time_ns() - 60 * SECOND
    graph.show(watch.camera, "red", 2.0)
    reply = graph.ask(**fields)
    assert not reply.success
    assert reason in reply.message
    assert (reply.index, reply.answer) == (-1, "")
    assert graph.ask(next(iter(COLOURS))).success, "the node lives on"


def test_a_question_before_the_first_image(graph: Graph, started: Any) -> None:
    graph.add(second, model=MODEL, front__image_topic="/nothing")
    reply = ask_second(graph)
    assert "camera 'front' has sent no usable image yet" in reply.message


def test_a_single_candidate_and_duplicates(graph: Graph, watch: Watch) -> None:
    graph.show(watch.camera, "red", 2.0)
    reply = graph.ask(candidates=["yes"])
    assert (reply.success, reply.answer, len(reply.scores)) == (True, "yes", 1)
    assert reply.margin == pytest.approx(reply.scores[0])
    reply = graph.ask(candidates=["no", "yes", "no", "yes", "no"])
    assert reply.success
    assert len(set(reply.scores)) == 2


def test_ten_thousand_candidates_are_answered_or_the_deadline_is(
    graph: Graph, watch: Watch
) -> None:
    graph.show(watch.camera, "red", 2.0)
    many = [f"thing number {i}" for i in range(10000)]
    reply = graph.ask(candidates=many)
    if reply.success:
        assert len(reply.scores) == 10000
        assert many[reply.index] == reply.answer
    else:
        assert "no answer within 10 s" in reply.message
    assert watch.lives()


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ([], "0 labels of 'which?', allowed: 1 to 10000"),
        (["a", "b", "a"], "appear twice: 'a'; allowed: each label once"),
        (["a", " "], "has 0 characters, allowed: 1 to 512"),
        (["a|b"], "contains '|'"),
        ([str(i) for i in range(10001)], "10001 labels of 'which?', allowed: 1 to 10000"),
    ],
)
def test_labels_that_cannot_be_used(
    graph: Graph, started: Any, labels: list[str], reason: str
) -> None:
    before = started.vocabulary
    reply = graph.call("vljepa_ros/srv/SetLabels", "set_labels", prompt="which?", labels=labels)
    assert not reply.success
    assert reason in reply.message
    assert started.vocabulary == before


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
    assert not reply.success
    assert "not configured" in reply.message
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
    assert "not configured" in reply.message
    assert expected in reply.message
    assert "ros2 lifecycle set /second/vljepa/perception_node configure" in reply.message
    if damage in ("truncated", "corrupted", "missing"):
        shutil.copy(model_dir(MODEL) / "frame.onnx", weights)
        node.autostart()
        assert node.active, "once the file is right, the same node starts"
