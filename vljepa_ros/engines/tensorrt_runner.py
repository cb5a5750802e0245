"""Parts as TensorRT engines: pinned host buffers, one stream, a CUDA graph for each shape.

torch lends the device memory, the stream and the graph; it computes nothing here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.engines.part_runner import (
    Array,
    OutOfMemoryError,
    padded_rows,
    run_in_batches,
    stack,
)
from vljepa_ros.engines.protocol import EngineInfo
from vljepa_ros.engines.shape_profiles import Profile, select_profile
from vljepa_ros.engines.tensorrt_api import RUNTIME_NAMES, import_runtime, missing_names
from vljepa_ros.models.config import ModelError
from vljepa_ros.models.parts import Part, check_inputs


class TensorRtRunner:
    """One engine for each part, one execution context for each of its profiles."""

    def __init__(
        self,
        parts: Sequence[Part],
        plans: Mapping[str, Path],
        profiles: Mapping[str, Sequence[Profile]],
        *,
        precision: str,
        device: int = 0,
        cuda_graphs: bool = True,
    ) -> None:
        """Load the engines.

        :raises ModelError: no TensorRT or CUDA, or an engine that was built elsewhere or otherwise.
        """
        import torch

        trt = import_runtime()
        missing = missing_names(trt, RUNTIME_NAMES)
        if missing:
            raise ModelError(f"TensorRT {trt.__version__} lacks {', '.join(missing)}")
        # Without a driver, TensorRT ends the process instead of raising.
        if not torch.cuda.is_available():
            raise ModelError("TensorRT needs a CUDA device, and torch finds none here")
        self._trt, self._torch = trt, torch
        self._device = torch.device("cuda", device)
        self._parts = {part.name: part for part in parts}
        self._profiles = {name: tuple(found) for name, found in profiles.items()}
        self._use_graphs = cuda_graphs
        self._info = EngineInfo("tensorrt", str(self._device), precision)
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
                    "elsewhere; "
                    "run `vljepa build-engine` here"
                )
            self._check(part, engine)
            self._engines[part.name] = engine

    @property
    def info(self) -> EngineInfo:
        """What runs."""
        return self._info

    @property
    def fixed_shapes(self) -> bool:
        """Each shape has its own buffers and recorded graph."""
        return True

    def run(self, part: str, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run one part; a batch greater than the greatest profile is cut."""
        sizes = check_inputs(self._parts[part], inputs)
        largest = max(
            (high for p in self._profiles[part] for a, (_, _, high) in p.axes if a == "batch"),
            default=None,
        )
        first = {**sizes, "batch": min(sizes.get("batch", 1), largest or 1)}
        select_profile(part, self._profiles[part], {a: first[a] for a in sizes})
        return run_in_batches(lambda batch: self._run(part, batch, largest), inputs, largest)

    def stack(self, rows: Sequence[NDArray[np.float32]]) -> Array:
        """Copy rows into one array."""
        return stack(rows)

    def keep(self, outputs: Array, rows: Sequence[NDArray[np.float32]]) -> None:
        """Nothing stays on the device."""

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
                f"the engine of part '{part.name}' takes "
                f"{sorted(seen)} in "
                f"{engine.num_optimization_profiles} profiles, expected {sorted(expected)} "
                f"in {count}: "
                "run `vljepa build-engine` again"
            )

    def _run(self, part: str, inputs: Mapping[str, Array], largest: int | None) -> dict[str, Array]:
        torch = self._torch
        rows = len(next(iter(inputs.values())))
        full = padded_rows(rows, largest)
        if full > rows:
            fill = [*range(rows), *[rows - 1] * (full - rows)]
            inputs = {name: value[fill] for name, value in inputs.items()}
        sizes = check_inputs(self._parts[part], inputs)
        index = select_profile(part, self._profiles[part], sizes)
        key = (part, index, *sorted(sizes.items()))
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
                for tensor in self._parts[part].outputs:
                    buffers.host[tensor.name].copy_(buffers.device[tensor.name], non_blocking=True)
            self._stream.synchronize()
        except torch.OutOfMemoryError as error:
            self._buffers.clear()
            torch.cuda.empty_cache()
            raise OutOfMemoryError(str(error).split("\n")[0][:200]) from error
        outputs = self._parts[part].outputs
        return {t.name: buffers.host[t.name][:rows].numpy().copy() for t in outputs}

    def _prepare(self, part: str, index: int, inputs: Mapping[str, Array]) -> _Buffers:
        """Buffers for one set of shapes; warmed up and recorded."""
        torch, declared = self._torch, self._parts[part]
        context = self._context(part, index)
        for tensor in declared.inputs:
            context.set_input_shape(tensor.name, tuple(inputs[tensor.name].shape))
        host, device = {}, {}
        for tensor in (*declared.inputs, *declared.outputs):
            shape = tuple(context.get_tensor_shape(tensor.name))
            dtype = getattr(torch, tensor.dtype)
            host[tensor.name] = torch.empty(shape, dtype=dtype, pin_memory=True)
            device[tensor.name] = torch.zeros(shape, dtype=dtype, device=self._device)
        buffers = _Buffers(host, device)
        with torch.cuda.stream(self._stream):
            for _ in range(3):
                self._execute(part, index, buffers)
        self._stream.synchronize()
        if self._use_graphs:
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, stream=self._stream):
                self._execute(part, index, buffers)
            buffers.graph = graph
        return buffers

    def _context(self, part: str, index: int) -> Any:
        if (part, index) not in self._contexts:
            context = self._engines[part].create_execution_context()
            if context is None:
                raise OutOfMemoryError("no execution context")
            context.set_optimization_profile_async(index, self._stream.cuda_stream)
            self._stream.synchronize()
            self._contexts[part, index] = context
        return self._contexts[part, index]

    def _execute(self, part: str, index: int, buffers: _Buffers) -> None:
        context = self._context(part, index)
        for tensor in self._parts[part].inputs:
            context.set_input_shape(tensor.name, tuple(buffers.device[tensor.name].shape))
        for name, memory in buffers.device.items():
            context.set_tensor_address(name, memory.data_ptr())
        if not context.execute_async_v3(self._stream.cuda_stream):
            raise ModelError(f"TensorRT could not run part '{part}'; its log says why")


class _Buffers:
    """Pinned host and device memory of one part for one set of shapes, and its recorded graph."""

    def __init__(self, host: dict[str, Any], device: dict[str, Any]) -> None:
        self.host = host
        self.device = device
        self.graph: Any = None
