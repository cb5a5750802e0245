"""Running a model's parts: one interface for torch, ONNX Runtime and TensorRT."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.engines.protocol import EngineInfo
from vljepa_ros.models.config import ModelError

Array = NDArray[np.generic]


class OutOfMemoryError(Exception):
    """The device had no memory for this batch; a smaller one may fit."""


class PartRunner(Protocol):
    """Runs parts by name. One thread at a time."""

    @property
    def info(self) -> EngineInfo:
        """Engine, device and precision in use."""

    @property
    def fixed_shapes(self) -> bool:
        """Whether every new shape costs a compilation or a recording: then few shapes are used."""

    def run(self, part: str, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run one part; inputs and outputs as its `Part` declares them, outputs in float32.

        :raises ModelError: wrong inputs, or no memory even for one row.
        """

    def stack(self, rows: Sequence[NDArray[np.float32]]) -> Array:
        """Make one input [B, ...] of B rows; rows that are still on the device need no copy."""

    def keep(self, outputs: Array, rows: Sequence[NDArray[np.float32]]) -> None:
        """Take note that `rows` are the rows of `outputs`, which `run` has just returned."""

    def close(self) -> None:
        """Free the device."""


def padded_rows(rows: int, largest: int | None = None) -> int:
    """The batch that `rows` rows are filled up to where shapes are fixed: a power of two.

    :param largest: not more than that.
    """
    size = 1 << max(0, rows - 1).bit_length()
    return max(rows, min(size, largest)) if largest else size


def padded_length(length: int, longest: int) -> int:
    """The length that a row of tokens is filled up to where shapes are fixed: 16, 32, 64 ... but
    not more than `longest`."""
    return max(length, min(longest, max(16, padded_rows(length))))


def stack(rows: Sequence[NDArray[np.float32]]) -> Array:
    """`PartRunner.stack` for runners that keep nothing on a device; one row is not copied."""
    return rows[0][None] if len(rows) == 1 else np.stack(rows)


def run_in_batches(
    run: Callable[[Mapping[str, Array]], dict[str, Array]],
    inputs: Mapping[str, Array],
    largest: int | None = None,
) -> dict[str, Array]:
    """Run rows in batches, halved whenever the device has no memory left.

    :param run: raises `OutOfMemoryError` when a batch does not fit.
    :param largest: most rows at once (an engine's built batch size); None: all.
    :raises ModelError: not even one row fits.
    """
    rows = len(next(iter(inputs.values())))
    size = min(rows, largest) if largest else rows
    done: list[dict[str, Array]] = []
    start = 0
    while start < rows or not done:
        try:
            done.append(run({name: a[start : start + size] for name, a in inputs.items()}))
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
    return {name: np.concatenate([part[name] for part in done]) for name in done[0]}
