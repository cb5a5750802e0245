"""CLIP, SigLIP and SigLIP 2 against transformers, on torch and on ONNX Runtime."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from tiny_hub import image, set_field

from vljepa_ros.engines.dual_encoder_engine import DualEncoderEngine
from vljepa_ros.engines.export import export_parts
from vljepa_ros.engines.load import load_engine
from vljepa_ros.engines.onnxruntime_runner import OnnxRuntimeRunner
from vljepa_ros.engines.protocol import Clip
from vljepa_ros.engines.torch_runner import TorchRunner
from vljepa_ros.models.config import ModelConfig, ModelError
from vljepa_ros.models.dual_encoder.hub_towers import load_towers
from vljepa_ros.models.dual_encoder.inputs import (
    TEMPLATES,
    DualEncoderTokenizer,
    dual_encoder_parts,
)
from vljepa_ros.models.folder import load_config
from vljepa_ros.models.tokenizer import TextError

BOTH = frozenset({"vision", "text"})
FOLDERS = ("clip_folder", "siglip_folder", "naflex_folder")


def torch_engine(folder: Path) -> DualEncoderEngine:
    config = load_config(folder)
    runner = TorchRunner(dual_encoder_parts(config), load_towers(config, BOTH), device="cpu")
    return DualEncoderEngine(config, runner, BOTH)


@pytest.fixture(scope="module")
def engines(request: pytest.FixtureRequest) -> dict[str, DualEncoderEngine]:
    return {name: torch_engine(request.getfixturevalue(name)) for name in FOLDERS}


def clip_of(seed: int, frames: int = 4, size: int = 32) -> Clip:
    stack = np.stack([image(size, size, seed * 10 + i) for i in range(frames)])
    return Clip(stack, tuple(seed * 1000 + i for i in range(frames)))


def reference(folder: Path, clip: Clip, texts: list[str]) -> tuple[Any, Any, Any]:
    """Frame features [T, D], text features [N, D] and logits [T, N] as transformers computes
    them."""
    model = transformers.AutoModel.from_pretrained(folder).eval()
    processor = transformers.AutoImageProcessor.from_pretrained(folder, use_fast=False)
    tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(folder)
    kind = model.config.model_type
    padding = {"padding": True} if kind == "clip" else {"padding": "max_length", "max_length": 16}
    ids = tokenizer(
        [t if kind == "clip" else t.lower() for t in texts],
        return_tensors="pt",
        truncation=True,
        **padding,
    )
    ids.pop("token_type_ids", None)
    pixels = processor(images=list(clip.frames), return_tensors="pt")
    with torch.no_grad():
        out = model(**ids, **pixels)
    return out.image_embeds.numpy(), out.text_embeds.numpy(), out.logits_per_image.numpy()


@pytest.mark.parametrize("name", FOLDERS)
def test_embeddings_equal_transformers(
    name: str, engines: dict[str, DualEncoderEngine], request: pytest.FixtureRequest
) -> None:
    folder, engine, clip = request.getfixturevalue(name), engines[name], clip_of(1)
    texts = ["the Door is open", "a red cup on the table , a blue cup , a person walking", "no"]
    frames, words, logits = reference(folder, clip, texts)
    tokens = engine.encode([clip], [None])[0].tokens
    np.testing.assert_allclose(tokens, frames, atol=1e-4)
    mean = frames.mean(axis=0) / np.linalg.norm(frames.mean(axis=0))
    np.testing.assert_allclose(engine.embed([tokens], "ignored")[0], mean, atol=1e-4)
    plain = engine.encode_text(texts, ("{}",))
    np.testing.assert_allclose(plain, words, atol=1e-4)
    # The calibration is the model's own scale and bias.
    scale = engine.config.calibration.logit_scale
    bias = (
        0.0
        if "clip" in name and "siglip" not in name
        else (-scale * engine.config.calibration.none_similarity)
    )
    np.testing.assert_allclose(tokens @ plain.T * scale + bias, logits, atol=5e-3)


@pytest.mark.parametrize("side", ["left", "right"])
def test_ids_equal_those_of_siglip_2s_own_tokenizer(side: str, tmp_path: Path) -> None:
    pieces = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "▁", *"abcdefghijklmnoprstu"]
    vocabulary = {piece: i for i, piece in enumerate([*pieces, "re", "red", "▁c", "▁cu", "▁cup"])}
    merges = [("r", "e"), ("re", "d"), ("▁", "c"), ("▁c", "u"), ("▁cu", "p")]
    own = transformers.Siglip2Tokenizer(vocab=vocabulary, merges=merges, padding_side=side)
    own.save_pretrained(tmp_path)
    texts = ["A red cup", "a Door", "red " * 7]
    expected = own(texts, padding="max_length", truncation=True, max_length=16)
    config = ModelConfig(
        tmp_path, "siglip", "dual_encoder", "siglip-0", 8, 1, 0.5, 32, "",
        files={"tokenizer": "tokenizer.json"},
        architecture={"model_type": "siglip2", "text_config": {"max_position_embeddings": 16}},
    )  # fmt: skip
    tokens = DualEncoderTokenizer(config)
    ids, mask = tokens(texts)
    assert ids.tolist() == expected["input_ids"]
    assert mask.tolist() == expected["attention_mask"]


@pytest.mark.parametrize("name", FOLDERS)
def test_labels_that_are_one_text_to_the_model_are_refused(
    name: str, engines: dict[str, DualEncoderEngine]
) -> None:
    """They differ beyond the longest text only, or in what the tokenizer drops."""
    engine, long = engines[name], "a red cup on the table " * 5
    engine.check_texts("", ["a red cup", "a blue cup"])
    for refused in (
        lambda: engine.check_texts("", [f"{long} open", f"{long} closed"]),
        lambda: engine.encode_text([f"{long} open"]),
        lambda: engine.score(np.ones((4, engine.config.dim), np.float32), "?", ["no", long]),
    ):
        with pytest.raises(TextError, match=r"has \d\d tokens, allowed: (16|24) with"):
            refused()
    with pytest.raises(TextError, match="'a red cup' and 'a Red cup' are the same tokens"):
        engine.check_texts("", ["a red cup", "a Red cup"])


def test_templates_are_averaged(engines: dict[str, DualEncoderEngine], clip_folder: Path) -> None:
    wordings = [template.format("red cup") for template in TEMPLATES]
    _, words, _ = reference(clip_folder, clip_of(1), wordings)
    mean = words.mean(axis=0)
    seen = engines["clip_folder"].encode_text(["red cup"])[0]
    np.testing.assert_allclose(seen, mean / np.linalg.norm(mean), atol=1e-4)


def test_many_texts_keep_their_order(engines: dict[str, DualEncoderEngine]) -> None:
    engine = engines["clip_folder"]
    words = ["cup", "door", "red", "blue", "table", "robot"]
    texts = [f"{a} {b}" for a in words for b in words]
    together = engine.encode_text(texts + texts[:3])
    np.testing.assert_allclose(together[-3:], together[:3], atol=0)
    for i in (0, 7, 35):
        np.testing.assert_allclose(engine.encode_text([texts[i]])[0], together[i], atol=1e-6)
    assert engine.encode_text([]).shape == (0, 16)


def test_score_compares_statements(engines: dict[str, DualEncoderEngine]) -> None:
    engine = engines["siglip_folder"]
    tokens = engine.encode([clip_of(2)], [None])[0].tokens
    scores = engine.score(tokens, "Where is the cup?", ["here", "there"])
    statements = engine.encode_text(["the cup is here", "the cup is there"], ("{}",))
    np.testing.assert_allclose(scores, statements @ engine.embed([tokens], "")[0], atol=1e-6)
    assert engine.score(tokens, "x", []).shape == (0,)


def test_frames_are_encoded_once(engines: dict[str, DualEncoderEngine]) -> None:
    engine = engines["clip_folder"]
    first = clip_of(3)
    calls: list[int] = []
    run = engine._runner.run

    def counted(part: str, inputs: Any) -> Any:
        calls.append(len(inputs["frames"]))
        return run(part, inputs)

    engine._runner.run = counted  # type: ignore[method-assign]
    state = engine.encode([first], [None])[0].state
    fresh = image(32, 32, 99)
    later = Clip(np.concatenate([first.frames[1:], fresh[None]]), (*first.stamps[1:], 5000))
    moved = engine.encode([later], [state])[0].tokens
    engine._runner.run = run  # type: ignore[method-assign]
    assert calls == [4, 1]
    np.testing.assert_allclose(moved, engine.encode([later], [None])[0].tokens, atol=1e-6)


def test_retrieval_finds_the_clip_a_text_was_made_for(
    engines: dict[str, DualEncoderEngine],
) -> None:
    """The nearest clip to a clip's own embedding is itself, in a batch of different streams."""
    engine = engines["naflex_folder"]
    clips = [clip_of(seed) for seed in range(5)]
    batch = engine.encode(clips, [None] * 5)
    together = engine.embed([e.tokens for e in batch], "")
    alone = np.stack([engine.embed([engine.encode([c], [None])[0].tokens], "")[0] for c in clips])
    assert (together @ alone.T).argmax(axis=1).tolist() == list(range(5))
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_generate_names_the_nearest_label(engines: dict[str, DualEncoderEngine]) -> None:
    engine = engines["clip_folder"]
    texts, vectors = engine.known_texts()
    assert "generate" in engine.capabilities
    said = engine.generate(vectors[3:5])
    assert [g.text for g in said] == texts[3:5]
    assert all(not g.decoded and 0.0 < g.confidence <= 1.0 for g in said)


