"""Parts as ONNX graphs on ONNX Runtime: CPU, CUDA or its TensorRT provider."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from vljepa_ros.engines.onnxruntime_providers import (
    is_out_of_memory,
    open_session,
    provider_list,
    tensorrt_shapes,
)
from vljepa_ros.engines.part_runner import Array, OutOfMemoryError, run_in_batches, stack
from vljepa_ros.engines.protocol import EngineInfo
from vljepa_ros.engines.shape_profiles import Profile
from vljepa_ros.models.config import ModelError
from vljepa_ros.models.parts import Part, check_inputs


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
        index: int = 0,
        memory_limit: float = 0.0,
        profiles: Mapping[str, Sequence[Profile]] | None = None,
        cache: Path | None = None,
    ) -> None:
        """Load the graphs.

        :param graphs: part name -> ONNX file.
        :param device: `cpu`, `cuda` or `tensorrt`. :param index: of the GPU.
        :param threads: intra-op threads, 0: as many as cores.
        :param memory_limit: GiB of GPU memory, 0: none.
        :param profiles: shapes that TensorRT's provider builds for. :param cache: its folder.
        :raises ModelError: a missing or broken graph, one that does not fit its part, or a provider
            that this ONNX Runtime lacks.
        """
        available = onnxruntime.get_available_providers()
        self._parts = {part.name: part for part in parts}
        self._sessions: dict[str, onnxruntime.InferenceSession] = {}
        for part in parts:
            if part.name not in graphs or not graphs[part.name].is_file():
                raise ModelError(f"no exported graph of part '{part.name}': run `vljepa export`")
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = threads
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
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
        name = "onnxruntime" if device == "cpu" else f"onnxruntime-{device}"
        self._info = EngineInfo(name, "cpu" if device == "cpu" else f"cuda:{index}", precision)

    @property
    def info(self) -> EngineInfo:
        """What runs."""
        return self._info

    @property
    def fixed_shapes(self) -> bool:
        """TensorRT's provider builds an engine for one range of shapes and takes all within."""
        return False

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
            if is_out_of_memory(error):
                raise OutOfMemoryError(str(error)[:200]) from error
            raise ModelError(f"part '{part}' failed: {error}") from error
        return dict(zip(names, values, strict=True))
