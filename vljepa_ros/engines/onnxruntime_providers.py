"""Execution providers of ONNX Runtime and their options.

Names of options: ONNX Runtime's documentation of the CUDA and TensorRT execution providers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnxruntime

from vljepa_ros.engines.shape_profiles import Profile, tensor_range
from vljepa_ros.models.config import ModelError
from vljepa_ros.models.parts import Part

DEVICES = ("cpu", "cuda", "tensorrt")
_NAMES = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}

Provider = tuple[str, dict[str, Any]]


def provider_list(
    device: str,
    available: Sequence[str],
    *,
    index: int = 0,
    memory_limit: float = 0.0,
    cache: Path | None = None,
    shapes: Mapping[str, str] | None = None,
) -> list[Provider]:
    """Providers for `cpu`, `cuda` or `tensorrt`, each followed by what takes over what it lacks.

    :param available: what this build of ONNX Runtime has.
    :param index: of the GPU. :param memory_limit: GiB of GPU memory, 0: none.
    :param cache: folder where TensorRT keeps its engines; without it they are built at each start.
    :param shapes: see `tensorrt_shapes`.
    :raises ModelError: unknown device, or a provider this build lacks.
    """
    if device not in DEVICES:
        raise ModelError(f"device is {device!r}, allowed: {', '.join(DEVICES)}")
    if _NAMES[device] not in available:
        raise ModelError(
            f"this ONNX Runtime has no {_NAMES[device]} (it has {', '.join(available)}); "
            "install it with: pip install onnxruntime-gpu"
        )
    cpu: Provider = (_NAMES["cpu"], {})
    if device == "cpu":
        return [cpu]
    options: dict[str, Any] = {"device_id": index}
    if memory_limit:
        options["gpu_mem_limit"] = int(memory_limit * 2**30)
        options["arena_extend_strategy"] = "kSameAsRequested"
    found: list[Provider] = [(_NAMES["cuda"], options), cpu]
    if device == "tensorrt":
        own: dict[str, Any] = {"device_id": index, **(shapes or {})}
        if memory_limit:
            own["trt_max_workspace_size"] = int(memory_limit * 2**30)
        if cache is not None:
            for kind in ("engine", "timing"):
                own[f"trt_{kind}_cache_enable"] = True
                own[f"trt_{kind}_cache_path"] = str(cache)
        found.insert(0, (_NAMES["tensorrt"], own))
    return [provider for provider in found if provider[0] in available]


def tensorrt_shapes(part: Part, profiles: Sequence[Profile]) -> dict[str, str]:
    """One range over all profiles of a part, as TensorRT's provider takes it.

    It has one profile only: least of the first, best and greatest of the last.
    """
    least, last = profiles[0], profiles[-1]
    texts: dict[str, list[str]] = {"min": [], "opt": [], "max": []}
    for tensor in part.inputs:
        low = tensor_range(tensor, least)[0]
        _, best, high = tensor_range(tensor, last)
        for name, shape in (("min", low), ("opt", best), ("max", high)):
            texts[name].append(f"{tensor.name}:{'x'.join(map(str, shape))}")
    return {f"trt_profile_{name}_shapes": ",".join(entries) for name, entries in texts.items()}


def open_session(
    graph: Path, options: onnxruntime.SessionOptions, providers: Sequence[Provider]
) -> onnxruntime.InferenceSession:
    """Load a graph.

    :raises ModelError: a missing or broken graph, or a provider that did not start: ONNX Runtime
        would go on without it.
    """
    try:
        session = onnxruntime.InferenceSession(
            str(graph),
            options,
            providers=[name for name, _ in providers],
            provider_options=[settings for _, settings in providers],
        )
    except Exception as error:  # onnxruntime's errors share no class
        raise ModelError(f"graph '{graph}' cannot be loaded: {error}") from error
    check_provider(providers[0][0], session.get_providers())
    return session


def is_out_of_memory(error: Exception) -> bool:
    """Whether ONNX Runtime says that a device has no memory left."""
    words = ("out of memory", "Failed to allocate memory", "CUDNN_STATUS_ALLOC_FAILED")
    return any(word in str(error) for word in words)


def check_provider(wanted: str, seen: Sequence[str]) -> None:
    """:raises ModelError: the session runs without the provider that was asked for."""
    if wanted not in seen:
        raise ModelError(
            f"{wanted} did not start (driver or CUDA libraries missing?); ONNX Runtime would run "
            f"on {', '.join(seen)}: ask for engine 'onnxruntime' if that is wanted"
        )
