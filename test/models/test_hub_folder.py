"""Folders in the hub's format: identity from contents alone, and what is refused, by name."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from safetensors.torch import load_file, save_file  # noqa: E402
from tiny_dual_encoders import tiny_clip  # noqa: E402
from tiny_hub import set_field  # noqa: E402
from tiny_token_vlms import tiny_instructblip, tiny_qwen  # noqa: E402

from vljepa_ros.engines.cache import EngineCache  # noqa: E402
from vljepa_ros.engines.load import cache_key, load_engine  # noqa: E402
from vljepa_ros.models.config import ModelError  # noqa: E402
from vljepa_ros.models.folder import load_config  # noqa: E402


@pytest.fixture
def clip(clip_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(clip_folder, tmp_path / "clip"))


def edit_weights(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def test_identity_is_that_of_the_contents(clip: Path, tmp_path: Path) -> None:
    """Not of folders or commits, and not of notes of who wrote the files."""
    own = load_config(clip).model_id
    assert own.startswith("clip-")
    entry = tmp_path / "models--openai--clip-vit-base"
    moved = Path(shutil.copytree(clip, entry / "snapshots" / "0123abcd"))
    set_field(moved, "config.json", transformers_version="9.9", _name_or_path="x", dtype="float16")
    assert load_config(moved).model_id == own
    assert load_config(moved).name == "clip-vit-base"
    (tmp_path / "link").symlink_to(moved)
    assert load_config(tmp_path / "link").model_id == own


@pytest.mark.parametrize(
    "what", ["image_mean", "do_normalize", "weights", "tokenizer", "templates"]
)
def test_what_enters_the_result_makes_another_model(what: str, clip: Path) -> None:
    own = load_config(clip).model_id
    if what == "weights":
        edit_weights(clip, lambda t: t["text_projection.weight"][3].add_(0.01))
    elif what == "tokenizer":
        raw = json.loads((clip / "tokenizer.json").read_text())
        raw["model"]["vocab"]["open"], raw["model"]["vocab"]["closed"] = 17, 16
        (clip / "tokenizer.json").write_text(json.dumps(raw))
    elif what == "templates":
        set_field(clip, "vljepa.json", templates=["{}"])
    else:
        value = {"image_mean": [0.5, 0.4, 0.3], "do_normalize": False}[what]
        set_field(clip, "preprocessor_config.json", **{what: value})
    assert load_config(clip).model_id != own


def test_a_corrected_mean_makes_the_exported_graph_stale(clip: Path, tmp_path: Path) -> None:
    """The graph holds the old mean: using it gave a cosine of .84."""
    cache = EngineCache(tmp_path / "cache")
    graph = tmp_path / "vision.onnx"
    graph.write_bytes(b"graph")
    set_field(clip, "vljepa.json", model_id="fixed")
    cache.store(cache_key(load_config(clip), "onnx", "fp32"), {"vision": graph}, {})
    assert cache.explain(cache_key(load_config(clip), "onnx", "fp32")) == ""
    set_field(clip, "preprocessor_config.json", image_mean=[0.5, 0.5, 0.5])
    assert "from this folder as it is" in cache.explain(
        cache_key(load_config(clip), "onnx", "fp32")
    )


def test_an_untied_head_that_is_missing_is_named(tmp_path: Path) -> None:
    """transformers fills it with random numbers; a tied one is the token table and need not be."""
    folder = tiny_qwen(tmp_path / "qwen")
    edit_weights(folder, lambda tensors: tensors.pop("lm_head.weight"))
    with pytest.raises(ModelError, match=r"missing: lm_head\.weight"):
        load_engine(folder, "torch:fp32@cpu")
    set_field(folder, "config.json", tie_word_embeddings=True)
    load_engine(folder, "torch:fp32@cpu").close()


def test_weights_that_are_no_numbers_are_named(clip: Path) -> None:
    edit_weights(clip, lambda t: t["text_projection.weight"][3, 3].fill_(float("nan")))
    with pytest.raises(ModelError, match=r"not finite: text_projection\.weight"):
        load_engine(clip, "torch:fp32@cpu")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("logit_scale", "lack the tensor 'logit_scale'"),
        ("logit_bias", "lack the tensor 'logit_bias'"),
    ],
)
def test_a_scale_that_is_missing_is_named(
    name: str, says: str, siglip_folder: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(siglip_folder, tmp_path / "siglip"))
    edit_weights(folder, lambda tensors: tensors.pop(name))
    with pytest.raises(ModelError, match=says):
        load_config(folder)


def test_a_folder_half_downloaded_is_refused(clip: Path) -> None:
    for name in ("preprocessor_config.json", "processor_config.json"):
        (clip / name).unlink(missing_ok=True)
    with pytest.raises(ModelError, match=r"neither processor_config\.json nor preprocessor_config"):
        load_config(clip)
    set_field(clip, "vljepa.json", preprocessing={"mean": [0.5, 0.5, 0.5]})
    assert load_config(clip).preprocessing["mean"] == [0.5, 0.5, 0.5]
    (clip / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=r"tokenizer\.json' is missing"):
        load_engine(clip, "torch:fp32@cpu")
    (clip / "model.safetensors").rename(clip / "model.safetensors.incomplete")
    with pytest.raises(ModelError, match=r"holds no model\.safetensors"):
        load_config(clip)


def test_the_tokenizer_of_another_model_is_refused(clip: Path) -> None:
    raw = json.loads((clip / "tokenizer.json").read_text())
    known = dict(raw["model"]["vocab"])
    plain = raw["added_tokens"][0]
    raw["added_tokens"] += [{**plain, "id": i, "content": f"<{i}>"} for i in range(len(known), 70)]
    (clip / "tokenizer.json").write_text(json.dumps(raw))
    engine = load_engine(clip, "torch:fp32@cpu")
    engine.encode_text(["a red cup"])
    with pytest.raises(
        ModelError, match="has the token 69, which the model lacks; allowed: 0 to 63"
    ):
        engine.encode_text(["a red <69>"])
    raw["model"]["vocab"] = known | {f"word{i}": len(known) + i for i in range(60)}
    (clip / "tokenizer.json").write_text(json.dumps(raw))
    with pytest.raises(ModelError, match="it is the tokenizer of another model"):
        load_engine(clip, "torch:fp32@cpu")


def test_a_folder_that_cannot_be_written_is_no_hindrance(clip: Path) -> None:
    before = sorted(clip.iterdir())
    clip.chmod(0o555)
    load_engine(clip, "torch:fp32@cpu").close()
    assert sorted(clip.iterdir()) == before
    clip.chmod(0o755)


@pytest.mark.parametrize(
    ("file", "fields"),
    [
        ("tokenizer_config.json", {"model_input_names": 3}),
        ("config.json", {"text_config": {"a": 1}}),
    ],
)
def test_a_value_of_the_wrong_kind_is_found_at_load(
    file: str, fields: dict[str, Any], siglip_folder: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(siglip_folder, tmp_path / "siglip"))
    set_field(folder, file, **fields)
    with pytest.raises(ModelError, match="siglip"):
        load_engine(folder, "torch:fp32@cpu")


@pytest.mark.parametrize(
    ("make", "fields", "says"),
    [
        (tiny_qwen, {"text_config": {"a": 1}}, "million parameters, its weights have 0.. million"),
        (tiny_qwen, {"vision_config": None}, "vision_config is missing; needed: vision_config"),
        (tiny_qwen, {"quantization_config": {"bits": 4}}, "weights that are not quantised"),
        (tiny_instructblip, {"text_config": None}, "text_config is missing; needed: vision_config"),
        (tiny_instructblip, {"qformer_config": 3}, "qformer_config is '3', allowed: an object"),
        (tiny_clip, {"vision_config": {"hidden_size": 0}}, "hidden_size is '0', allowed: 1 to"),
        (tiny_clip, {"text_config": {"num_hidden_layers": 10**9}}, "allowed: 1 to 1000"),
        (tiny_clip, {"projection_dim": True}, "projection_dim is 'True', allowed: 1 to"),
    ],
)
def test_what_a_configuration_lacks_or_gets_wrong_is_named_before_memory_is_taken(
    make: Callable[[Path], Path], fields: dict[str, Any], says: str, tmp_path: Path
) -> None:
    folder = make(tmp_path / "model")
    set_field(folder, "config.json", **fields)
    with pytest.raises(ModelError, match=says):
        load_engine(folder, "torch:fp32@cpu")


VALUES = st.none() | st.booleans() | st.integers(-3, 3) | st.just("x") | st.just([]) | st.just({})


@given(st.data())
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_field_of_the_wrong_kind_is_a_model_error(
    siglip_folder: Path, tmp_path: Path, data: st.DataObject
) -> None:
    folder = tmp_path / "siglip"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(siglip_folder, folder)
    set_field(folder, "vljepa.json", clip_frames=4, vocabulary={"what?": ["a", "b"]})
    name = data.draw(
        st.sampled_from(
            ["config.json", "preprocessor_config.json", "tokenizer_config.json", "vljepa.json"]
        )
    )
    if not (folder / name).is_file():
        return
    raw = json.loads((folder / name).read_text())
    inner = [raw, *(value for value in raw.values() if isinstance(value, dict) and value)]
    part = data.draw(st.sampled_from(inner))
    part[data.draw(st.sampled_from(sorted(part)))] = data.draw(VALUES)
    (folder / name).write_text(json.dumps(raw))
    with suppress(ModelError):
        assert load_config(folder).dim > 0


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("dim", "256", "model.dim must be an integer, not '256'"),
        ("files", [], r"model\.files is '\[\]', allowed: an object"),
        ("vocabulary", {"what?": "abc"}, "model.vocabulary is .*allowed: an object"),
        ("calibration", {"logit_scale": "a"}, "calibration.logit_scale is 'a', allowed: a number"),
        ("calibration", {"scale": 1.0}, "calibration: unknown scale; allowed: logit_scale"),
        ("name", 3, "model.name is '3', allowed: a text"),
        ("preprocessing", None, "model.preprocessing is 'None', allowed: an object"),
        ("preprocessing", {"scale": math.inf}, "preprocessing.scale is inf, allowed: a number ab"),
        ("preprocessing", {"std": [1.0, 0.0, 1.0]}, "std is .*, allowed: three numbers above 0"),
        ("preprocessing", {"mean": [1.0]}, r"mean is \[1.0\], allowed: three numbers"),
        ("calibration", {"logit_scale": math.nan}, "logit_scale is 'nan', allowed: a number"),
        ("input_size", 0, "input_size is 0, allowed: 1 to 4096"),
        ("dim", -1, "model.dim is -1, allowed: 0 to"),
        ("visual_dim", 5, "visual_dim is 5, allowed: 0 to 4"),
        ("change_threshold", 3.0, "change_threshold is 3.0, allowed: 0.0 to 2.0"),
        ("calibration", {"no_below": 0.5}, "no_below is 0.5, yes_above 0.4, allowed"),
    ],
)
def test_our_own_config_is_checked_by_type_and_range(
    field: str, value: Any, says: str, tmp_path: Path
) -> None:
    raw = {
        "name": "m", "family": "vl_jepa", "model_id": "m-1", "dim": 4, "clip_frames": 2,
        "frame_interval": 0.5, "input_size": 8, "default_query": "?", field: value,
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(raw))
    with pytest.raises(ModelError, match=says) as error:
        load_config(tmp_path)
    assert f"'{tmp_path / 'config.json'}': model" in str(error.value)
