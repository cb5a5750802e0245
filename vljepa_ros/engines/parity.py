"""Refuses an engine whose outputs differ from the reference on the same inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vljepa_ros.engines.part_runner import Array, PartRunner
from vljepa_ros.models.config import ModelError
from vljepa_ros.models.parts import Part

# Least cosine between rows of outputs, by precision. fp32 differs only by the order of sums.
THRESHOLDS = {"fp32": 0.99999, "bf16": 0.99, "fp16": 0.995}


@dataclass(frozen=True)
class Parity:
    """Agreement of the outputs of a part.

    Attributes:
        part: Name of the part.
        cosine: Minimum cosine over all rows.
        difference: Maximum absolute difference.
    """

    part: str
    cosine: float
    difference: float


def example_inputs(part: Part, sizes: Mapping[str, int]) -> dict[str, Array]:
    """Fixed inputs of given axis sizes.

    Floats are drawn from N(0, 1), ids from 1..15, levels from 0..255; masks are ones.

    Raises:
        ModelError: An axis without a size.
    """
    rng = np.random.default_rng(0)
    inputs: dict[str, Array] = {}
    for tensor in part.inputs:
        missing = [dim for dim in tensor.dims if isinstance(dim, str) and dim not in sizes]
        if missing:
            raise ModelError(f"part '{part.name}' needs a size for {', '.join(missing)}")
        shape = tuple(sizes[dim] if isinstance(dim, str) else dim for dim in tensor.dims)
        if "mask" in tensor.name or tensor.name == "valid":
            inputs[tensor.name] = np.ones(shape, tensor.dtype)
        elif tensor.dtype == "int64":
            inputs[tensor.name] = rng.integers(
                min(1, tensor.below - 1), min(16, tensor.below), shape
            )
        elif tensor.dtype == "uint8":
            inputs[tensor.name] = rng.integers(0, 256, shape, dtype=np.uint8)
        else:
            inputs[tensor.name] = rng.standard_normal(shape).astype(np.float32)
    return inputs


def compare_values(part: str, reference: Array, other: Array) -> Parity:
    """Compare two outputs [..., D] row by row; not-a-number counts as cosine -1.

    Raises:
        ModelError: Different shapes.
    """
    if reference.shape != other.shape:
        raise ModelError(
            f"part '{part}': output is {list(other.shape)}, the reference's {list(reference.shape)}"
        )
    a = np.asarray(reference, np.float64).reshape(-1, reference.shape[-1])
    b = np.asarray(other, np.float64).reshape(-1, other.shape[-1])
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return Parity(part, -1.0, float("inf"))
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    cosine = (a * b).sum(axis=1) / np.maximum(norms, 1e-30)
    return Parity(part, float(cosine.min()), float(np.abs(a - b).max()))


def compare_runners(
    parts: Sequence[Part],
    reference: PartRunner,
    other: PartRunner,
    sizes: Mapping[str, int],
) -> list[Parity]:
    """Run both on the same fixed inputs; returns a result for each output of each part."""
    results = []
    for part in parts:
        inputs = example_inputs(part, sizes)
        expected, seen = reference.run(part.name, inputs), other.run(part.name, inputs)
        results += [
            compare_values(part.name, expected[tensor.name], seen[tensor.name])
            for tensor in part.outputs
        ]
    return results


def gate(results: Sequence[Parity], precision: str) -> None:
    """Refuse an engine whose results differ too much from the reference.

    Raises:
        ModelError: A part below the threshold of its precision.
    """
    threshold = THRESHOLDS[precision]
    failed = [r for r in results if not r.cosine >= threshold]
    if failed:
        seen = ", ".join(f"{r.part} {r.cosine:.6f}" for r in failed)
        raise ModelError(
            f"refused: cosine to the fp32 reference is {seen}; allowed for {precision}: "
            f"at least {threshold}"
        )