@pytest.mark.check
@pytest.mark.timeout(600)  # an export takes its time on a busy machine
@pytest.mark.parametrize(("name", "parts"), [("naflex_folder", frozenset({"vision"}))])
def test_onnx_runtime_equals_torch(
    name: str,
    parts: frozenset[str],
    engines: dict[str, DualEncoderEngine],
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> None:
    config = load_config(request.getfixturevalue(name))
    specs = [part for part in dual_encoder_parts(config) if part.name in parts]
    graphs = export_parts(specs, load_towers(config, parts), tmp_path)
    exported = DualEncoderEngine(config, OnnxRuntimeRunner(specs, graphs, threads=1), parts)
    clips = [clip_of(4), clip_of(5, frames=2)]
    for ours, theirs in zip(
        exported.encode(clips, [None, None]), engines[name].encode(clips, [None, None]), strict=True
    ):
        np.testing.assert_allclose(ours.tokens, theirs.tokens, atol=1e-4)
    assert exported.info.engine == "onnxruntime"
    if "text" in parts:
        texts = ["a cup", "the door is open , a person walking"]
        np.testing.assert_allclose(
            exported.encode_text(texts), engines[name].encode_text(texts), atol=1e-4
        )
    else:
        assert exported.capabilities == {"embed"}
        with pytest.raises(ModelError, match="without its part 'text'"):
            exported.encode_text(["a cup"])


def test_wrong_clips_are_refused(engines: dict[str, DualEncoderEngine]) -> None:
    engine = engines["clip_folder"]
    with pytest.raises(ModelError, match=r"takes uint8 \[frames, 32, 32, 3\]"):
        engine.encode([clip_of(1, size=48)], [None])
    with pytest.raises(ModelError, match="1 clips, but 0 states"):
        engine.encode([clip_of(1)], [])
    with pytest.raises(ModelError, match="2 stamps for 4 frames"):
        engine.encode([Clip(clip_of(1).frames, (1, 2))], [None])


def copy(folder: Path, to: Path) -> Path:
    return Path(shutil.copytree(folder, to / folder.name))


def test_weights_that_do_not_fit_are_named(clip_folder: Path, tmp_path: Path) -> None:
    folder = copy(clip_folder, tmp_path)
    set_field(folder, "config.json", projection_dim=24)
    with pytest.raises(ModelError, match=r"wrong shape: text_projection.weight .*\(16, 32\)"):
        torch_engine(folder)
    from safetensors.torch import load_file, save_file

    folder = copy(clip_folder, tmp_path / "b")
    weights = load_file(folder / "model.safetensors")
    weights.pop("visual_projection.weight")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"missing: visual_projection.weight"):
        torch_engine(folder)


