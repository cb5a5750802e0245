"""The parts of a model as graphs: names, shapes and dtypes of inputs and outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.models.config import ModelError


@dataclass(frozen=True)
class Tensor:
    """One input or output.

    Attributes:
        name: As the graph calls it.
        dims: A number is fixed, a word is a dynamic axis (`batch`, `length`): equal words, equal
            sizes.
        dtype: `float32`, `int64`, `uint8` (levels of a frame).
        below: Of int64: every value is less.
    """

    name: str
    dims: tuple[int | str, ...]
    dtype: str = "float32"
    below: int = 16

    @property
    def batch_axis(self) -> int | None:
        """Index of the axis `batch`, None if all rows of a batch share the tensor."""
        return self.dims.index("batch") if "batch" in self.dims else None


@dataclass(frozen=True)
class Part:
    """A graph of a model, for example its X-Encoder (`vision`).

    Attributes:
        name: Unique within the model.
        inputs: In the graph's order; at least one has the axis `batch`.
        outputs: In the graph's order.
        grows: Whether an axis has another size at each call (a decoder's cache), so that compiling
            or recording it for one size does not pay.
    """

    name: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    grows: bool = False

    def axes(self) -> tuple[str, ...]:
        """Names of the dynamic axes, in order of appearance in the inputs."""
        return tuple(
            dict.fromkeys(dim for t in self.inputs for dim in t.dims if isinstance(dim, str))
        )


def check_inputs(part: Part, inputs: Mapping[str, NDArray[np.generic]]) -> dict[str, int]:
    """Compare arrays with a part's declaration.

    Returns:
        Size of each dynamic axis.

    Raises:
        ModelError: A missing or unknown input, a wrong shape or dtype.
    """
    expected = {tensor.name for tensor in part.inputs}
    if set(inputs) != expected:
        raise ModelError(
            f"part '{part.name}' takes {', '.join(sorted(expected))}; got "
            f"{', '.join(sorted(inputs))}"
        )
    sizes: dict[str, int] = {}
    for tensor in part.inputs:
        shape = inputs[tensor.name].shape
        if len(shape) != len(tensor.dims) or any(
            size != (sizes.setdefault(dim, size) if isinstance(dim, str) else dim)
            for dim, size in zip(tensor.dims, shape, strict=True)
        ):
            raise ModelError(
                f"part '{part.name}': '{tensor.name}' has shape {' x '.join(map(str, shape))}, "
                f"allowed: {' x '.join(map(str, tensor.dims))}"
            )
        if inputs[tensor.name].dtype != tensor.dtype:
            raise ModelError(
                f"part '{part.name}': '{tensor.name}' is {inputs[tensor.name].dtype}, "
                f"allowed: {tensor.dtype}"
            )
    return sizes
