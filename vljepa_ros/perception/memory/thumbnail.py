"""Thumbnails: the images of a clip side by side in one small JPEG, and back."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def clip_to_jpeg(frames: NDArray[np.uint8], side: int, quality: int = 75) -> bytes:
    """[T, S, S, 3] uint8 RGB as one JPEG of T images, each side x side, oldest left."""
    small = [
        frame
        if frame.shape[0] == side
        else cv2.resize(frame, (side, side), interpolation=cv2.INTER_AREA)
        for frame in frames
    ]
    strip = np.ascontiguousarray(np.concatenate(small, axis=1)[..., ::-1])
    _, data = cv2.imencode(".jpg", strip, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return bytes(data)


def jpeg_to_frames(data: bytes, count: int, size: int) -> NDArray[np.uint8]:
    """[count, size, size, 3] uint8 RGB of a JPEG made by `clip_to_jpeg`.

    :raises ValueError: damaged data, or a width that does not fit `count`.
    """
    strip = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if strip is None or count < 1 or strip.shape[1] != count * strip.shape[0]:
        shape = None if strip is None else strip.shape[:2]
        raise ValueError(f"a thumbnail of {count} square images has shape {shape}")
    side = strip.shape[0]
    frames = [strip[:, i * side : (i + 1) * side, ::-1] for i in range(count)]
    if side != size:
        how = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
        frames = [
            cv2.resize(np.ascontiguousarray(f), (size, size), interpolation=how) for f in frames
        ]
    return np.stack(frames).astype(np.uint8)
