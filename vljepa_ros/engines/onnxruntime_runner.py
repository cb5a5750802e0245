"""Runs parts as ONNX graphs on ONNX Runtime: CPU, CUDA or its TensorRT provider.

The provider options are described in ONNX Runtime's documentation of its execution providers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnxruntime

from vljepa_ros.engines.part_runner import Array, Arrays, OutOfMemoryError, PartRunner
from vljepa_ros.engines.protocol import EngineInfo
from vljepa_ros.engines.shapes import Profile, tensor_range
from vljepa_ros.models.config import ModelError
from vljepa_ros.models.parts import Part

DEVICES = ("cpu", "cuda", "tensorrt")
_NAMES = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}

Provider = tuple[str, dict[str, Any]]


class OnnxRuntimeRunner(PartRunner):
    """One session for each part."""

    def __init__(
        self,
        parts: Sequence[Part],
        graphs: Mapping[str, Path],
        *,
        precision: str = "fp32",
        device: str = "cpu",
        threads: int = 0,
        index: int = 0,
        memory_limit: float = 0.0,
        profiles: Mapping[str, Sequence[Profile]] | None = None,
        cache: Path | None = None,
    ) -> None:
        """Load the graphs.

        Args:
            parts: Parts to load.
            graphs: Part name -> ONNX file.
            precision: Internal precision of the graphs.
            device: `cpu`, `cuda` or `tensorrt`.
            threads: Intra-op threads, 0: as many as cores.
            index: Index of the GPU.
            memory_limit: GiB of GPU memory, 0: all.
            profiles: Shapes that TensorRT's provider builds for.
            cache: Folder of its engines.

        Raises:
            ModelError: A missing or broken graph, one that does not fit its part, or a provider
                that this ONNX Runtime lacks.
        """
        name = "onnxruntime" if device == "cpu" else f"onnxruntime-{device}"
        info = EngineInfo(name, "cpu" if device == "cpu" else f"cuda:{index}", precision)
        # TensorRT's provider builds an engine for one range of shapes and takes all within.
        super().__init__(parts, info, fixed_shapes=False)
        options = session_options(threads)
        available = onnxruntime.get_available_providers()
        self._sessions: dict[str, onnxruntime.InferenceSession] = {}
        for part in parts:
            if part.name not in graphs:
                raise ModelError(f"no exported graph of part '{part.name}': run `vljepa export`")
            own = (profiles or {}).get(part.name, ())
            providers = provider_list(
                device,
                available,
                index=index,
                memory_limit=memory_limit,
                cache=cache,
                shapes=tensorrt_shapes(part, own) if own and device == "tensorrt" else None,
            )
            session = open_session(graphs[part.name], options, providers)
            names = {entry.name for entry in session.get_inputs()}
            if names != {tensor.name for tensor in part.inputs}:
                raise ModelError(
                    f"'{graphs[part.name]}' takes {sorted(names)}, not what part "
                    f"'{part.name}' gives: built elsewhere? run `vljepa export` again"
                )
            self._sessions[part.name] = session

    def close(self) -> None:
        """Free the sessions."""
        self._sessions.clear()

    def _run(self, part: Part, inputs: Arrays, rows: int, largest: int | None) -> dict[str, Array]:
        names = [tensor.name for tensor in part.outputs]
        try:
            values = self._sessions[part.name].run(names, dict(inputs))
        except Exception as error:  # onnxruntime's errors share no class
            if is_out_of_memory(error):
                raise OutOfMemoryError(str(error)[:200]) from error
            raise ModelError(f"part '{part.name}' failed: {error}") from error
        return dict(zip(names, values, strict=True))


def session_options(threads: int) -> onnxruntime.SessionOptions:
    """Options of every session.

    Args:
        threads: Intra-op threads, 0: as many as cores.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Spinning threads would keep cores busy between frames.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def provider_list(
    device: str,
    available: Sequence[str],
    *,
    index: int = 0,
    memory_limit: float = 0.0,
    cache: Path | None = None,
    shapes: Mapping[str, str] | None = None,
) -> list[Provider]:
    """Providers for `cpu`, `cuda` or `tensorrt`, each followed by its fallback.

    Args:
        device: One of `DEVICES`.
        available: Providers of this build of ONNX Runtime.
        index: Index of the GPU.
        memory_limit: GiB of GPU memory, 0: all.
        cache: Folder where TensorRT keeps its engines; without it they are built at each start.
        shapes: See `tensorrt_shapes`.

    Raises:
        ModelError: Unknown device, or a provider that this build lacks.
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
    """One range over all profiles of a part, for TensorRT's provider, which has one profile.

    It has the minimum of the first and the optimum and maximum of the last profile.
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

    Raises:
        ModelError: A missing or broken graph, or a provider that did not start, without which ONNX
            Runtime would continue.
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
    """Whether an error of ONNX Runtime means that a device has no memory left."""
    words = ("out of memory", "Failed to allocate memory", "CUDNN_STATUS_ALLOC_FAILED")
    return any(word in str(error) for word in words)


def check_provider(wanted: str, seen: Sequence[str]) -> None:
    """Check that a session uses the requested provider.

    Raises:
        ModelError: It does not.
    """
    if wanted not in seen:
        raise ModelError(
            f"{wanted} did not start (driver or CUDA libraries missing?); ONNX Runtime would run "
            f"on {', '.join(seen)}: ask for engine 'onnxruntime' if that is wanted"
        )
