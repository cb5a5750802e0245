"""The perception node on real middleware: results, laziness, questions, labels, texts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from graph import (
    MODEL,
    SECOND,
    Graph,
    accepted,
    image,
    nanoseconds,
    status,
    two_colours,
    value,
)

from vljepa_ros import ros
from vljepa_ros.nodes.perception_node import PerceptionNode
from vljepa_ros.perception.frames import image_to_rgb

EMBEDDING = "vljepa_ros/msg/Embedding"
LABELS = "vljepa_ros/msg/SceneLabels"


def start(graph: Graph, **parameters):
    return graph.add(PerceptionNode, model=MODEL, **{"max_rate": 1000.0, **parameters})


def test_embeddings_carry_the_cameras_stamp_and_frame(graph: Graph) -> None:
    start(graph)
    heard = graph.listen(EMBEDDING, "front/embeddings")
    camera = graph.camera()
    last = graph.show(camera, "red", 3.0)
    assert graph.spin(lambda: heard and nanoseconds(heard[-1].header.stamp) == last), "the newest"
    got = heard[-1]
    assert got.header.frame_id == "front_optical"
    assert got.camera == "front"
    assert np.linalg.norm(np.array(got.vector)) == pytest.approx(1.0, abs=1e-4)
    assert last - nanoseconds(got.clip_start) == pytest.approx(1.5 * SECOND, abs=0.26 * SECOND)
    assert got.saturation == pytest.approx(1 - 30 / 220, abs=0.01)
    assert got.latency > 0
    stamps = [nanoseconds(message.header.stamp) for message in heard]
    assert stamps == sorted(set(stamps)), "each clip once, in order"


def test_labels_stand_in_groups_best_first_with_calibrated_scores(graph: Graph) -> None:
    start(graph, labels=["what is happening? | a cat | a dog | nothing", "is it dark? | yes | no"])
    heard = graph.listen(LABELS, "front/labels")
    words = graph.listen("vljepa_ros/msg/Vocabulary", "vocabulary", latched=True)
    camera = graph.camera()
    assert graph.spin(lambda: words)
    graph.show(camera)
    assert graph.spin(lambda: heard)
    got = heard[-1]
    assert [group.prompt for group in got.groups] == ["what is happening?", "is it dark?"]
    assert {label.text for label in got.groups[0].labels} == {"a cat", "a dog", "nothing"}
    for group in got.groups:
        scores = [label.score for label in group.labels]
        assert scores == sorted(scores, reverse=True)
        assert sum(scores) + group.none_score == pytest.approx(1.0, abs=1e-5)
    assert got.vocabulary_version == words[-1].version == 1


def test_latched_topics_tell_latecomers_what_runs(graph: Graph) -> None:
    node = start(graph)
    graph.spin_for(0.5)
    info = graph.listen("vljepa_ros/msg/ModelInfo", "model_info", latched=True)
    words = graph.listen("vljepa_ros/msg/Vocabulary", "vocabulary", latched=True)
    assert graph.spin(lambda: info and words)
    config = node.engine.config
    assert (info[0].model_id, info[0].dim) == (config.model_id, config.dim)
    assert info[0].visual_dim == config.visual_dim
    assert info[0].engine == "onnxruntime"
    assert info[0].domain == config.domain != ""
    scores = config.calibration
    assert info[0].calibration_id == scores.id != replace(scores, none_similarity=0.0).id
    assert info[0].none_similarity == pytest.approx(scores.none_similarity)
    assert {group.prompt: tuple(group.labels) for group in words[0].groups} == config.vocabulary
    assert {group.owner for group in words[0].groups} == {"model"}


def test_model_info_is_repeated_while_the_node_is_active(graph: Graph) -> None:
    node = start(graph)
    info = graph.listen("vljepa_ros/msg/ModelInfo", "model_info", latched=True)
    assert graph.spin(lambda: len(info) >= 3)
    stamps = [nanoseconds(each.stamp) for each in info]
    assert stamps == sorted(set(stamps))
    node.trigger_deactivate()
    del info[:]
    graph.spin_for(1.5)
    assert not info


def test_nothing_is_encoded_while_nobody_listens(graph: Graph) -> None:
    node = start(graph)
    camera = graph.camera()
    graph.show(camera, "red", 3.0)
    assert node.pipeline.clips == 0
    reply = graph.ask(candidates=["red", "green"])
    assert accepted(reply), reply.result.message
    assert nanoseconds(reply.answer.header.stamp) == graph.stamp


def test_several_cameras_stay_apart(graph: Graph) -> None:
    start(
        graph,
        cameras=["left", "right"],
        left__image_topic="/left/image",
        right__image_topic="/right/image",
    )
    heard = {c: graph.listen(EMBEDDING, f"{c}/embeddings") for c in ("left", "right")}
    cameras = {c: graph.camera(f"/{c}/image") for c in heard}

    def show() -> None:
        graph.show_one(cameras["left"], "red")
        graph.show_one(cameras["right"], "blue")

    assert graph.spin(lambda: all(heard.values()), again=show)
    assert {m.camera for m in heard["left"]} == {"left"}
    assert {m.camera for m in heard["right"]} == {"right"}


def test_compressed_images(graph: Graph) -> None:
    cv2 = pytest.importorskip("cv2")
    start(graph, front__transport="compressed", front__image_topic="/camera/compressed")
    heard = graph.listen(EMBEDDING, "front/embeddings")
    camera = graph.camera("/camera/compressed", "sensor_msgs/msg/CompressedImage")
    kind = ros.interface("sensor_msgs/msg/CompressedImage")
    _, jpeg = cv2.imencode(".jpg", np.full((60, 80, 3), 90, np.uint8))

    def show() -> None:
        graph.stamp += SECOND // 10
        message = kind(format="jpeg", data=jpeg.tobytes())
        message.header.stamp = ros.Time(nanoseconds=graph.stamp).to_msg()
        camera.publish(message)
        graph.spin_once_all()

    assert graph.spin(lambda: heard, again=show)


def test_texts_are_encoded_to_rows_of_norm_one(graph: Graph) -> None:
    start(graph)
    reply = graph.call(
        "vljepa_ros/srv/EncodeText", "encode_text", texts=["a red mug", "a door", "a red mug"]
    )
    assert accepted(reply), reply.result.message
    rows = np.array(reply.vectors).reshape(3, reply.dim)
    assert np.allclose(np.linalg.norm(rows, axis=1), 1.0, atol=1e-4)
    assert np.allclose(rows[0], rows[2], atol=1e-5)


def test_set_labels_sets_the_parameter_and_the_latched_vocabulary(graph: Graph) -> None:
    node = start(graph)
    words = graph.listen("vljepa_ros/msg/Vocabulary", "vocabulary", latched=True)
    reply = graph.call(
        "vljepa_ros/srv/SetLabels", "set_labels", prompt="which pet?", labels=["cat", "dog"]
    )
    assert accepted(reply), reply.result.message
    assert "which pet? | cat | dog" in node.get_parameter("labels").value
    assert graph.spin(lambda: words and words[-1].version == reply.vocabulary_version)
    pets = words[-1].groups[-1]
    assert (pets.prompt, pets.owner, list(pets.labels)) == ("which pet?", "unnamed", ["cat", "dog"])
    reply = graph.call("vljepa_ros/srv/SetLabels", "set_labels", labels=["a", "b", "c"])
    assert accepted(reply)
    assert graph.spin(lambda: words[-1].version == reply.vocabulary_version)
    default = node.engine.config.default_query
    assert list(groups(words[-1])[default].labels) == ["a", "b", "c"]


def groups(vocabulary: Any) -> dict[str, Any]:
    return {group.prompt: group for group in vocabulary.groups}


def test_groups_are_removed_and_remember_their_owner(graph: Graph) -> None:
    def set_labels(owner: str, prompt: str, *labels: str) -> Any:
        return graph.call(
            "vljepa_ros/srv/SetLabels",
            "set_labels",
            owner=owner,
            prompt=prompt,
            labels=list(labels),
        )

    node = start(graph, labels=["dark? | yes | no"])
    words = graph.listen("vljepa_ros/msg/Vocabulary", "vocabulary", latched=True)
    assert accepted(set_labels("planner", "which pet?", "cat", "dog"))
    assert graph.spin(lambda: words and len(words[-1].groups) == 2)
    found = {prompt: group.owner for prompt, group in groups(words[-1]).items()}
    assert found == {"dark?": "parameter", "which pet?": "planner"}
    assert accepted(set_labels("operator", "which pet?", "cat", "dog"))
    refused = set_labels("planner", "which fish?")
    assert refused.result.code == refused.result.UNKNOWN_ID
    assert "there are: 'dark?', 'which pet?'" in refused.result.message
    assert accepted(set_labels("planner", "which pet?"))
    assert node.get_parameter("labels").value == ["dark? | yes | no"]
    assert graph.spin(lambda: len(words[-1].groups) == 1)
    assert accepted(set_labels("planner", "dark?")), "the last one: back to the model's own"
    own = set(node.engine.config.vocabulary)
    assert graph.spin(lambda: set(groups(words[-1])) == own)


def test_a_camera_has_labels_of_its_own(graph: Graph) -> None:
    node = start(graph, cameras=["left", "right"], labels=["is it dark? | yes | no", "a? | b | c"])
    words = graph.listen("vljepa_ros/msg/Vocabulary", "vocabulary", latched=True)
    reply = graph.call(
        "vljepa_ros/srv/SetLabels",
        "set_labels",
        cameras=["right"],
        prompt="is it dark?",
        labels=["dark", "bright", "dim"],
    )
    assert accepted(reply)
    assert node.get_parameter("right.labels").value == ["is it dark? | dark | bright | dim"]
    assert graph.spin(lambda: words and words[-1].version == reply.vocabulary_version)
    assert [list(group.cameras) for group in words[-1].groups] == [[], [], ["right"]]
    seen = {name: graph.listen(LABELS, f"{name}/labels") for name in ("left", "right")}
    camera = graph.camera()
    graph.show(camera)
    assert graph.spin(
        lambda: all(seen.values()) and seen["right"][-1].vocabulary_version == words[-1].version,
        again=lambda: graph.show_one(camera, "blue"),
    )
    assert {g.prompt: len(g.labels) for g in seen["left"][-1].groups} == {"is it dark?": 2, "a?": 2}
    assert {g.prompt: len(g.labels) for g in seen["right"][-1].groups} == {
        "a?": 2,
        "is it dark?": 3,
    }
    unknown = graph.call("vljepa_ros/srv/SetLabels", "set_labels", cameras=["up"], labels=["x"])
    assert unknown.result.code == unknown.result.UNKNOWN_CAMERA
    assert not graph.set(node, "left.labels", ["twice | x | x"]).successful


def test_regions_of_a_picture_are_decoded_once_and_encoded_in_one_batch(
    graph: Graph, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[int] = []

    def counting(message: Any, levels: Any = None) -> Any:
        decoded.append(nanoseconds(message.header.stamp))
        return image_to_rgb(message, levels)

    monkeypatch.setattr("vljepa_ros.perception.frames.image_to_rgb", counting)
    regions = {"left.crop": [0, 0, 40, 60], "right.crop": [40, 0, 0, 0]}
    node = start(graph, cameras=["left", "right", "all"], **regions)
    batches: list[int] = []
    encode = node.engine.encode
    monkeypatch.setattr(
        node.engine,
        "encode",
        lambda clips, states: batches.append(len(clips)) or encode(clips, states),
    )
    seen = {name: graph.listen(EMBEDDING, f"{name}/embeddings") for name in node.cameras}
    camera = graph.camera()
    assert camera.get_subscription_count() == 1
    graph.show(camera, **two_colours("red", "blue"))
    assert graph.spin(lambda: all(seen.values()))
    newest = {name: np.array(heard[-1].vector) for name, heard in seen.items()}
    assert newest["left"] @ newest["right"] < 0.999
    assert set(batches) == {3}
    tries, shared = decoded[:3], decoded[3:]
    assert len(set(tries)) == 1, "each camera tries a new format once"
    assert len(shared) == len(set(shared)) > 3
    other = graph.listen(EMBEDDING, "left/embeddings")
    graph.show(camera, **two_colours("red", "green"))
    assert graph.spin(lambda: other)
    assert np.array(other[-1].vector) @ newest["left"] > 0.9999, "it sees nothing of the rest"


def test_ten_thousand_labels_do_not_stop_the_stream(graph: Graph) -> None:
    node = start(graph, request_timeout=1.0)
    heard = graph.listen(EMBEDDING, "front/embeddings")
    camera = graph.camera()
    graph.show(camera)
    assert graph.spin(lambda: heard)
    many = [f"thing {i}" for i in range(10000)]
    reply = graph.call("vljepa_ros/srv/SetLabels", "set_labels", prompt="which?", labels=many)
    assert accepted(reply)
    before = len(heard)
    assert graph.spin(lambda: len(heard) > before, again=lambda: graph.show_one(camera, "blue"))
    if node.pipeline.labels.pending:
        assert "still being encoded" in reply.result.message


def test_the_stages_are_in_the_diagnostics(graph: Graph) -> None:
    start(graph)
    diagnostics = graph.listen("diagnostic_msgs/msg/DiagnosticArray", "/diagnostics")
    graph.listen(EMBEDDING, "front/embeddings")
    camera = graph.camera()
    graph.show(camera)
    assert graph.spin(
        lambda: (found := status(diagnostics, "pipeline")) and value(found, "clips") != "0"
    )
    assert graph.spin(
        lambda: any("stage_ms.publish" in p.key for p in status(diagnostics, "pipeline").values)
    )
    found = status(diagnostics, "perception_node: pipeline")
    for stage in ("preprocess", "x_encoder", "predictor", "publish"):
        assert float(value(found, f"stage_ms.{stage}.median")) >= 0
    # By the wall clock, and the stamps are the test's own: hours would be another unit.
    age = float(value(found, "stage_ms.camera_to_embedding.median"))
    assert abs(age) < 3_600_000
    model = status(diagnostics, "perception_node: model")
    assert value(model, "device") == "cpu"
    assert graph.spin(lambda: value(status(diagnostics, "camera front"), "received") == "20"), (
        "each image was heard before the next"
    )


def test_classification_where_vision_msgs_is_installed(graph: Graph) -> None:
    if ros.find_interface("vision_msgs/msg/Classification") is None:
        pytest.skip("vision_msgs is not installed")
    start(graph, labels=["red", "green"])
    heard = graph.listen("vision_msgs/msg/Classification", "front/classification")
    camera = graph.camera()
    graph.show(camera, "red", 4.0)
    assert graph.spin(lambda: heard)
    assert {result.class_id for result in heard[-1].results} == {"red", "green"}


def test_subscribers_that_ask_for_too_much_are_named_with_the_remedy(graph: Graph) -> None:
    start(graph)
    log = graph.listen("rcl_interfaces/msg/Log", "/rosout")
    diagnostics = graph.listen("diagnostic_msgs/msg/DiagnosticArray", "/diagnostics")
    graph.listen(EMBEDDING, "front/embeddings", latched=True)
    assert graph.spin(lambda: any("incompatible QoS on 'front/embeddings'" in m.msg for m in log))
    warning = next(m.msg for m in log if "incompatible QoS on 'front/embeddings'" in m.msg)
    assert "DURABILITY" in warning
    assert "subscribe with volatile" in warning
    assert graph.spin(
        lambda: (s := status(diagnostics, "pipeline")) and "DURABILITY" in value(s, "qos")
    )


def test_the_image_subscriptions_quality_can_be_overridden(graph: Graph) -> None:
    name = "qos_overrides./camera/image_raw.subscription.reliability"
    node = graph.add(lambda **options: made(name, **options), model=MODEL)
    ends: list[Any] = []

    def look() -> bool:
        ends[:] = graph.client.get_subscriptions_info_by_topic("/camera/image_raw")
        return len(ends) == 1

    assert graph.spin(look)
    (end,) = ends
    assert end.qos_profile.reliability == ros.ReliabilityPolicy.RELIABLE
    assert node.get_parameter(name).value == "reliable"


def test_an_outputs_quality_can_be_overridden(graph: Graph) -> None:
    name = "qos_overrides./vljepa/front/labels.publisher.reliability"
    graph.add(lambda **options: made(name, "best_effort", **options), model=MODEL)
    ends: list[Any] = []

    def look() -> bool:
        ends[:] = graph.client.get_publishers_info_by_topic("front/labels")
        return len(ends) == 1

    assert graph.spin(look)
    assert ends[0].qos_profile.reliability == ros.ReliabilityPolicy.BEST_EFFORT


def made(name: str, value: str = "reliable", **options) -> PerceptionNode:
    options["parameter_overrides"].append(ros.Parameter(name, value=value))
    return PerceptionNode(**options)


def test_pictures_out_of_the_models_domain_are_marked_until_they_are_not_judged(
    graph: Graph,
) -> None:
    node = start(graph, judge_domain=True, always_on=True)
    heard, labels = (
        graph.listen(EMBEDDING, "front/embeddings"),
        graph.listen(LABELS, "front/labels"),
    )
    diagnostics = graph.listen("diagnostic_msgs/msg/DiagnosticArray", "/diagnostics")
    camera = graph.camera()

    def show() -> None:
        graph.show_one(camera, "green")

    assert graph.spin(lambda: heard and not heard[-1].in_domain, again=show)
    assert graph.spin(lambda: labels and not labels[-1].in_domain, again=show)
    answer = graph.ask().answer
    assert (answer.status, answer.in_domain) == (answer.OUT_OF_DOMAIN, False)
    assert (answer.answer, answer.index, len(answer.scores)) == ("", -1, 0)

    def says() -> str:
        found = status(diagnostics, "camera front")
        return found.message if found else ""

    assert graph.spin(lambda: "model:=everyday" in says(), again=show)
    assert f"'{node.engine.config.name}' was made for" in says() == answer.message
    assert value(status(diagnostics, "camera front"), "in_domain") == "False"
    picture = graph.ask_about(image("green", graph.stamp)).answer
    assert (picture.status, picture.in_domain) == (picture.OUT_OF_DOMAIN, False)
    assert graph.set(node, "judge_domain", False).successful
    assert graph.spin(lambda: heard[-1].in_domain, again=show)
    assert graph.ask().answer.status != answer.OUT_OF_DOMAIN


def test_a_broken_image_is_forgotten_where_nobody_subscribes_any_more(graph: Graph) -> None:
    """Then nothing is decoded: no good image would end the trouble."""
    graph.add(PerceptionNode, model=MODEL, max_rate=1000.0)
    diagnostics = graph.listen("diagnostic_msgs/msg/DiagnosticArray", "/diagnostics")
    camera = graph.camera()

    def says(text: str) -> bool:
        now = status(diagnostics, "perception_node: camera front")
        return now is not None and text in now.message

    graph.listen(EMBEDDING, "front/embeddings")
    assert graph.spin(lambda: says("images arrive"), again=lambda: graph.show_one(camera))
    assert graph.spin(
        lambda: says("truncated"), again=lambda: graph.show_one(camera, data=b"too little")
    )
    graph.unsubscribe_all()
    diagnostics = graph.listen("diagnostic_msgs/msg/DiagnosticArray", "/diagnostics")
    assert graph.spin(lambda: says("images arrive"), again=lambda: graph.show_one(camera))
