"""Weight files: which they are, what is wrong with them, and that contents alone identify them."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from vljepa_ros.models import weight_files
from vljepa_ros.models.config import ModelError
from vljepa_ros.models.weight_files import (
    read_scalar,
    tensor_shapes,
    weights_digests,
    weights_files,
)

WEIGHTS = {
    "logit_scale": np.array(4.5, np.float32),
    "head.weight": np.arange(12, dtype=np.float32).reshape(3, 4),
    "body.weight": np.zeros((100, 1000), np.float32),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_file(WEIGHTS, tmp_path / "model.safetensors")
    return tmp_path


def sharded(folder: Path) -> Path:
    names = {"a.safetensors": ["logit_scale"], "b.safetensors": ["head.weight", "body.weight"]}
    for file, tensors in names.items():
        save_file({name: WEIGHTS[name] for name in tensors}, folder / file)
    index = {name: file for file, tensors in names.items() for name in tensors}
    (folder / weight_files.INDEX).write_text(json.dumps({"weight_map": index}))
    return folder


def test_one_file_and_shards_are_read_alike(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "shards").mkdir()
    for place in (folder, sharded(tmp_path / "shards")):
        assert tensor_shapes(place) == {name: tensor.shape for name, tensor in WEIGHTS.items()}
        assert read_scalar(place, "logit_scale") == 4.5
        with pytest.raises(ModelError, match="lack the tensor 'logit_bias'"):
            read_scalar(place, "logit_bias")


def test_a_shard_or_tensor_that_is_missing_is_named(tmp_path: Path) -> None:
    folder = sharded(tmp_path)
    save_file({"head.weight": WEIGHTS["head.weight"]}, folder / "b.safetensors")
    with pytest.raises(ModelError, match=r"the weight files lack body\.weight"):
        tensor_shapes(folder)
    (folder / "b.safetensors").unlink()
    with pytest.raises(ModelError, match=r"missing: b\.safetensors; fetch it again"):
        weights_files(folder)
    for raw in ("{}", '{"weight_map": 3}', '{"weight_map": {"x": 5}}', "[", "{"):
        (folder / weight_files.INDEX).write_text(raw)
        with pytest.raises(ModelError, match=r"index\.json'"):
            weights_files(folder)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "best.pt", "model.ckpt"])
def test_a_pickle_is_never_read(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"\x80\x04")
    with pytest.raises(ModelError, match=f"{name} is a pickle, which is never read"):
        weights_files(tmp_path)


def test_a_pointer_of_git_lfs_is_named(folder: Path) -> None:
    text = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3400000000\n"
    (folder / "model.safetensors").write_text(text)
    with pytest.raises(ModelError, match="is a pointer of Git LFS, not the weights: git lfs pull"):
        tensor_shapes(folder)


@given(st.data())
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_file_cut_anywhere_is_refused(folder: Path, data: st.DataObject) -> None:
    file = folder / "model.safetensors"
    save_file(WEIGHTS, file)
    whole = file.read_bytes()
    file.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(ModelError, match=r"truncated or damaged|is not a safetensors file"):
        tensor_shapes(folder)


@given(st.binary(max_size=200))
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_other_bytes_are_refused(folder: Path, raw: bytes) -> None:
    (folder / "model.safetensors").write_bytes(raw)
    with pytest.raises(ModelError, match="safetensors"):
        tensor_shapes(folder)


@pytest.mark.parametrize("least", [1, 64 << 20])
def test_identity_is_that_of_the_contents(
    least: int, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under another name, through a link; and one number in the middle is another model. Digests
    of large files are remembered, until the file changes."""
    monkeypatch.setattr(weight_files, "_REMEMBERED_BYTES", least)
    monkeypatch.setenv("VLJEPA_ROS_CACHE", str(tmp_path / "cache"))
    first = weights_digests(folder)
    assert weights_digests(folder) == first
    link = tmp_path / "link"
    link.mkdir()
    (link / "model.safetensors").symlink_to(folder / "model.safetensors")
    assert weights_digests(link) == first
    changed = {**WEIGHTS, "body.weight": WEIGHTS["body.weight"].copy()}
    changed["body.weight"][50, 500] = 1e-3
    save_file(changed, folder / "model.safetensors")
    assert weights_digests(folder) != first
    assert (tmp_path / "cache" / "sha256.json").exists() == (least == 1)


def test_where_nothing_can_be_written_digests_are_computed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weight_files, "_REMEMBERED_BYTES", 1)
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("VLJEPA_ROS_CACHE", str(tmp_path / "file"))
    assert weights_digests(folder) == weights_digests(folder)


@pytest.mark.parametrize(
    "name", ["../model.safetensors", "/etc/passwd", "a/../../b", "", "x" * 900]
)
def test_an_index_names_files_of_its_folder_only(tmp_path: Path, name: str) -> None:
    (tmp_path / "m").mkdir()
    save_file({"w": np.zeros(1, np.float32)}, tmp_path / "model.safetensors")
    index = {"weight_map": {"w": name}}
    (tmp_path / "m" / weight_files.INDEX).write_text(json.dumps(index), encoding="utf-8")
    with pytest.raises(ModelError, match="allowed: a path within the folder"):
        tensor_shapes(tmp_path / "m")


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": ["F32"], "shape": [], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [1e999], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [], "data_offsets": [-(2**70), 4]},
        {"dtype": "F32", "shape": [], "data_offsets": [4, 4]},
        {"dtype": "F32", "shape": [], "data_offsets": [0, 1e999]},
        {"dtype": "F32", "shape": []},
        "[" * 3000,
    ],
)
def test_a_header_with_values_of_another_kind_is_refused(tmp_path: Path, entry: Any) -> None:
    text = (entry if isinstance(entry, str) else json.dumps({"logit_scale": entry})).encode()
    data = struct.pack("<Q", len(text)) + text + bytes(4)
    (tmp_path / "model.safetensors").write_bytes(data)
    with pytest.raises(ModelError, match=r"model\.safetensors"):
        read_scalar(tmp_path, "logit_scale")
