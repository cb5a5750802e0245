"""Rows for the tests: made from a seed, cheap."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

import vljepa_ros
from vljepa_ros.perception.memory.row import SAMPLE, Row

DIM = 32
MODEL = "nano-0123abcd"
SECOND = 1_000_000_000
ENVIRONMENT = os.environ | {
    "PYTHONPATH": os.pathsep.join(
        (str(Path(__file__).parent), str(Path(vljepa_ros.__file__).parent.parent))
    )
}
"""For child processes that import this file and the package."""


def unit(values: np.ndarray) -> np.ndarray:
    return (values / np.linalg.norm(values)).astype(np.float32)


def vector(seed: int, dim: int = DIM) -> np.ndarray:
    return unit(np.random.default_rng(seed).standard_normal(dim))


def row(second: float, seed: int | None = None, **changes: object) -> Row:
    stamp = round(second * SECOND)
    values = {
        "kind": SAMPLE,
        "camera": "front",
        "start": stamp - SECOND,
        "end": stamp,
        "stamp": stamp,
        "vector": vector(round(second * 10) if seed is None else seed),
        **changes,
    }
    return Row(**values)  # type: ignore[arg-type]
