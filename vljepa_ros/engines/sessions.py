"""ONNX Runtime sessions of a model's graphs."""

from __future__ import annotations

import os
from collections.abc import Iterable

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from vljepa_ros.models.config import ModelConfig, ModelError

__all__ = ["DEFAULT_THREADS", "GraphSessions"]

DEFAULT_THREADS = 2
"""More do not pay for graphs of this size and take cores from the rest of the robot."""


class GraphSessions:
    """The named graphs of a model folder, each loaded once.

    threads: intra-op threads; 0: two, or one on a single core.
    """

    engine = "onnxruntime"
    precision = "fp32"

    def __init__(self, config: ModelConfig, names: Iterable[str], threads: int = 0) -> None:
        """Load.

        :raises ModelError: a graph is missing or cannot be loaded.
        """
        if threads < 0:
            raise ModelError(f"threads must be 0 (automatic) or more, not {threads}")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or min(DEFAULT_THREADS, os.cpu_count() or 1)
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Spinning threads would keep cores busy between frames.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        available = onnxruntime.get_available_providers()
        wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
        providers = [p for p in wanted if p in available]
        self._sessions: dict[str, onnxruntime.InferenceSession] = {}
        for name in names:
            path = config.path(name)
            try:
                self._sessions[name] = onnxruntime.InferenceSession(
                    str(path), options, providers=providers
                )
            except Exception as error:  # the library raises several kinds
                raise ModelError(f"graph '{path}' cannot be loaded: {error}") from error
        self._inputs = {
            name: [entry.name for entry in session.get_inputs()]
            for name, session in self._sessions.items()
        }

    def __contains__(self, name: str) -> bool:
        return name in self._sessions

    @property
    def device(self) -> str:
        """`cpu` or `cuda:0`: what the first graph runs on."""
        for session in self._sessions.values():
            return "cuda:0" if session.get_providers()[0].startswith("CUDA") else "cpu"
        return "cpu"

    def run(self, name: str, *inputs: NDArray[np.generic]) -> list[NDArray[np.float32]]:
        """Outputs of a graph for inputs in the graph's own order.

        :raises ModelError: the graph was not loaded (`parts` of `load_engine`).
        """
        session = self._sessions.get(name)
        if session is None:
            raise ModelError(
                f"graph '{name}' is not loaded; loaded: {', '.join(self._sessions) or 'none'}"
            )
        return session.run(None, dict(zip(self._inputs[name], inputs, strict=True)))

    def close(self) -> None:
        """Free all sessions."""
        self._sessions.clear()
