from __future__ import annotations

from pathlib import Path

import pytest

from vljepa_ros.engines.cache import EngineCache
from vljepa_ros.engines.export import export_model, export_parts
from vljepa_ros.engines.onnxruntime_runner import OnnxRuntimeRunner
from vljepa_ros.engines.parity import compare_runners, gate
from vljepa_ros.engines.torch_runner import TorchRunner
from vljepa_ros.engines.vl_jepa_engine import NanoEngine
from vljepa_ros.models.config import ModelError
from vljepa_ros.models.folder import load_config

# An export takes its time on a busy machine.
pytestmark = pytest.mark.timeout(600)


@pytest.mark.check
def test_graphs_in_half_precision_equal_torch(tiny, tmp_path: Path) -> None:
    config = load_config(tiny.folder)
    parts = [p for p in NanoEngine.parts_of(config) if p.name in ("text_trunk", "decoder_step")]
    names = frozenset(part.name for part in parts)
    sizes = {"batch": 2, "pieces": 5, "past": 3}
    graphs = export_parts(
        parts,
        NanoEngine.torch_modules(config, names),
        tmp_path,
        precision="fp16",
        sizes=sizes,
    )
    reference = TorchRunner(parts, NanoEngine.torch_modules(config, names), device="cpu")
    runner = OnnxRuntimeRunner(parts, graphs, precision="fp16", threads=1)
    gate(compare_runners(parts, reference, runner, {**sizes, "batch": 3, "pieces": 7}), "fp16")


def test_what_ships_its_graphs_is_not_exported(tiny, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="has its graphs in its folder: there is nothing to exp"):
        export_model(load_config(tiny.folder), EngineCache(tmp_path))