def test_files_of_other_ages_and_precisions(siglip_folder: Path, tmp_path: Path) -> None:
    """Constants that old files hold are no reason to refuse; a scale in bf16 or fp16 is read."""
    from safetensors.torch import load_file, save_file

    for dtype, tolerance in ((torch.bfloat16, 0.02), (torch.float16, 0.002)):
        folder = copy(siglip_folder, tmp_path / str(dtype))
        weights = {k: v.to(dtype) for k, v in load_file(folder / "model.safetensors").items()}
        weights["text_model.embeddings.position_ids"] = torch.arange(16)[None]
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        engine = torch_engine(folder)
        scale = engine.config.calibration.logit_scale
        assert scale == pytest.approx(np.exp(4.7), rel=tolerance)
        bias = -scale * engine.config.calibration.none_similarity
        assert bias == pytest.approx(-16.5, abs=0.01)
        assert engine.encode_text(["a cup"]).dtype == np.float32


def test_folders_that_are_no_models_are_named(clip_folder: Path, tmp_path: Path) -> None:
    folder = copy(clip_folder, tmp_path)
    set_field(folder, "config.json", model_type="bert")
    with pytest.raises(ModelError, match=r"model_type is 'bert'.*allowed: clip, "):
        load_config(folder)
    folder = copy(clip_folder, tmp_path / "b")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"pytorch_model.bin is a pickle, which is never read"):
        load_config(folder)
    folder = copy(clip_folder, tmp_path / "c")
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=r"tokenizer.json' is missing"):
        torch_engine(folder)


