"""Perception Encoder against what open_clip and timm compute (see `perception_reference.py`)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_hub import image
from tiny_perception import IDS, VARIANTS, frames, reference, tiny_perception

from vljepa_ros.engines.dual_encoder_engine import DualEncoderEngine
from vljepa_ros.engines.export import export_parts
from vljepa_ros.engines.load import load_engine
from vljepa_ros.engines.onnxruntime_runner import OnnxRuntimeRunner
from vljepa_ros.engines.protocol import Clip
from vljepa_ros.models.config import ModelError
from vljepa_ros.models.dual_encoder.hub_towers import load_towers
from vljepa_ros.models.dual_encoder.inputs import dual_encoder_parts
from vljepa_ros.models.folder import load_config
from vljepa_ros.models.preprocessing import preprocess

BOTH = frozenset({"vision", "text"})


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("pe")
    return {name: tiny_perception(place / f"pe-{name}", name) for name in VARIANTS}


def unit(values: torch.Tensor) -> torch.Tensor:
    return values / values.norm(dim=-1, keepdim=True)


@pytest.mark.parametrize("name", VARIANTS)
def test_features_equal_those_of_open_clip(name: str, folders: dict[str, Path]) -> None:
    expected = reference()["variants"][name]
    towers = load_towers(load_config(folders[name]), BOTH)
    with torch.no_grad():
        seen = unit(towers["vision"](frames=torch.from_numpy(frames())))
        read = unit(towers["text"](input_ids=torch.tensor(IDS)))
    np.testing.assert_allclose(seen, expected["image_features"], atol=1e-4)
    np.testing.assert_allclose(read, expected["text_features"], atol=1e-4)
    # Two images and two texts that are near each other would hide a mistake.
    assert float(seen[0] @ seen[1]) < 0.99
    assert float(read[0] @ read[1]) < 0.9


def test_input_equals_open_clips_transform(folders: dict[str, Path]) -> None:
    expected = bytes.fromhex(reference()["variants"]["tiny"]["resized_40x56"])
    config = load_config(folders["tiny"])
    assert config.preprocessing["mean"] == config.preprocessing["std"] == [0.5, 0.5, 0.5]
    seen = preprocess(image(40, 56, 7), config.preprocessing).astype(int)
    levels = np.frombuffer(expected, np.uint8).reshape(32, 32, 3).astype(int)
    assert np.abs(seen - levels).max() <= 1


def test_the_engine_labels_answers_and_finds(folders: dict[str, Path]) -> None:
    engine = load_engine(folders["tiny"], "torch:fp32@cpu")
    config = engine.config
    assert (config.family, config.dim, config.input_size) == ("dual_encoder", 16, 32)
    assert config.calibration.logit_scale == pytest.approx(np.exp(4.0))
    clips = [Clip(frames()[[i]], (0,)) for i in range(2)]
    tokens = [e.tokens for e in engine.encode(clips, [None, None])]
    vectors = engine.embed(tokens, "")
    expected = np.asarray(reference()["variants"]["tiny"]["image_features"])
    np.testing.assert_allclose(vectors, expected, atol=1e-4)
    scores = engine.score(tokens[0], "is the door open ?", ["yes", "no"])
    texts = engine.encode_text(["the door is open"])
    assert scores.shape == (2,)
    assert scores[0] != scores[1]
    assert np.linalg.norm(texts[0]) == pytest.approx(1.0, abs=1e-5)
    assert {"embed", "encode_text", "score", "generate"} == engine.capabilities
    engine.close()


def test_text_length_and_padding_do_not_matter(folders: dict[str, Path]) -> None:
    engine = load_engine(folders["tiny"], "torch:fp32@cpu")
    texts = ["a cup", "a person walking the red table"]
    both = engine.encode_text(texts)
    np.testing.assert_allclose(both[0], load_engine(
        folders["tiny"], "torch:fp32@cpu").encode_text(texts[:1])[0], atol=1e-5)  # fmt: skip


@pytest.mark.check
@pytest.mark.timeout(600)  # an export takes its time on a busy machine
def test_onnx_runtime_equals_torch(folders: dict[str, Path], tmp_path: Path) -> None:
    config = load_config(folders["gigantic"])
    specs = dual_encoder_parts(config)
    graphs = export_parts(specs, load_towers(config, BOTH), tmp_path)
    exported = DualEncoderEngine(config, OnnxRuntimeRunner(specs, graphs, threads=1), BOTH)
    torch_engine = load_engine(folders["gigantic"], "torch:fp32@cpu")
    clip = Clip(np.stack([image(32, 32, i) for i in range(3)]), (0, 1, 2))
    for one in (exported.encode([clip], [None])[0].tokens,):
        other = torch_engine.encode([clip], [None])[0].tokens
        np.testing.assert_allclose(one, other, atol=1e-4)
    texts = ["a cup", "the door is open , no"]
    np.testing.assert_allclose(
        exported.encode_text(texts), torch_engine.encode_text(texts), atol=1e-4
    )


def edit(folder: Path, to: Path, section: str, **fields: object) -> Path:
    copy = Path(shutil.copytree(folder, to))
    file = copy / "open_clip_config.json"
    raw = json.loads(file.read_text())
    part = raw["preprocess_cfg"] if section == "preprocess" else raw["model_cfg"][f"{section}_cfg"]
    part |= fields
    file.write_text(json.dumps(raw))
    return copy


@pytest.mark.parametrize(
    ("section", "fields", "says"),
    [
        ("vision", {"timm_model_name": "resnet50"}, "'resnet50', which no family takes; allowed"),
        ("vision", {"timm_model_name": "vit_pe_core_base_patch16_224"}, "patches of 8 pixels"),
        ("vision", {"image_size": 40}, r"wrong shape: pos_embed \(file \(1, 17, 128\)"),
        ("text", {"no_causal_mask": True}, "text_cfg has no_causal_mask; allowed: context_length"),
        ("text", {"layers": 3}, "missing: transformer.resblocks.2"),
        ("text", {"layers": 10**9}, "layers is '1000000000', allowed: 1 to 1000"),
        ("text", {"heads": 0}, "heads is '0', allowed: 1 to"),
        ("text", {"heads": -1}, "heads is '-1', allowed: 1 to"),
        ("text", {"heads": False}, "heads is 'False', allowed: 1 to"),
        ("text", {"heads": 5}, "heads 5 for width 32 .* allowed: heads that divide the width"),
        ("text", {"mlp_ratio": "x"}, "mlp_ratio 'x', allowed: .* up to 64"),
        ("text", {"vocab_size": 10**7}, "gives a model of .* million parameters, its weights"),
        ("vision", {"image_size": 4000}, "gives a model of .* million parameters, its weights"),
        ("preprocess", {"resize_mode": "longest"}, "'longest' .* allowed: squash, shortest"),
    ],
)
def test_what_does_not_fit_is_named(
    section: str, fields: dict[str, object], says: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    folder = edit(folders["tiny"], tmp_path / "m", section, **fields)
    with pytest.raises(ModelError, match=says):
        load_engine(folder, "torch:fp32@cpu")


def test_missing_weights_are_named(folders: dict[str, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(folders["tiny"], tmp_path / "m"))
    file = folder / "open_clip_model.safetensors"
    weights = load_file(file)
    head = weights.pop("visual.trunk.head.weight")
    save_file(weights, file)
    with pytest.raises(ModelError, match=r"\(visual.trunk\) .*missing: head.weight"):
        load_engine(folder, "torch:fp32@cpu")
    weights = {"visual.trunk.head.weight": head}
    save_file(weights, file)
    with pytest.raises(ModelError, match=r"missing visual.trunk.patch_embed.proj.weight"):
        load_config(folder)
    file.unlink()
    with pytest.raises(ModelError, match=r"holds no model.safetensors"):
        load_config(folder)
