"""Exports parts to ONNX and builds TensorRT engines, both compared with fp32 before use."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vljepa_ros.engines.cache import EngineCache
from vljepa_ros.engines.load import (
    cache_key,
    check_precision,
    engine_class,
    engine_profiles,
    shipped_graphs,
)
from vljepa_ros.engines.onnxruntime_runner import OnnxRuntimeRunner
from vljepa_ros.engines.parity import Parity, compare_runners, example_inputs, gate
from vljepa_ros.engines.part_runner import PartRunner
from vljepa_ros.engines.tensorrt_build import build_engines
from vljepa_ros.engines.tensorrt_runner import TensorRtRunner, import_builder
from vljepa_ros.engines.torch_runner import PRECISIONS, TorchRunner, torch_device
from vljepa_ros.models.config import ModelConfig, ModelError
from vljepa_ros.models.parts import Part

OPSET = 18
_EXTERNAL_DATA_BYTES = 1_500_000_000
"""Larger weights are stored in a separate file: a protobuf is limited to 2 GB."""

Progress = Callable[[str], None]


def export_model(
    config: ModelConfig,
    cache: EngineCache,
    precision: str = "fp32",
    progress: Progress = lambda line: None,
) -> tuple[Path, list[Parity]]:
    """Write ONNX graphs of every part, and compare them with torch in fp32.

    Args:
        config: The model.
        cache: Cache for the graphs.
        precision: Internal precision of the graphs.
        progress: Called with a line for each step.

    Returns:
        The entry's folder, and the parity of each part.

    Raises:
        ModelError: A part cannot be exported, or its results differ.
    """
    check_precision(config, precision)
    parts = engine_class(config).parts_of(config)
    if shipped_graphs(config, parts):
        raise ModelError(
            f"model '{config.name}' has its graphs in its folder: there is nothing to export"
        )
    with tempfile.TemporaryDirectory(prefix="vljepa-export-") as aside:
        graphs = _graphs(config, parts, Path(aside), precision, progress)
        runner = OnnxRuntimeRunner(parts, graphs, precision=precision)
        results = _compare(config, parts, runner, precision, progress)
        folder = cache.store(cache_key(config, "onnx", precision), graphs, _notes(results))
    return folder, results


def build_model(
    config: ModelConfig,
    cache: EngineCache,
    precision: str = "bf16",
    workspace: int = 4 << 30,
    progress: Progress = lambda line: None,
) -> tuple[Path, list[Parity]]:
    """Build TensorRT engines of every part on this machine's GPU, from its ONNX graphs.

    Args:
        config: The model.
        cache: Cache for the engines.
        precision: Internal precision of the engines.
        workspace: Maximum GPU memory for one layer, bytes.
        progress: Called with a line for each step.

    Returns:
        The entry's folder, and the parity of each part with torch in fp32 on the CPU.

    Raises:
        ModelError: No TensorRT or GPU, a failed build, or results that differ.
    """
    check_precision(config, precision)
    torch_device("cuda")
    import_builder()
    parts = engine_class(config).parts_of(config)
    profiles = engine_profiles(config, parts)
    with tempfile.TemporaryDirectory(prefix="vljepa-build-") as aside:
        plans = build_engines(
            parts,
            _graphs(config, parts, Path(aside) / "onnx", precision, progress),
            profiles,
            Path(aside) / "plans",
            timing_cache=cache.root / "tensorrt.timing",
            workspace=workspace,
            progress=progress,
        )
        runner = TensorRtRunner(parts, plans, profiles, precision=precision)
        results = _compare(config, parts, runner, precision, progress)
        folder = cache.store(cache_key(config, "tensorrt", precision), plans, _notes(results))
    return folder, results


def export_parts(
    parts: Sequence[Part],
    modules: Mapping[str, nn.Module],
    folder: Path,
    *,
    precision: str = "fp32",
    sizes: Mapping[str, int] | None = None,
    progress: Progress = lambda line: None,
) -> dict[str, Path]:
    """Write `folder/<part>.onnx` for each part.

    Inputs and outputs stay float32 in every precision, so that all engines have the same interface.

    Args:
        parts: Parts to export.
        modules: Part name -> module.
        folder: Output folder, created if missing.
        precision: Internal precision of the graphs.
        sizes: Example sizes of the dynamic axes; the graph accepts others, too.
        progress: Called with a line for each part.

    Raises:
        ModelError: The precision is unknown, or a module cannot be exported.
    """
    if precision not in PRECISIONS:
        raise ModelError(f"precision is {precision!r}, allowed: fp32, fp16, bf16")
    folder.mkdir(parents=True, exist_ok=True)
    written = {}
    for part in parts:
        progress(f"exporting {part.name} ({precision})")
        module = modules[part.name].cpu().eval()
        if precision != "fp32":
            module = _Half(module, PRECISIONS[precision], [tensor.name for tensor in part.inputs])
        path = folder / f"{part.name}.onnx"
        arrays = example_inputs(part, {**dict.fromkeys(part.axes(), 3), **(sizes or {})})
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        axes = {axis: _dynamic_axis(axis) for axis in part.axes()}
        dynamic: dict[str, Any] = {
            tensor.name: {i: axes[dim] for i, dim in enumerate(tensor.dims) if dim in axes}
            for tensor in part.inputs
        }
        try:
            with warnings.catch_warnings(), torch.no_grad():
                warnings.simplefilter("ignore")
                program = torch.onnx.export(
                    module,
                    tuple(tensors.values()) if precision != "fp32" else (),
                    kwargs=tensors if precision == "fp32" else None,
                    dynamo=True,
                    opset_version=OPSET,
                    dynamic_shapes=dynamic if precision == "fp32" else (tuple(dynamic.values()),),
                    input_names=[tensor.name for tensor in part.inputs],
                    output_names=[tensor.name for tensor in part.outputs],
                    verbose=False,
                )
            assert program is not None
            size = sum(p.numel() * p.element_size() for p in module.parameters())
            program.save(str(path), external_data=size > _EXTERNAL_DATA_BYTES)
        except Exception as error:  # torch.export raises many kinds
            raise ModelError(
                f"part '{part.name}' cannot be exported: {str(error).splitlines()[0]}"
            ) from error
        written[part.name] = path
    return written


def _dynamic_axis(axis: str) -> Any:
    """A dynamic axis; the exporter finds limits from a model's tables or strides itself."""
    dim = torch.export.Dim
    return {"frames": dim.AUTO, "pieces": dim.DYNAMIC}.get(axis) or dim(axis, min=1, max=4096)


