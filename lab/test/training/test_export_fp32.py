"""The fp32 folder that rounding is judged against."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch

from vljepa_lab.training.export_fp32 import write_unrounded
from vljepa_lab.training.loop import save_checkpoint
from vljepa_ros.engines.load import load_engine
from vljepa_ros.models.config import ModelError
from vljepa_ros.models.folder import load_config
from vljepa_ros.models.vl_jepa.nano_config import Architecture
from vljepa_ros.models.vl_jepa.nano_weights import load_model
from vljepa_ros.resources import model_dir


def test_weights_before_rounding_run_and_others_are_refused(tmp_path: Path) -> None:
    folder = model_dir("nano")
    config = load_config(folder)
    model = load_model(config.path("weights"), Architecture.from_dict(config.architecture))
    shipped = model.predictor.out.weight.detach().clone()
    with torch.no_grad():
        model.predictor.out.weight *= 1 + 1e-4
    parts = {"frame": model.frame, "predictor": model.predictor, "text_head": model.text_head}
    save_checkpoint(tmp_path / "predictor.pt", parts, 1.0, True)
    out = tmp_path / "fp32"
    assert write_unrounded(tmp_path, folder, out) == "predictor"
    engine = load_engine(out, "torch@cpu", threads=1)
    assert engine.config.model_id == f"{config.model_id}-fp32"
    assert engine.encode_text(["the door opens"]).shape == (1, config.dim)
    kept = load_model(out / "model.safetensors", Architecture.from_dict(config.architecture))
    assert not torch.equal(kept.predictor.out.weight, shipped)

    with torch.no_grad():
        model.predictor.out.weight += 0.1
    save_checkpoint(tmp_path / "predictor.pt", parts, 1.0, True)
    with pytest.raises(ModelError, match="was not exported from"):
        write_unrounded(tmp_path, folder, out)
    with pytest.raises(ModelError, match="no checkpoint"):
        write_unrounded(tmp_path / "nowhere", folder, out)
