"""Parts as ONNX graphs on ONNX Runtime: CPU, CUDA or its TensorRT provider."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from vljepa_ros.engines.part_runner import Array, OutOfMemoryError, run_in_batches, stack
from vljepa_ros.engines.protocol import EngineInfo
from vljepa_ros.models.config import ModelError
from vljepa_ros.models.parts import Part, check_inputs

__all__ = ["OnnxRuntimeRunner", "choose_providers"]

PROVIDERS = {
    "cpu": ("CPUExecutionProvider",),
    "cuda": ("CUDAExecutionProvider", "CPUExecutionProvider"),
    "tensorrt": (
        "TensorrtExecutionProvider",
        "CUDAExecutionProvider",
        "CPUExecutionProvider",
    ),
}


def choose_providers(device: str, available: Sequence[str]) -> tuple[str, ...]:
    """Execution providers for `cpu`, `cuda` or `tensorrt`.

    :param available: what this build of ONNX Runtime has.
    :raises ModelError: unknown device, or a provider this build lacks.
    """
    if device not in PROVIDERS:
        raise ModelError(f"device is {device!r}, allowed: {', '.join(PROVIDERS)}")
    wanted = PROVIDERS[device]
    if wanted[0] not in available:
        raise ModelError(
            f"this ONNX Runtime has no {wanted[0]} (it has {', '.join(available)}); "
            "install it with: pip install onnxruntime-gpu"
        )
    return tuple(name for name in wanted if name in available)


class OnnxRuntimeRunner:
    """One session for each part."""

    def __init__(
        self,
        parts: Sequence[Part],
        graphs: Mapping[str, Path],
        *,
        precision: str = "fp32",
        device: str = "cpu",
        threads: int = 0,
    ) -> None:
        """Load the graphs.

        :param graphs: part name -> ONNX file.
        :param threads: intra-op threads, 0: as many as cores.
        :raises ModelError: a missing or broken graph, or one that does not fit its part.
        """
        providers = choose_providers(device, onnxruntime.get_available_providers())
        self._parts = {part.name: part for part in parts}
        self._sessions: dict[str, onnxruntime.InferenceSession] = {}
        for part in parts:
            if part.name not in graphs or not graphs[part.name].is_file():
                raise ModelError(f"no exported graph of part '{part.name}': run `vljepa export`")
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = threads
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
            try:
                session = onnxruntime.InferenceSession(
                    str(graphs[part.name]), options, providers=list(providers)
                )
            except Exception as error:  # onnxruntime's errors share no class
                raise ModelError(f"'{graphs[part.name]}' cannot be loaded: {error}") from error
            names = {entry.name for entry in session.get_inputs()}
            if names != {tensor.name for tensor in part.inputs}:
                raise ModelError(
                    f"'{graphs[part.name]}' takes {sorted(names)}, not what part "
                    f"'{part.name}' gives: built elsewhere? run `vljepa export` again"
                )
            self._sessions[part.name] = session
        self._info = EngineInfo("onnxruntime", "cpu" if device == "cpu" else "cuda:0", precision)

    @property
    def info(self) -> EngineInfo:
        """What runs."""
        return self._info

    def run(self, part: str, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run one part."""
        check_inputs(self._parts[part], inputs)
        return run_in_batches(lambda batch: self._run(part, batch), inputs)

    def stack(self, rows: Sequence[NDArray[np.float32]]) -> Array:
        """Copy rows into one array."""
        return stack(rows)

    def keep(self, outputs: Array, rows: Sequence[NDArray[np.float32]]) -> None:
        """Nothing stays on the device."""

    def close(self) -> None:
        """Free the sessions."""
        self._sessions.clear()

    def _run(self, part: str, inputs: Mapping[str, Array]) -> dict[str, Array]:
        session = self._sessions[part]
        names = [tensor.name for tensor in self._parts[part].outputs]
        try:
            values = session.run(names, dict(inputs))
        except Exception as error:
            if any(word in str(error) for word in ("out of memory", "Failed to allocate memory")):
                raise OutOfMemoryError(str(error)[:200]) from error
            raise ModelError(f"part '{part}' failed: {error}") from error
        return dict(zip(names, values, strict=True))
