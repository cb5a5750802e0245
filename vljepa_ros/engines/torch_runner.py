"""Runs parts as torch modules: eager, compiled, or as CUDA graphs."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from vljepa_ros.engines.part_runner import (
    Array,
    OutOfMemoryError,
    PartRunner,
    padded_rows,
)
from vljepa_ros.engines.protocol import EngineInfo
from vljepa_ros.models.config import ModelError
from vljepa_ros.models.parts import Part

_LOG = logging.getLogger("vljepa_ros.engines")
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def torch_device(device: str) -> torch.device:
    """The torch device for `auto`, `cpu`, `cuda` or `cuda:N`.

    Raises:
        ModelError: There is no such device.
    """
    if device == "auto":
        device = "cuda:0" if torch.cuda.is_available() else "cpu"
    device = "cuda:0" if device == "cuda" else device
    count = torch.cuda.device_count()
    allowed = ["auto", "cpu", *(f"cuda:{i}" for i in range(count))]
    if device not in allowed:
        raise ModelError(f"device is {device!r}, allowed here: {', '.join(allowed)}")
    return torch.device(device)


class TorchRunner(PartRunner):
    """Runs modules on one device in one precision.

    Outputs are numpy arrays. A tensor on a GPU is kept as long as its array exists, so that visual
    tokens need not be copied back for further questions.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        modules: Mapping[str, nn.Module],
        *,
        device: str = "auto",
        precision: str = "fp32",
        compiled: bool = False,
        backend: Any = "inductor",
        cuda_graphs: bool = False,
        autocast: bool = False,
        keep: bool | None = None,
        memory_limit: float = 0.0,
    ) -> None:
        """Move the modules to the device.

        Args:
            parts: Parts to load.
            modules: Part name -> module; its arguments are named as the part's inputs.
            device: See `torch_device`.
            precision: A name of `PRECISIONS`.
            compiled: Whether to use `torch.compile`.
            backend: Backend of `torch.compile`.
            cuda_graphs: Whether to record each part once for each shape.
            autocast: Whether weights stay in fp32 and torch lowers the precision of operations;
                else the modules are cast.
            keep: Whether outputs stay on the device; None: on a GPU.
            memory_limit: GiB of GPU memory that this process may use, 0: all.

        Raises:
            ModelError: Unknown device or precision, or CUDA graphs without CUDA.
        """
        if precision not in PRECISIONS:
            raise ModelError(f"precision is {precision!r}, allowed: {', '.join(PRECISIONS)}")
        self._device = torch_device(device)
        if cuda_graphs and self._device.type != "cuda":
            raise ModelError(f"CUDA graphs need a CUDA device, this is {self._device}")
        name = "torch-compiled" if compiled else "torch-graphs" if cuda_graphs else "torch"
        info = EngineInfo(name, str(self._device), precision)
        super().__init__(parts, info, fixed_shapes=compiled or cuda_graphs)
        if memory_limit and self._device.type == "cuda":
            total = torch.cuda.get_device_properties(self._device).total_memory
            share = min(1.0, memory_limit * 2**30 / total)
            torch.cuda.set_per_process_memory_fraction(share, self._device)
        self._lowered = PRECISIONS[precision] if autocast else torch.float32
        self._dtype = torch.float32 if autocast else PRECISIONS[precision]
        self._modules: dict[str, Any] = {}
        for part in parts:
            module = modules[part.name].to(device=self._device, dtype=self._dtype).eval()
            self._modules[part.name] = module
            if compiled:
                dynamic = None if part.grows else False
                self._modules[part.name] = torch.compile(module, dynamic=dynamic, backend=backend)
        self._graphs: dict[tuple[Any, ...], _Captured | None] = {}
        self._use_graphs = cuda_graphs
        self._keeps = self._device.type == "cuda" if keep is None else keep
        self._kept: dict[int, tuple[weakref.ref[Any], torch.Tensor]] = {}

    def stack(self, rows: Sequence[NDArray[np.float32]]) -> Array:
        """[B, ...]: a tensor on the device if all rows are kept there, else a numpy array."""
        found = [self._kept.get(id(row)) for row in rows]
        if all(
            entry is not None and entry[0]() is row for entry, row in zip(found, rows, strict=True)
        ):
            return torch.stack([entry[1] for entry in found if entry is not None])  # type: ignore[return-value]
        return super().stack(rows)

    def split(self, output: Array) -> list[NDArray[Any]]:
        """Rows [...] of an output [B, ...] just returned by `run`; they stay on the device."""
        rows = list(output)
        entry = self._kept.pop(id(output), None)
        if entry is not None:
            for row, tensor in zip(rows, entry[1], strict=True):
                self._remember(row, tensor)
        return rows

    def close(self) -> None:
        """Free modules, graphs and kept tensors."""
        self._modules.clear()
        self._graphs.clear()
        self._kept.clear()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _run(
        self, part: Part, inputs: Mapping[str, Any], rows: int, largest: int | None
    ) -> dict[str, Array]:
        try:
            with torch.inference_mode(), self._on_device(), self._autocast():
                tensors = {name: self._to_device(value) for name, value in inputs.items()}
                if self.fixed_shapes and padded_rows(rows) > rows:
                    tensors = self._padded(part, tensors, rows)
                if self._use_graphs and not part.grows:
                    result = self._replay(part.name, tensors)
                else:
                    result = self._modules[part.name](**tensors)
                outputs = (result,) if isinstance(result, torch.Tensor) else tuple(result)
                arrays: dict[str, Array] = {}
                for tensor, whole in zip(part.outputs, outputs, strict=True):
                    axis = tensor.batch_axis
                    value = whole if axis is None else whole.narrow(axis, 0, rows)
                    array = _to_host(value.float())
                    if self._keeps and axis == 0:
                        self._remember(array, value.clone() if self._use_graphs else value)
                    arrays[tensor.name] = array
                return arrays
        except torch.OutOfMemoryError as error:
            torch.cuda.empty_cache()
            raise OutOfMemoryError(str(error).split("\n")[0][:200]) from error

    def _padded(
        self, part: Part, tensors: Mapping[str, torch.Tensor], rows: int
    ) -> dict[str, torch.Tensor]:
        """Pad a batch by repeating its last row."""
        fill = torch.arange(padded_rows(rows), device=self._device).clamp(max=rows - 1)
        axes = {tensor.name: tensor.batch_axis for tensor in part.inputs}
        return {
            name: tensor if (axis := axes[name]) is None else tensor.index_select(axis, fill)
            for name, tensor in tensors.items()
        }

    def _autocast(self) -> torch.autocast:
        # A recorded graph must not read casts of weights that are freed when autocast ends.
        return torch.autocast(
            self._device.type,
            self._lowered,
            enabled=self._lowered != torch.float32,
            cache_enabled=not self._use_graphs,
        )

    def _on_device(self) -> AbstractContextManager[Any]:
        """Make this device the current one, to which streams and graphs belong."""
        return torch.cuda.device(self._device) if self._device.type == "cuda" else nullcontext()

    def _to_device(self, value: object) -> torch.Tensor:
        tensor = (
            value
            if isinstance(value, torch.Tensor)
            else torch.from_numpy(np.require(value, requirements=["C", "W"]))
        )
        if self._device.type == "cuda" and tensor.device.type == "cpu":
            # From pinned memory the copy is fast and does not block; torch keeps the memory.
            tensor = tensor.pin_memory().to(self._device, non_blocking=True)
        if tensor.is_floating_point():
            return tensor.to(self._device, self._dtype)
        return tensor.to(self._device)

    def _remember(self, array: NDArray[Any], tensor: torch.Tensor) -> None:
        key = id(array)
        kept = self._kept

        def forget(_: object) -> None:
            kept.pop(key, None)

        kept[key] = (weakref.ref(array, forget), tensor)

    def _replay(self, part: str, tensors: dict[str, torch.Tensor]) -> Any:
        key = (part, *((name, tuple(t.shape)) for name, t in sorted(tensors.items())))
        if key not in self._graphs:
            try:
                self._graphs[key] = _Captured(self._modules[part], tensors)
            except torch.OutOfMemoryError:
                raise
            except RuntimeError as error:  # operations that wait for the GPU cannot be recorded
                reason = str(error).split("\n")[0]
                _LOG.warning("part '%s' runs without a CUDA graph: %s", part, reason)
                self._graphs[key] = None
        graph = self._graphs[key]
        return self._modules[part](**tensors) if graph is None else graph(tensors)


def _to_host(value: torch.Tensor) -> NDArray[Any]:
    """Copy to the host, through pinned memory that torch reuses."""
    if value.device.type != "cuda":
        return np.asarray(value.numpy())
    host = torch.empty(value.shape, dtype=value.dtype, pin_memory=True)
    host.copy_(value, non_blocking=True)
    torch.cuda.current_stream(value.device).synchronize()
    return np.asarray(host.numpy())


class _Captured:
    """A module recorded once for fixed shapes; replaying it costs one launch."""

    def __init__(self, module: Any, example: Mapping[str, torch.Tensor]) -> None:
        self._inputs = {name: tensor.clone() for name, tensor in example.items()}
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):  # lazy initialisation must not be recorded
                module(**self._inputs)
        torch.cuda.current_stream().wait_stream(side)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._output = module(**self._inputs)

    def __call__(self, tensors: Mapping[str, torch.Tensor]) -> Any:
        for name, tensor in tensors.items():
            self._inputs[name].copy_(tensor)
        self._graph.replay()
        return self._output
