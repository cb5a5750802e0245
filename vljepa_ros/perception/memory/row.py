"""One row of the memory: a segment of constant meaning, or one sample of the stream."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SEGMENT = "segment"
SAMPLE = "sample"

NORM_TOLERANCE = 0.05
"""How far from 1 the L2 norm of a vector may be: fp16 rounding stays far below it."""


@dataclass(frozen=True)
class Pose:
    """Where the robot was.

    position: x, y, z, metres. orientation: quaternion x, y, z, w. frame_id: the frame of both.
    """

    position: tuple[float, float, float]
    orientation: tuple[float, float, float, float]
    frame_id: str


@dataclass(frozen=True)
class Row:
    """What is remembered of one stretch of one camera's stream.

    kind: SEGMENT or SAMPLE. start, end, stamp: nanoseconds, start <= stamp <= end; stamp is the
    sample that `vector` stands for best. vector: [D] float32, L2 norm 1, kept as fp16. text: what
    was said at the time, may be empty. source: name of the bag, empty for a live camera.
    thumbnail: JPEG of `thumbnail_frames` images of equal width side by side, oldest first; None
    where none was kept.
    """

    kind: str
    camera: str
    start: int
    end: int
    stamp: int
    vector: NDArray[np.float32]
    text: str = ""
    label: str = ""
    label_score: float = 0.0
    source: str = ""
    pose: Pose | None = None
    thumbnail: bytes | None = None
    thumbnail_frames: int = 0


def check_row(row: Row, dim: int) -> str | None:
    """What is wrong with a row; None: nothing.

    :param dim: length of the store's vectors.
    """
    if row.kind not in (SEGMENT, SAMPLE):
        return f"kind is '{row.kind}', allowed: {SEGMENT}, {SAMPLE}"
    if not row.camera:
        return "the camera has no name"
    if not row.start <= row.stamp <= row.end:
        return f"start {row.start}, stamp {row.stamp}, end {row.end} ns are not in this order"
    if row.vector.shape != (dim,):
        return f"the vector has shape {row.vector.shape}, the store keeps ({dim},)"
    norm = float(np.linalg.norm(row.vector))
    if not math.isfinite(norm) or abs(norm - 1.0) > NORM_TOLERANCE:
        return f"the vector's L2 norm is {norm:.3g}, allowed: 1"
    if row.pose is not None and not all(
        math.isfinite(value) for value in row.pose.position + row.pose.orientation
    ):
        return "the pose is not finite"
    return None
