"""Builds TensorRT engines from exported ONNX graphs.

Strongly typed: precision is what the graph says (`export_parts` writes fp32, bf16 or fp16);
TensorRT's own precision flags are deprecated since 10.12 and gone in 11. Needs a GPU of the kind
that will run the engine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from vljepa_ros.engines.shapes import Profile, tensor_range
from vljepa_ros.engines.tensorrt_runner import import_builder
from vljepa_ros.models.config import ModelError
from vljepa_ros.models.parts import Part


def build_engines(
    parts: Sequence[Part],
    graphs: Mapping[str, Path],
    profiles: Mapping[str, Sequence[Profile]],
    folder: Path,
    *,
    timing_cache: Path,
    workspace: int = 4 << 30,
    progress: Callable[[str], None] = lambda line: None,
) -> dict[str, Path]:
    """Write `folder/<part>.plan` for each part.

    Args:
        parts: Parts to build.
        graphs: Part name -> ONNX file.
        profiles: Part name -> shapes.
        folder: Output folder.
        timing_cache: File with the kernel timings of earlier builds; read if it exists, and
            written.
        workspace: Maximum GPU memory for one layer, bytes.
        progress: Called with a line for each part.

    Raises:
        ModelError: No builder, a graph that TensorRT does not accept, or a failed build.
    """
    trt = import_builder()
    folder.mkdir(parents=True, exist_ok=True)
    logger = trt.Logger(trt.Logger.WARNING)
    written = {}
    for part in parts:
        progress(f"building {part.name}: minutes, {len(profiles[part.name])} profiles")
        plan = _build(
            trt, logger, part, graphs[part.name], profiles[part.name], timing_cache, workspace
        )
        written[part.name] = folder / f"{part.name}.plan"
        written[part.name].write_bytes(plan)
    return written


def _build(
    trt: Any,
    logger: Any,
    part: Part,
    graph: Path,
    profiles: Sequence[Profile],
    timing_cache: Path,
    workspace: int,
) -> bytes:
    builder = trt.Builder(logger)
    # In 11 every network is strongly typed and the flag is kept without an effect.
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse_from_file(str(graph)):
        errors = "; ".join(str(parser.get_error(i)) for i in range(parser.num_errors))
        raise ModelError(f"TensorRT does not take the graph of part '{part.name}': {errors}")
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, workspace)
    known = timing_cache.read_bytes() if timing_cache.is_file() else b""
    config.set_timing_cache(config.create_timing_cache(known), ignore_mismatch=False)
    for profile in profiles:
        shapes = builder.create_optimization_profile()
        for tensor in part.inputs:
            shapes.set_shape(tensor.name, *tensor_range(tensor, profile))
        config.add_optimization_profile(shapes)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise ModelError(f"TensorRT could not build part '{part.name}'; its log says why")
    timing_cache.parent.mkdir(parents=True, exist_ok=True)
    timing_cache.write_bytes(bytes(config.get_timing_cache().serialize()))
    return bytes(plan)
