"""Export a model's parts, compare them with fp32, and keep them in the engine cache if they
agree."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from vljepa_ros.engines.engine_cache import EngineCache
from vljepa_ros.engines.load_family import (
    cache_key,
    check_precision,
    engine_profiles,
    family_parts,
    torch_modules,
)
from vljepa_ros.engines.parity import Parity, compare_runners, gate
from vljepa_ros.models.config import ModelConfig
from vljepa_ros.models.parts import Part

Progress = Callable[[str], None]


def export_model(
    config: ModelConfig,
    cache: EngineCache,
    precision: str = "fp32",
    progress: Progress = lambda line: None,
) -> tuple[Path, list[Parity]]:
    """Write ONNX graphs of every part and run them on ONNX Runtime beside torch in fp32.

    :returns: the entry's folder, and the parity of each part.
    :raises ModelError: a part that cannot be exported, or that computes something else.
    """
    from vljepa_ros.engines.onnxruntime_runner import OnnxRuntimeRunner
    from vljepa_ros.engines.torch_export import export_parts
    from vljepa_ros.engines.torch_runner import TorchRunner

    check_precision(config, precision)
    parts = family_parts(config)
    names = frozenset(part.name for part in parts)
    sizes = _sizes(config, parts)
    with tempfile.TemporaryDirectory(prefix="vljepa-export-") as aside:
        graphs = export_parts(
            parts,
            torch_modules(config, names),
            Path(aside),
            precision=precision,
            sizes=sizes,
            progress=progress,
        )
        progress("comparing with fp32")
        reference = TorchRunner(parts, torch_modules(config, names), device="cpu")
        runner = OnnxRuntimeRunner(parts, graphs, precision=precision)
        results = compare_runners(parts, reference, runner, sizes)
        gate(results, precision)
        folder = cache.store(cache_key(config, "onnx", precision), graphs, _notes(results))
    return folder, results


def build_model(
    config: ModelConfig,
    cache: EngineCache,
    precision: str = "bf16",
    workspace: int = 4 << 30,
    progress: Progress = lambda line: None,
) -> tuple[Path, list[Parity]]:
    """Build TensorRT engines of every part on this machine's GPU, from fresh ONNX graphs.

    :param workspace: most bytes of GPU memory for one layer.
    :returns: the entry's folder, and the parity of each part with torch in fp32 on the CPU.
    :raises ModelError: no TensorRT or GPU, a failed build, or an engine that computes something
        else.
    """
    from vljepa_ros.engines.tensorrt_api import import_builder
    from vljepa_ros.engines.tensorrt_build import build_engines
    from vljepa_ros.engines.tensorrt_runner import TensorRtRunner
    from vljepa_ros.engines.torch_export import export_parts
    from vljepa_ros.engines.torch_runner import TorchRunner, torch_device

    check_precision(config, precision)
    torch_device("cuda")
    import_builder()
    parts = family_parts(config)
    names = frozenset(part.name for part in parts)
    sizes = _sizes(config, parts)
    profiles = engine_profiles(config, parts)
    with tempfile.TemporaryDirectory(prefix="vljepa-build-") as aside:
        graphs = export_parts(
            parts,
            torch_modules(config, names),
            Path(aside) / "onnx",
            precision=precision,
            sizes=sizes,
            progress=progress,
        )
        plans = build_engines(
            parts,
            graphs,
            profiles,
            Path(aside) / "plans",
            timing_cache=cache.root / "tensorrt.timing",
            workspace=workspace,
            progress=progress,
        )
        progress("comparing with fp32")
        reference = TorchRunner(parts, torch_modules(config, names), device="cpu")
        runner = TensorRtRunner(parts, plans, profiles, precision=precision)
        results = compare_runners(parts, reference, runner, sizes)
        gate(results, precision)
        folder = cache.store(cache_key(config, "tensorrt", precision), plans, _notes(results))
    return folder, results


def _sizes(config: ModelConfig, parts: Sequence[Part]) -> Mapping[str, int]:
    """Example sizes: the best ones of the profile for batches, but a small batch."""
    sizes = {"batch": 2}
    for found in engine_profiles(config, parts).values():
        for axis, (_, best, _) in found[-1].axes:
            if axis != "batch":
                sizes[axis] = best
    return sizes


def _notes(results: Sequence[Parity]) -> dict[str, object]:
    return {"parity": {r.part: {"cosine": r.cosine, "difference": r.difference} for r in results}}
