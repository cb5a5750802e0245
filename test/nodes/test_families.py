"""The nodes with each family, by changing one argument."""

from __future__ import annotations

import json
import shutil
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from graph import Graph, accepted, image, question

from vljepa_ros import ros
from vljepa_ros.nodes.perception_node import PerceptionNode
from vljepa_ros.nodes.selective_decoder_node import SelectiveDecoderNode
from vljepa_ros.nodes.trigger_node import TriggerNode

pytestmark = pytest.mark.skipif(
    not (find_spec("torch") and find_spec("transformers")), reason="needs torch and transformers"
)
# Each: the module and the function that make its folder, and the family. Imported when a test runs:
# launch_testing's plugin imports every test module, and a robot has no torch.
LABELS = ["what is it? | a cup | a door"]
FAMILIES = {
    "clip": ("tiny_dual_encoders", "tiny_clip", "dual_encoder"),
    "siglip": ("tiny_dual_encoders", "tiny_siglip", "dual_encoder"),
    "perception-encoder": ("tiny_perception", "tiny_perception", "dual_encoder"),
    "open-vljepa": ("tiny_paper", "converted", "vl_jepa"),
    "qwen": ("tiny_token_vlms", "tiny_qwen", "token_vlm"),
    "instructblip": ("tiny_token_vlms", "tiny_instructblip", "token_vlm"),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("families")
    return {
        name: getattr(import_module(module), make)(place / name)
        for name, (module, make, _) in FAMILIES.items()
    }


@pytest.mark.parametrize("name", FAMILIES)
def test_one_argument_changes_the_family(name: str, graph: Graph, folders: dict[str, Path]) -> None:
    embeds = FAMILIES[name][-1] != "token_vlm"
    labels = LABELS if embeds else [""]
    node = graph.add(
        PerceptionNode, model=str(folders[name]), engine="torch:fp32@cpu", labels=labels,
        max_rate=1000.0,
    )  # fmt: skip
    info = graph.listen("vljepa_ros/msg/ModelInfo", "model_info", latched=True)
    embeddings = graph.listen("vljepa_ros/msg/Embedding", "front/embeddings")
    seen = graph.listen("vljepa_ros/msg/SceneLabels", "front/labels")
    camera = graph.camera()
    assert graph.spin(lambda: info)
    assert (info[0].family, info[0].engine, info[0].device) == (FAMILIES[name][-1], "torch", "cpu")
    assert info[0].precision == "fp32"
    graph.show(camera, "red", 9.0)  # longer than the longest clip
    reply = graph.ask("what is there ?", ["a cup", "a door"])
    assert accepted(reply), reply.result.message
    assert sum(reply.answer.scores) + reply.answer.none_score == pytest.approx(1.0, abs=1e-4)
    several = graph.ask_all(
        questions=[
            question("what is there ?", ["a cup", "a door"]),
            question("is there a cup ?"),
            question("is the door open ?"),
        ]
    )
    assert accepted(several), several.result.message
    what, presence, state = several.answers
    assert what.scores == pytest.approx(list(reply.answer.scores), abs=1e-3)
    reads, judges = FAMILIES[name][-1] != "dual_encoder", "presence" in info[0].capabilities
    assert (state.status != state.UNSUPPORTED) == reads
    assert ("'is there a ...?'" in state.message) != reads
    assert (presence.status != presence.UNSUPPORTED) == (reads or judges)
    if embeds:
        assert graph.spin(lambda: embeddings and seen, again=lambda: graph.show(camera, "red", 0.5))
        assert np.linalg.norm(embeddings[-1].vector) == pytest.approx(1.0, abs=1e-4)
        assert {label.text for label in seen[-1].groups[0].labels} == {"a cup", "a door"}
        assert not accepted(graph.ask("is it so ?", []))
        return
    assert embeddings == []
    assert seen == []
    assert node.pipeline.clips == 0
    assert set(info[0].capabilities) == {"caption", "score"}
    said = graph.ask("what is happening ?", [])
    assert accepted(said), said.result.message
    assert said.answer.index == -1
    about = graph.ask_about(image("red", graph.stamp))
    assert accepted(about), about.result.message
    refused = graph.set(node, "labels", ["what? | a | b"])
    assert not refused.successful
    assert "it has no labels" in refused.reason
    texts = graph.call("vljepa_ros/srv/EncodeText", "encode_text", texts=["a cup"])
    assert not accepted(texts)
    assert "is a token VLM and cannot 'encode_text'" in texts.result.message
    taught = graph.call("vljepa_ros/srv/Teach", "teach", name="lit", other="dark")
    assert taught.result.code == taught.result.UNSUPPORTED
    assert "has no embeddings: it cannot be taught labels" in taught.result.message


@pytest.mark.parametrize("name", ["clip", "siglip"])
def test_a_text_is_never_judged_against_nothing(
    name: str, graph: Graph, folders: dict[str, Path]
) -> None:
    """CLIP would give any single text the score 1.000: it is refused. SigLIP has a bias for it."""
    options = {"engine": "torch:fp32@cpu", "labels": LABELS}
    node = graph.add(PerceptionNode, model=str(folders[name]), **options)
    triggers = graph.add(TriggerNode, triggers=["zzqx 0000"])
    assert graph.spin(lambda: "zzqx" in (w := triggers.parts()[0].message) or w.startswith("1 "))
    asked = graph.ask_about(image("red", graph.stamp), question=question("is it a cup ?", ["yes"]))
    labelled = graph.set(node, "labels", ["what? | a cup"])
    other = ros.interface("vljepa_ros/msg/Trigger")(id="zzqx", texts=["zzqx"])
    watched = graph.call(
        "vljepa_ros/srv/AddTriggers", "add_triggers", owner="planner", triggers=[other]
    )
    unsupported = asked.result.UNSUPPORTED
    if name == "siglip":
        assert accepted(asked)
        assert 0.0 <= asked.answer.scores[0] < 1.0
        assert labelled.successful
        assert accepted(watched)
        return
    assert (asked.result.code, watched.result.code) == (unsupported, unsupported)
    assert asked.answer.status == asked.answer.UNSUPPORTED
    assert not labelled.successful
    for why in (asked.result.message, labelled.reason, watched.result.message):
        assert "cannot judge one alone" in why
        assert "allowed:" in why
    (part,) = [part for part in triggers.parts() if part.name == "triggers"]
    assert "'zzqx 0000'" in part.message
    assert accepted(graph.ask_about(image("red", graph.stamp)))


def test_a_device_without_memory_is_named_and_the_node_lives(
    graph: Graph, folders: dict[str, Path]
) -> None:
    """torch raises where a GPU would be full; the same node answers again when it is not."""
    import torch

    options = {"engine": "torch:fp32@cpu", "labels": LABELS}
    node = graph.add(PerceptionNode, model=str(folders["clip"]), **options)

    def full(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9.00 GiB")

    tower = node.engine._runner._modules["vision"]
    hook = tower.register_forward_pre_hook(full)
    refused = graph.ask_about(image("red", graph.stamp))
    assert not accepted(refused)
    assert "no memory for one input: CUDA out of memory" in refused.result.message
    assert (
        "use a smaller model, fewer frames, a lower precision or the CPU" in refused.result.message
    )
    hook.remove()
    reply = graph.ask_about(image("red", graph.stamp))
    assert accepted(reply), reply.result.message


def test_the_model_folders_own_settings_hold(graph: Graph, folders: dict[str, Path]) -> None:
    """clip_duration, clip_frames, period and device of `vljepa.json`."""
    folder = Path(shutil.copytree(folders["clip"], folders["clip"].parent / "own"))
    own = {"clip_duration": 1.2, "clip_frames": 3, "period": 2.0, "device": "cpu"}
    (folder / "vljepa.json").write_text(json.dumps(own))
    node = graph.add(PerceptionNode, model=str(folder), labels=LABELS, max_rate=1000.0)
    info = graph.listen("vljepa_ros/msg/ModelInfo", "model_info", latched=True)
    assert graph.spin(lambda: info)
    assert (info[0].clip_frames, info[0].device) == (3, "cpu")
    assert info[0].frame_interval == pytest.approx(0.4)
    assert node.pipeline.cameras["front"].max_rate == 0.5


def test_a_model_without_a_decoder_speaks_the_words_in_use(
    graph: Graph, folders: dict[str, Path]
) -> None:
    """Those of perception, at once when they change, none below what is asked for."""
    same = {"model": str(folders["siglip"]), "engine": "torch:fp32@cpu"}
    node = graph.add(PerceptionNode, **same, labels=LABELS, max_rate=1000.0)
    decoder = graph.add(SelectiveDecoderNode, **same, state_file="")
    events = graph.listen("vljepa_ros/msg/SceneEvent", "events")
    camera = graph.camera()

    def seen() -> None:
        graph.show(camera, "red", 0.5)

    assert graph.spin(lambda: events, again=seen)
    assert events[-1].text in {"a cup", "a door"}
    assert not events[-1].decoded
    assert graph.set(node, "labels", ["what is it? | a red cup | a person"]).successful
    assert graph.spin(lambda: events[-1].text in {"a red cup", "a person"}, again=seen)
    assert events[-1].previous_text in {"a cup", "a door"}
    assert graph.set(decoder, "min_confidence", 1.0).successful
    reply = graph.call("vljepa_ros/srv/Describe", "describe")
    assert accepted(reply), reply.result.message
    assert (reply.event.text, reply.event.confidence) == ("", 0.0)
