"""ONNX Runtime sessions of a model's graphs."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from vljepa_ros.engines.onnxruntime_providers import (
    is_out_of_memory,
    open_session,
    provider_list,
)
from vljepa_ros.models.config import ModelConfig, ModelError

DEFAULT_THREADS = 2
"""More do not pay for graphs of this size and take cores from the rest of the robot."""


class GraphSessions:
    """The named graphs of a model folder, each loaded once.

    threads: intra-op threads; 0: two, or one on a single core. engine, device, precision: what
    runs.
    """

    def __init__(
        self,
        config: ModelConfig,
        names: Iterable[str],
        threads: int = 0,
        *,
        device: str = "cpu",
        index: int = 0,
        cache: Path | None = None,
    ) -> None:
        """Load.

        :param device: `cpu`, `cuda` or `tensorrt`. :param index: of the GPU.
        :param cache: folder of TensorRT's provider.
        :raises ModelError: a graph is missing or cannot be loaded, or a provider is not here.
        """
        if threads < 0:
            raise ModelError(f"threads must be 0 (automatic) or more, not {threads}")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or min(DEFAULT_THREADS, os.cpu_count() or 1)
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Spinning threads would keep cores busy between frames.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        providers = provider_list(
            device,
            onnxruntime.get_available_providers(),
            index=index,
            memory_limit=config.memory_limit,
            cache=cache,
        )
        self.engine = "onnxruntime" if device == "cpu" else f"onnxruntime-{device}"
        self.device = "cpu" if device == "cpu" else f"cuda:{index}"
        self.precision = config.precision
        self._sessions: dict[str, onnxruntime.InferenceSession] = {}
        for name in names:
            self._sessions[name] = open_session(config.path(name), options, providers)
        self._inputs = {
            name: [entry.name for entry in session.get_inputs()]
            for name, session in self._sessions.items()
        }

    def __contains__(self, name: str) -> bool:
        return name in self._sessions

    def run(self, name: str, *inputs: NDArray[np.generic]) -> list[NDArray[np.float32]]:
        """Outputs of a graph for inputs in the graph's own order.

        :raises ModelError: the graph was not loaded (`parts` of `load_engine`).
        """
        session = self._sessions.get(name)
        if session is None:
            raise ModelError(
                f"graph '{name}' is not loaded; loaded: {', '.join(self._sessions) or 'none'}"
            )
        try:
            return session.run(None, dict(zip(self._inputs[name], inputs, strict=True)))
        except Exception as error:  # onnxruntime's errors share no class
            if not is_out_of_memory(error):
                raise ModelError(f"graph '{name}' failed: {error}") from error
            rows = {len(array) for array in inputs}
            if len(rows) > 1 or max(rows) < 2:
                raise ModelError(
                    f"the device has no memory for one input: {str(error)[:200]}; "
                    "use another device, as 'onnxruntime@cpu'"
                ) from error
            half = max(rows) // 2
            pieces = [
                self.run(name, *(array[part] for array in inputs))
                for part in (slice(0, half), slice(half, None))
            ]
            return [np.concatenate(pair) for pair in zip(*pieces, strict=True)]

    def close(self) -> None:
        """Free all sessions."""
        self._sessions.clear()
