"""The nano model on torch: the same engine over the same weights, and `bench engine`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from vljepa_lab.bench.engine import BenchSettings, bench_engine, table
from vljepa_ros.engines.load import load_engine
from vljepa_ros.engines.protocol import Clip
from vljepa_ros.models.config import ModelError
from vljepa_ros.models.folder import load_config


def clip_of(config: Any, seed: int = 0) -> Clip:
    shape = (config.clip_frames, config.input_size, config.input_size, 3)
    frames = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    return Clip(frames, tuple(range(config.clip_frames)))


@pytest.mark.parametrize(("engine", "tolerance"), [("torch@cpu", 1e-4), ("torch:bf16@cpu", 0.05)])
def test_torch_computes_what_the_graphs_compute(tiny, engine: str, tolerance: float) -> None:
    graphs = load_engine(tiny.folder, "onnxruntime", 1)
    modules = load_engine(tiny.folder, engine, 1)
    clips = [clip_of(graphs.config), clip_of(graphs.config, 1)]
    seen = []
    for each in (graphs, modules):
        encoded = each.encode(clips, [None, None])
        embedded = each.embed([e.tokens for e in encoded], "what is happening?")
        seen.append((embedded, each.encode_text(["the door opens", "a red mug"])))
        assert len(each.generate(embedded)) == 2
    for one, other in zip(*seen, strict=True):
        np.testing.assert_allclose(one, other, atol=tolerance)
    assert modules.info.engine == "torch"
    assert modules.info.precision == ("bf16" if "bf16" in engine else "fp32")
    assert modules.capabilities == graphs.capabilities


def test_what_torch_cannot_do_is_named(tiny) -> None:
    for engine in ("torch-graphs", "tensorrt"):
        with pytest.raises(ModelError, match=f"engine '{engine}' cannot run .*: "):
            load_engine(tiny.folder, engine + "@cpu")
    with pytest.raises(ModelError, match="device is 'cuda:7', allowed here: auto, cpu"):
        load_engine(tiny.folder, "torch@cuda:7")
    with pytest.raises(ModelError, match="precision is 'int3', allowed: fp32, bf16, fp16"):
        load_engine(tiny.folder, "torch:int3")


@pytest.mark.check
def test_bench_engine_measures_and_reports(tiny) -> None:
    config = load_config(tiny.folder)
    settings = BenchSettings(
        ("onnxruntime", "torch:bf16", "tensorrt"), batches=(1, 2), queries=(1, 3), samples=5
    )
    result = bench_engine(config, lambda e: load_engine(tiny.folder, e, 1), settings)
    names = ("torch:fp32", "onnxruntime", "torch:bf16")
    assert [r["engine"] for r in result["rows"]] == list(names) * 4
    assert "tensorrt" in result["refused"]
    for row in result["rows"]:
        assert row["whole_ms"] > 0
        assert row["clips_per_s"] == pytest.approx(row["batch"] / row["whole_ms"] * 1e3)
        assert 0 < row["query_share"] < 1
        expected = 0.9999 if row["precision"] == "fp32" else 0.98
        assert row["parity"]["cosine"] > expected
        assert row["parity"]["text"] > expected
        assert row["parity"]["error"] < (1e-3 if row["precision"] == "fp32" else 0.5)
        assert 0 <= row["parity"]["agreement"] <= 1
        assert not row["parity"]["passed"]  # eight clips are too few to say so
        assert 0 < row["share_of_peak"] < 2
    reference = [r for r in result["rows"] if r["engine"] == "torch:fp32"]
    assert all(r["ratio"] == 1.0 for r in reference)
    assert result["gflop"][str(config.clip_frames)]["encode"] > 0
    lines = table(result).splitlines()
    assert len(lines) == 1 + len(result["rows"]) + 3
    assert lines[-1].startswith("tensorrt did not run: engine 'tensorrt' cannot run")
    with pytest.raises(ValueError, match="takes uint8"):
        bench_engine(
            config, lambda e: load_engine(tiny.folder, e, 1), BenchSettings((), frames=(3,))
        )
