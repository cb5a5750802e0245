"""`vljepa train nano`, tiny, from nothing to a model that answers; stopped and resumed; gated."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
# Not imported here: the renderer chooses the backend before the first import.
if find_spec("mujoco") is None:
    pytest.skip("mujoco is not installed", allow_module_level=True)

from vljepa_lab.training import nano
from vljepa_lab.training.decoder import DecoderConfig
from vljepa_lab.training.dense import DenseConfig
from vljepa_lab.training.joint import CachedConfig, JointConfig
from vljepa_lab.training.loop import BudgetExceeded, load_checkpoint
from vljepa_lab.training.nano import GateError, train_nano
from vljepa_lab.training.nano_config import GateConfig, NanoConfig, read_arguments
from vljepa_lab.training.text_side import TextConfig
from vljepa_ros.engines.load import load_engine
from vljepa_ros.engines.protocol import Clip
from vljepa_ros.models.vl_jepa.nano_config import FrameSizes, PredictorSizes, WindowSizes

MINUTES = 0.01


def tiny(folder: Path) -> NanoConfig:
    joint = JointConfig(minutes=MINUTES, scenes=2, questions=2, warmup=1)
    cached = CachedConfig(minutes=MINUTES, scenes=2, questions=2, warmup=1)
    return NanoConfig(
        data=folder / "data",
        run=folder / "run",
        out=folder / "model",
        scenes=3,
        furnished_scenes=2,
        val_scenes=2,
        workers=1,
        eval_scenes=0,
        cached_scenes=3,
        pair_scenes=3,
        pair_windows=2,
        known_texts=2,
        calibration_sets=4,
        gate=GateConfig(2, 0.0, 0.0),
        text=TextConfig(minutes=MINUTES, each=1, named=2, warmup=1),
        dense=DenseConfig(minutes=MINUTES, batch=8, warmup=1),
        joint=joint,
        cached=cached,
        refine=joint,
        predictor=replace(cached, tokens_only=True),
        decoder=DecoderConfig(minutes=MINUTES, batch=8, warmup=1, wordings=1),
        frame_sizes=FrameSizes(widths=(8, 8), residual=(0, 0), dim=16, heads=2),
        window_sizes=WindowSizes(dim=16, depth=1, heads=2),
        sizes=PredictorSizes(dim=16, depth=1, heads=2),
    )


@pytest.mark.check
@pytest.mark.timeout(900)
def test_from_nothing_to_a_model_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    config = tiny(tmp_path)
    # A call whose time is over at once renders nothing and says where it stopped.
    with pytest.raises(BudgetExceeded, match="data"):
        train_nano(replace(config, budget_minutes=1e-9))
    assert not config.data.exists()
    train_nano(replace(config, phases=("data",)))
    # The dense phase is stopped after its first step, with a checkpoint to go on from.
    with pytest.raises(BudgetExceeded, match="dense"):
        train_nano(
            replace(
                config,
                phases=("dense",),
                budget_minutes=1e-9,
                dense=replace(config.dense, minutes=60.0),
            )
        )
    stopped = load_checkpoint(config.run / "dense.pt")
    assert stopped is not None
    assert not stopped["done"]
    assert "optimizer" in stopped["parts"]

    train_nano(config)
    assert "gate: shape" in capsys.readouterr().out
    for phase in ("text", "dense", "joint", "cached", "refine", "predictor", "decoder"):
        saved = load_checkpoint(config.run / f"{phase}.pt")
        assert saved is not None, phase
        assert saved["done"], phase
    card = (config.out / "README.md").read_text()
    assert "joint" in card
    assert "| door |" in card
    assert json.loads((config.run / "validation.json").read_text())["door"] >= 0

    engine = load_engine(config.out)
    stamps = tuple(index * 500_000_000 for index in range(4))
    (clip,) = engine.encode([Clip(np.zeros((4, 128, 128, 3), np.uint8), stamps)], [None])
    scores = engine.score(clip.tokens, "is there a person?", ["yes", "no"])
    assert np.isfinite(np.asarray(scores, dtype=np.float64)).all()


@pytest.mark.timeout(600)
def test_the_gate_stops_a_blind_frame_stage(tmp_path: Path) -> None:
    config = tiny(tmp_path)
    gate = GateConfig(scenes=2, shape=0.99, colour=0.99, extensions=1)
    with pytest.raises(GateError, match=r"objects in held-out rooms.*--dense-minutes"):
        train_nano(replace(config, gate=gate, phases=("data", "dense")))
    saved = load_checkpoint(config.run / "dense.pt")
    assert saved is not None
    assert saved["spent"] >= 1.25 * MINUTES  # it was given more time before it gave up


def test_the_command_line_says_how_it_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given: list[NanoConfig] = []

    def stop(config: NanoConfig) -> None:
        given.append(config)
        raise BudgetExceeded("joint")

    monkeypatch.setattr(nano, "train_nano", stop)
    options = ["--run", str(tmp_path), "--budget-minutes", "10", "--joint-minutes", "7"]
    assert nano.main([*options, "--gate", "0.5", "0.6"]) == nano.TO_BE_CONTINUED == 75
    assert "the same command goes on" in capsys.readouterr().out
    (config,) = given
    assert (config.budget_minutes, config.joint.minutes, config.out) == (10, 7, tmp_path / "model")
    assert (config.gate.shape, config.gate.colour) == (0.5, 0.6)
    assert read_arguments([]).refine.minutes == NanoConfig().refine.minutes


def test_impossible_options_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        read_arguments(["--scenes", "0"])
    assert "must be at least 1" in capsys.readouterr().err