class _Half(nn.Module):
    """Computes a module in half precision with float32 inputs and outputs.

    Inputs are positional: the exporter does not support dynamic shapes of `**inputs`.
    """

    def __init__(self, module: nn.Module, dtype: torch.dtype, names: Sequence[str]) -> None:
        super().__init__()
        self.module = module.to(dtype)
        self.dtype = dtype
        self.names = tuple(names)

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        cast = [t.to(self.dtype) if t.is_floating_point() else t for t in inputs]
        result = self.module(**dict(zip(self.names, cast, strict=True)))
        if isinstance(result, torch.Tensor):
            return result.float()
        return tuple(value.float() for value in result)


def _graphs(
    config: ModelConfig, parts: Sequence[Part], folder: Path, precision: str, progress: Progress
) -> Mapping[str, Path]:
    """The graphs in the folder if they have this precision, else newly exported ones."""
    own = shipped_graphs(config, parts)
    if own and precision == config.precision:
        return own
    return export_parts(
        parts,
        engine_class(config).torch_modules(config, frozenset(part.name for part in parts)),
        folder,
        precision=precision,
        sizes=_sizes(config, parts),
        progress=progress,
    )


def _compare(
    config: ModelConfig,
    parts: Sequence[Part],
    runner: PartRunner,
    precision: str,
    progress: Progress,
) -> list[Parity]:
    """Measure the parity with torch in fp32 on the CPU.

    Raises:
        ModelError: The results differ too much.
    """
    progress("comparing with fp32")
    modules = engine_class(config).torch_modules(config, frozenset(part.name for part in parts))
    reference = TorchRunner(parts, modules, device="cpu")
    results = compare_runners(parts, reference, runner, _sizes(config, parts))
    gate(results, precision)
    return results


def _sizes(config: ModelConfig, parts: Sequence[Part]) -> Mapping[str, int]:
    """Example sizes: the optimal ones of the batch profile, with a small batch."""
    sizes = {"batch": 2}
    for found in engine_profiles(config, parts).values():
        for axis, (_, best, _) in found[-1].axes:
            if axis != "batch":
                sizes[axis] = best
    return sizes


def _notes(results: Sequence[Parity]) -> dict[str, object]:
    return {"parity": {r.part: {"cosine": r.cosine, "difference": r.difference} for r in results}}