def test_own_fields_beside_the_hub_files(clip_folder: Path, tmp_path: Path) -> None:
    folder = copy(clip_folder, tmp_path)
    set_field(
        folder,
        "vljepa.json",
        clip_frames=2,
        frame_interval=0.2,
        templates=["this is {}"],
        vocabulary={"room": ["a cup", "a door"]},
    )
    config = load_config(folder)
    assert (config.clip_frames, config.frame_interval) == (2, 0.2)
    assert config.vocabulary == {"room": ("a cup", "a door")}
    assert torch_engine(folder).known_texts()[0] == ["a cup", "a door"]
    set_field(folder, "vljepa.json", input_size=64)
    with pytest.raises(ModelError, match=r"input_size is 64, allowed: 32, the size of the image"):
        load_config(folder)
    set_field(folder, "vljepa.json", input_size=32, clip_frame=3)
    with pytest.raises(ModelError, match=r"unknown fields clip_frame; allowed: .*clip_frames"):
        load_config(folder)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"clip_duration": 0}, r"frame_interval is 0\.0, allowed: 0\.001 to 60"),
        ({"clip_duration": "long"}, "clip_duration is 'long' for clip_frames 4, allowed: seconds"),
        ({"clip_frames": 0}, "clip_frames is 0, allowed: 1 to 64"),
        ({"period": -1}, r"period is -1, allowed: 0\.0 to 60\.0"),
        ({"memory_limit": "all"}, "memory_limit is 'all', allowed: a number"),
        ({"device": "gpu"}, "device is 'gpu', allowed: cpu, cuda, cuda:N"),
    ],
)
def test_settings_of_a_folder_that_cannot_be(
    fields: dict[str, Any], says: str, clip_folder: Path, tmp_path: Path
) -> None:
    folder = copy(clip_folder, tmp_path)
    set_field(folder, "vljepa.json", **fields)
    with pytest.raises(ModelError, match=says):
        load_config(folder)


def test_settings_of_a_folder(clip_folder: Path, tmp_path: Path) -> None:
    folder = copy(clip_folder, tmp_path)
    own = {"clip_duration": 1.2, "clip_frames": 3, "period": 2, "memory_limit": 1.5}
    set_field(folder, "vljepa.json", **own, device="cuda:1")
    config = load_config(folder)
    assert (config.clip_frames, config.period, config.memory_limit) == (3, 2, 1.5)
    assert config.clip_frames * config.frame_interval == pytest.approx(1.2)
    assert config.frame_interval == pytest.approx(0.4)
    with pytest.raises(ModelError, match="device is 'cuda:1', allowed here: auto, cpu"):
        load_engine(folder, "torch")
    assert load_engine(folder, "torch@cpu").info.device == "cpu"


def test_ids_differ_with_the_weights(clip_folder: Path, tmp_path: Path) -> None:
    from tiny_dual_encoders import tiny_clip

    other = tiny_clip(tmp_path / clip_folder.name, seed=5)
    assert load_config(other).name == load_config(clip_folder).name
    assert load_config(other).model_id != load_config(clip_folder).model_id
