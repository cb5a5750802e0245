"""From the command line: convert, export, choose, bench; and what is said when it cannot be."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
from tiny_hub import image, set_field
from tiny_paper import tiny_best_pt, tiny_vjepa2

from vljepa_ros.cli.main import main
from vljepa_ros.cli.models import fetch_model
from vljepa_ros.engines.load import load_engine
from vljepa_ros.engines.protocol import Clip
from vljepa_ros.models.config import ModelError
from vljepa_ros.resources import model_dir


@pytest.fixture(autouse=True)
def own_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLJEPA_ROS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.mark.timeout(600)  # an export takes its time on a busy machine
def test_an_exported_model_is_chosen_and_equals_torch(
    clip_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "vljepa_ros.engines")
    folder = Path(shutil.copytree(clip_folder, tmp_path / "clip"))
    torch_engine = load_engine(folder, "auto@cpu")
    assert torch_engine.info.engine == "torch"
    assert f"nothing has been exported: vljepa export {folder}" in caplog.text or (
        f"would run faster after: vljepa export {folder}" in caplog.text
    )
    assert main(["export", str(folder), "--json"]) == 0
    parity = json.loads(capsys.readouterr().out)["parity"]
    assert {"vision", "text"} == set(parity)
    assert all(p["difference"] < 1e-4 for p in parity.values())

    caplog.clear()
    engine = load_engine(folder, "auto@cpu", threads=1)
    assert engine.info.engine == "onnxruntime"
    assert "the fastest engine that can run here" in caplog.text
    clip = Clip(np.stack([image(32, 32, i) for i in range(4)]), (0, 1, 2, 3))
    vectors = []
    for each in (engine, torch_engine):
        tokens = each.encode([clip], [None])[0].tokens
        scores = each.score(tokens, "is the door open ?", ["yes", "no"])
        vectors.append((each.embed([tokens], ""), each.encode_text(["a cup"]), scores))
    for one, other in zip(*vectors, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)

    # Other weights: the graphs are stale, and are not used.
    shutil.copyfile(
        clip_folder.parent / clip_folder.name / "model.safetensors", folder / "model.safetensors"
    )
    with (folder / "model.safetensors").open("r+b") as file:
        file.seek(-4, 2)
        file.write(b"\0\0\x80\x3f")
    with pytest.raises(ModelError, match=r"cannot run .*: .*(stale|no onnx).*vljepa export"):
        load_engine(folder, "onnxruntime")
    assert load_engine(folder, "auto@cpu").info.engine == "torch"


def test_convert_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    best = tiny_best_pt(tmp_path / "s")
    line = [
        "convert", "open-vljepa", str(best), str(tmp_path / "out"),
        "--x-encoder", str(tiny_vjepa2(tmp_path / "v")),
        "--predictor-config", str(tmp_path / "s/llama"),
        "--y-encoder-config", str(tmp_path / "s/gemma"),
    ]  # fmt: skip
    assert main(line) == 0
    capsys.readouterr()
    engine = load_engine(tmp_path / "out", "torch@cpu")
    assert engine.encode_text(["ids: 1 2"]).shape == (1, 16)
    assert main(line) == 1
    assert "is not empty" in capsys.readouterr().err
    assert main([*line[:4], "--x-encoder", "no/model"]) == 1
    assert "download it with: vljepa fetch-model no/model" in capsys.readouterr().err
    with pytest.raises(ModelError, match=r"cannot run in fp16: EmbeddingGemma.*: fp32, bf16"):
        load_engine(tmp_path / "out", "torch:fp16@cpu")
    half = load_engine(tmp_path / "out", "torch:bf16@cpu")
    cosine = (half.encode_text(["ids: 1 2"]) * engine.encode_text(["ids: 1 2"])).sum()
    assert 0.99 < float(cosine) < 1.0
    assert main(["export", str(tmp_path / "out"), "--precision", "fp16"]) == 1
    assert "EmbeddingGemma" in capsys.readouterr().err


@pytest.mark.check
@pytest.mark.timeout(600)
def test_bench_of_the_tiny_full_size(capsys: pytest.CaptureFixture[str]) -> None:
    line = ["bench", "engine", "--model", "full", "--random-weights", "--tiny", "--json",
            "--samples", "5", "--engines", "torch:bf16"]  # fmt: skip
    assert main([*line, "--frames", "2,4", "--queries", "1,2", "--batch", "1,2"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert len(result["rows"]) >= 16
    four, two = result["gflop"]["4"], result["gflop"]["2"]
    assert 1.9 < four["encode"] / two["encode"] < 2.6
    assert all(row["parity"]["cosine"] > 0.99 for row in result["rows"])
    half = [row for row in result["rows"] if row["engine"] == "torch:bf16"]
    assert all(row["ratio_same_precision"] == 1.0 for row in half)
    assert main(["bench", "engine", "--model", "nano", "--random-weights"]) == 1
    assert "--model full only" in capsys.readouterr().err
    assert main(["bench", "engine", "--batch", "0"]) == 2
    assert "numbers from 1 up" in capsys.readouterr().err


def test_models_by_name_path_and_id(tmp_path: Path, clip_folder: Path) -> None:
    assert model_dir(str(clip_folder)) == clip_folder
    with pytest.raises(ModelError, match="vljepa fetch-model openai/no-such-model"):
        model_dir("openai/no-such-model")
    with pytest.raises(ModelError, match="'nowhere' is not a hub id; allowed: OWNER/NAME"):
        fetch_model("nowhere")
    with pytest.raises(ModelError, match="'openai/no-such-model' cannot be fetched: "):
        fetch_model("openai/no-such-model")


def test_a_folder_in_the_hubs_cache_is_found_offline(
    tmp_path: Path, clip_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    entry = tmp_path / "models--own--clip"
    shutil.copytree(clip_folder, entry / "snapshots" / "abc")
    (entry / "refs").mkdir()
    (entry / "refs" / "main").write_text("abc")
    assert model_dir("own/clip").name == "abc"
    # fetched with --revision only: `main` stays what it is, the revision is named
    changed = Path(shutil.copytree(clip_folder, entry / "snapshots" / "def"))
    (entry / "refs" / "v2").write_text("def")
    assert model_dir("own/clip@v2") == changed
    assert model_dir("own/clip@v2") != model_dir("own/clip")
    (entry / "refs" / "main").unlink()
    with pytest.raises(ModelError, match=r"fetched with --revision REV is named own/clip@REV"):
        model_dir("own/clip")
    engine = load_engine(model_dir("own/clip@v2"), "torch@cpu")
    assert engine.config.name == "clip"
    with pytest.raises(ModelError, match="two revisions: v2 in 'own/clip@v2', and v3"):
        fetch_model("own/clip@v2", "v3")
    (entry / "refs" / "main").write_text("abc")
    set_field(model_dir("own/clip"), "vljepa.json", name="own-clip")
    assert load_engine(model_dir("own/clip"), "torch@cpu").config.name == "own-clip"


def test_build_engine_without_a_gpu(clip_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    assert main(["build-engine", str(clip_folder)]) == 1
    assert "allowed here: auto, cpu" in capsys.readouterr().err
