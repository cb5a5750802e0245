"""Runs parts as TensorRT engines: pinned host buffers, one stream, a CUDA graph per shape.

torch provides device memory, stream and graph; it computes nothing here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from vljepa_ros.engines.part_runner import (
    Array,
    Arrays,
    OutOfMemoryError,
    PartRunner,
    padded_rows,
)
from vljepa_ros.engines.protocol import EngineInfo
from vljepa_ros.engines.shapes import Profile, select_profile
from vljepa_ros.models.config import ModelError
from vljepa_ros.models.parts import Part, check_inputs


class TensorRtRunner(PartRunner):
    """One engine for each part, one execution context for each of its profiles."""

    def __init__(
        self,
        parts: Sequence[Part],
        plans: Mapping[str, Path],
        profiles: Mapping[str, Sequence[Profile]],
        *,
        precision: str,
        device: int = 0,
    ) -> None:
        """Load the engines.

        Args:
            parts: Parts to load.
            plans: Part name -> built engine.
            profiles: Part name -> shapes that it was built for.
            precision: Internal precision of the engines.
            device: Index of the GPU.

        Raises:
            ModelError: No TensorRT or CUDA, or an engine that was built for another GPU or part.
        """
        import torch

        trt = import_runtime()
        # Without a driver, TensorRT ends the process instead of raising.
        if not torch.cuda.is_available():
            raise ModelError("TensorRT needs a CUDA device, and torch finds none here")
        self._trt, self._torch = trt, torch
        self._device = torch.device("cuda", device)
        # Each shape has its own buffers and recorded graph.
        info = EngineInfo("tensorrt", str(self._device), precision)
        super().__init__(parts, info, fixed_shapes=True)
        self._profiles = {name: tuple(found) for name, found in profiles.items()}
        self._stream = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        self._logger = trt.Logger(trt.Logger.WARNING)
        self._runtime = trt.Runtime(self._logger)
        self._engines: dict[str, Any] = {}
        self._contexts: dict[tuple[str, int], Any] = {}
        self._buffers: dict[tuple[Any, ...], _Buffers] = {}
        for part in parts:
            if part.name not in plans:
                raise ModelError(f"no TensorRT engine of part '{part.name}': vljepa build-engine")
            with torch.cuda.device(self._device):
                engine = self._runtime.deserialize_cuda_engine(plans[part.name].read_bytes())
            if engine is None:
                raise ModelError(
                    f"TensorRT {trt.__version__} does not take '{plans[part.name]}': built "
                    "elsewhere; run `vljepa build-engine` here"
                )
            self._check(part, engine)
            self._engines[part.name] = engine

    def close(self) -> None:
        """Free engines, contexts and buffers."""
        self._buffers.clear()
        self._contexts.clear()
        self._engines.clear()

    def _check(self, part: Part, engine: Any) -> None:
        mode = self._trt.TensorIOMode
        names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
        seen = {name for name in names if engine.get_tensor_mode(name) == mode.INPUT}
        expected = {tensor.name for tensor in part.inputs}
        count = len(self._profiles[part.name])
        if seen != expected or engine.num_optimization_profiles != count:
            raise ModelError(
                f"the engine of part '{part.name}' takes {sorted(seen)} in "
                f"{engine.num_optimization_profiles} profiles, expected {sorted(expected)} "
                f"in {count}: run `vljepa build-engine` again"
            )

    def _largest_batch(self, part: Part, sizes: Mapping[str, int]) -> int | None:
        """The batch of the largest profile; larger ones are divided.

        Raises:
            ModelError: No profile holds the other sizes.
        """
        profiles = self._profiles[part.name]
        largest = max(
            (high for p in profiles for axis, (_, _, high) in p.axes if axis == "batch"),
            default=None,
        )
        first = {**sizes, "batch": min(sizes.get("batch", 1), largest or 1)}
        select_profile(part.name, profiles, {axis: first[axis] for axis in sizes})
        return largest

    def _run(self, part: Part, inputs: Arrays, rows: int, largest: int | None) -> dict[str, Array]:
        torch = self._torch
        full = padded_rows(rows, largest)
        if full > rows:
            fill = np.minimum(np.arange(full), rows - 1)
            inputs = {
                t.name: inputs[t.name]
                if t.batch_axis is None
                else np.take(inputs[t.name], fill, t.batch_axis)
                for t in part.inputs
            }
        sizes = check_inputs(part, inputs)
        index = select_profile(part.name, self._profiles[part.name], sizes)
        key = (part.name, index, *sorted(sizes.items()))
        try:
            if key not in self._buffers:
                with torch.cuda.device(self._device):
                    self._buffers[key] = self._prepare(part, index, inputs)
            buffers = self._buffers[key]
            with torch.cuda.stream(self._stream):
                for name, value in inputs.items():
                    buffers.host[name].copy_(torch.from_numpy(np.ascontiguousarray(value)))
                    buffers.device[name].copy_(buffers.host[name], non_blocking=True)
                if buffers.graph is not None:
                    buffers.graph.replay()
                else:
                    self._execute(part, index, buffers)
                for tensor in part.outputs:
                    buffers.host[tensor.name].copy_(buffers.device[tensor.name], non_blocking=True)
            self._stream.synchronize()
        except torch.OutOfMemoryError as error:
            self._buffers.clear()
            torch.cuda.empty_cache()
            raise OutOfMemoryError(str(error).split("\n")[0][:200]) from error
        host = {t.name: buffers.host[t.name] for t in part.outputs}
        return {
            t.name: host[t.name].narrow(t.batch_axis or 0, 0, rows).numpy().copy()
            for t in part.outputs
        }

    def _prepare(self, part: Part, index: int, inputs: Arrays) -> _Buffers:
        """Make buffers for one set of shapes, warm up and record."""
        torch = self._torch
        context = self._context(part, index)
        for tensor in part.inputs:
            context.set_input_shape(tensor.name, tuple(inputs[tensor.name].shape))
        host, device = {}, {}
        for tensor in (*part.inputs, *part.outputs):
            shape = tuple(context.get_tensor_shape(tensor.name))
            dtype = getattr(torch, tensor.dtype)
            host[tensor.name] = torch.empty(shape, dtype=dtype, pin_memory=True)
            device[tensor.name] = torch.zeros(shape, dtype=dtype, device=self._device)
        buffers = _Buffers(host, device)
        with torch.cuda.stream(self._stream):
            for _ in range(3):
                self._execute(part, index, buffers)
        self._stream.synchronize()
        if not part.grows:
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, stream=self._stream):
                self._execute(part, index, buffers)
            buffers.graph = graph
        return buffers

    def _context(self, part: Part, index: int) -> Any:
        if (part.name, index) not in self._contexts:
            context = self._engines[part.name].create_execution_context()
            if context is None:
                raise OutOfMemoryError("no execution context")
            context.set_optimization_profile_async(index, self._stream.cuda_stream)
            self._stream.synchronize()
            self._contexts[part.name, index] = context
        return self._contexts[part.name, index]

    def _execute(self, part: Part, index: int, buffers: _Buffers) -> None:
        context = self._context(part, index)
        for tensor in part.inputs:
            context.set_input_shape(tensor.name, tuple(buffers.device[tensor.name].shape))
        for name, memory in buffers.device.items():
            context.set_tensor_address(name, memory.data_ptr())
        if not context.execute_async_v3(self._stream.cuda_stream):
            raise ModelError(f"TensorRT could not run part '{part.name}'; its log says why")


@dataclass
class _Buffers:
    """Pinned host and device memory of one part for one set of shapes, and its recorded graph."""

    host: dict[str, Any]
    device: dict[str, Any]
    graph: Any = None


OLDEST = 10


def import_runtime() -> ModuleType:
    """Import `tensorrt`, else the lean runtime with the same API.

    Raises:
        ModelError: Neither is installed, or it is too old for strongly typed networks.
    """
    return _import("tensorrt", "tensorrt_lean", "tensorrt_lean_bindings")


def import_builder() -> ModuleType:
    """Import `tensorrt` with its builder.

    Raises:
        ModelError: It is not installed, or too old.
    """
    return _import("tensorrt")


def _import(*names: str) -> ModuleType:
    for name in names:
        try:
            module = import_module(name)
        except (ImportError, OSError):  # OSError: the bindings without their libraries
            continue
        version = str(getattr(module, "__version__", "0"))
        if int(version.split(".")[0]) < OLDEST:
            raise ModelError(
                f"TensorRT {version} is too old: {OLDEST} or newer is needed (JetPack 6.1 or newer)"
            )
        return module
    raise ModelError(
        "TensorRT is not installed: pip install tensorrt (on a Jetson it comes with JetPack)"
    )
