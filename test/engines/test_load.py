from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from vljepa_ros.engines.load import load_engine
from vljepa_ros.engines.text_embeddings import TextCache
from vljepa_ros.models.config import ModelError
from vljepa_ros.models.folder import load_config

# The export of the tiny model takes long where other processes have the cores.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def folder(tiny, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny.folder, tmp_path / "copy"))


def change(folder: Path, **fields: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **fields}))


def test_an_unknown_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no model folder at '.*nowhere'"):
        load_engine(tmp_path / "nowhere")
    with pytest.raises(ModelError, match=r"has no config\.json"):
        load_engine(tmp_path)


def test_an_unknown_engine_is_refused_with_those_that_exist(folder: Path) -> None:
    with pytest.raises(ModelError, match="engine is 'psychic', allowed: auto, tensorrt"):
        load_engine(folder, "psychic")
    with pytest.raises(ModelError, match="threads must be 0"):
        load_engine(folder, threads=-1)


@pytest.mark.parametrize("name", ["model.safetensors", "predictor.onnx", "tokenizer.json"])
def test_a_truncated_file_is_found_by_its_hash(folder: Path, name: str) -> None:
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelError, match=rf"{name} is damaged: SHA-256"):
        load_engine(folder)


def test_a_flipped_bit_in_the_weights_is_found(folder: Path) -> None:
    content = bytearray((folder / "model.safetensors").read_bytes())
    content[-5] ^= 1
    (folder / "model.safetensors").write_bytes(bytes(content))
    with pytest.raises(ModelError, match="is damaged"):
        load_engine(folder)


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "window.onnx").unlink()
    with pytest.raises(ModelError, match=r"window\.onnx is missing"):
        load_engine(folder)


@pytest.mark.parametrize("field", ["files", "sha256"])
def test_a_file_outside_of_the_folder_is_refused(folder: Path, field: str) -> None:
    raw = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    outside = "../outside.onnx"
    raw[field] |= {"frame": outside} if field == "files" else {outside: "0" * 64}
    (folder / "config.json").write_text(json.dumps(raw), encoding="utf-8")
    with pytest.raises(ModelError, match=r"names the file '\.\./outside\.onnx', allowed"):
        load_engine(folder)


def test_a_graph_that_is_none_is_refused_also_without_hashes(folder: Path) -> None:
    (folder / "frame.onnx").write_bytes(b"not a graph")
    change(folder, sha256={})
    with pytest.raises(ModelError, match=r"frame\.onnx' cannot be loaded"):
        load_engine(folder)


def test_broken_json_and_unknown_families_are_named(folder: Path) -> None:
    change(folder, family="crystal_ball")
    with pytest.raises(ModelError, match="family is 'crystal_ball', allowed: vl_jepa"):
        load_engine(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(ModelError, match="is not valid JSON"):
        load_engine(folder)
    (folder / "config.json").write_text("[]")
    with pytest.raises(ModelError, match="must hold a JSON object, not list"):
        load_engine(folder)


def test_json_nested_without_end_is_no_json(folder: Path) -> None:
    (folder / "config.json").write_text("[" * 100_000, encoding="utf-8")
    with pytest.raises(ModelError, match="is not valid JSON"):
        load_engine(folder)


def test_known_texts_of_another_size_are_refused(folder: Path) -> None:
    (folder / "known_texts.json").write_text('["one"]')
    change(folder, sha256={})
    with pytest.raises(ModelError, match=r"expected \(1, 16\)"):
        load_engine(folder)


def test_the_model_id_names_the_weights(tiny) -> None:
    config = load_config(tiny.folder)
    assert config.model_id == f"tiny-{config.sha256['model.safetensors'][:8]}"
    assert set(config.files.values()) == set(config.sha256)


def test_the_text_cache_forgets_what_was_used_longest_ago() -> None:
    import numpy as np

    cache = TextCache(2)
    cache.put("a", np.zeros(1, np.float32))
    cache.put("b", np.ones(1, np.float32))
    assert cache.get("a") is not None
    cache.put("c", np.zeros(1, np.float32))
    assert cache.get("b") is None
    assert cache.get("a") is not None
    assert len(cache) == 2
