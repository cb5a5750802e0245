"""The common interface for running a model's parts on torch, ONNX Runtime and TensorRT."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.engines.protocol import EngineInfo
from vljepa_ros.models.config import ModelError
from vljepa_ros.models.parts import Part, check_inputs

Array = NDArray[np.generic]
Arrays = Mapping[str, Array]

SHORTEST_PADDED_LENGTH = 16
"""Length of the shortest padded text: most questions fit, so that they share a recorded shape."""


class OutOfMemoryError(Exception):
    """The device has no memory for this batch; a smaller one may fit."""


class PartRunner(ABC):
    """Runs parts by name. One thread at a time.

    Attributes:
        info: Engine, device and precision in use.
        fixed_shapes: Whether every new shape costs a compilation or a recording, so that few shapes
            should be used.
    """

    def __init__(self, parts: Sequence[Part], info: EngineInfo, fixed_shapes: bool) -> None:
        self._parts = {part.name: part for part in parts}
        self.info = info
        self.fixed_shapes = fixed_shapes

    def run(self, part: str, inputs: Arrays) -> dict[str, Array]:
        """Run one part; batches are halved if the device has no memory left.

        Args:
            part: Name of the part.
            inputs: Inputs as its `Part` declares them.

        Returns:
            Outputs as its `Part` declares them, in float32.

        Raises:
            ModelError: Wrong inputs, a part that was not loaded, or no memory even for one row.
        """
        declared = self._parts.get(part)
        if declared is None:
            raise ModelError(
                f"graph '{part}' is not loaded; loaded: {', '.join(self._parts) or 'none'}"
            )
        largest = None
        if all(isinstance(value, np.ndarray) for value in inputs.values()):
            largest = self._largest_batch(declared, check_inputs(declared, inputs))
        axes = {tensor.name: tensor.batch_axis for tensor in declared.inputs}
        rows = next(inputs[n].shape[axis] for n, axis in axes.items() if axis is not None)
        size = min(rows, largest) if largest else rows
        done: list[dict[str, Array]] = []
        start = 0
        while start < rows or not done:
            batch = inputs
            if size < rows:
                batch = {
                    name: _rows(inputs[name], axis, start, size) for name, axis in axes.items()
                }
            try:
                done.append(self._run(declared, batch, min(size, rows - start), largest))
            except OutOfMemoryError as error:
                if size <= 1:
                    raise ModelError(
                        f"the device has no memory for one input: {error}; "
                        "use a smaller model, fewer frames, a lower precision or the CPU"
                    ) from error
                size //= 2
                continue
            start += size
        if len(done) == 1:
            return done[0]
        return {
            tensor.name: np.concatenate([one[tensor.name] for one in done], tensor.batch_axis or 0)
            for tensor in declared.outputs
        }

    def stack(self, rows: Sequence[NDArray[np.float32]]) -> Array:
        """Make an input [B, ...] of B rows, without a copy if possible."""
        if len(rows) == 1:
            return np.asarray(rows[0], np.float32)[None]
        return np.stack(rows).astype(np.float32, copy=False)

    def split(self, output: Array) -> list[NDArray[Any]]:
        """Rows [...] of an output [B, ...] just returned by `run`; they may stay on the device."""
        return list(output)

    def pad_length(
        self, array: NDArray[Any], longest: int, mode: Literal["constant", "edge"] = "constant"
    ) -> NDArray[Any]:
        """Pad tokens [B, L, ...] to a common length, if shapes are fixed."""
        if not self.fixed_shapes:
            return array
        missing = padded_length(array.shape[1], longest) - array.shape[1]
        return np.pad(array, [(0, missing * (axis == 1)) for axis in range(array.ndim)], mode)

    @abstractmethod
    def close(self) -> None:
        """Free the device."""

    def _largest_batch(self, part: Part, sizes: Mapping[str, int]) -> int | None:
        """Maximum batch of the part; None: no limit."""
        return None

    @abstractmethod
    def _run(self, part: Part, inputs: Arrays, rows: int, largest: int | None) -> dict[str, Array]:
        """Run one batch.

        Args:
            part: Name of the part.
            inputs: The batch.
            rows: Number of its rows.
            largest: Maximum batch of the part; None: no limit.

        Raises:
            OutOfMemoryError: The batch does not fit.
        """


def padded_rows(rows: int, largest: int | None = None) -> int:
    """The batch to which rows are padded if shapes are fixed: a power of two.

    Args:
        rows: Number of rows.
        largest: Maximum batch.
    """
    size = 1 << max(0, rows - 1).bit_length()
    return max(rows, min(size, largest)) if largest else size


def padded_length(length: int, longest: int) -> int:
    """The length to which a row of tokens is padded if shapes are fixed: 16, 32, 64, ...

    It is never more than `longest`.
    """
    return max(length, min(longest, max(SHORTEST_PADDED_LENGTH, padded_rows(length))))


def _rows(array: Array, axis: int | None, start: int, count: int) -> Array:
    if axis is None:
        return array
    return array[(slice(None),) * axis + (slice(start, start + count),)]
