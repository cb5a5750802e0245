"""Resizing with antialiasing: fast, by OpenCV's averaging, or identical to Pillow's.

OpenCV's cubic and linear filters do not widen when they shrink an image, Pillow's do, and the
models of the hub were trained on Pillow's pixels: the difference reaches a third of the range at an
edge. So the filter is written out here as two matrix products, with Pillow's rounding to 8 bits
between them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from vljepa_ros.models.config import ModelError


def resize_antialiased(
    image: NDArray[np.uint8], height: int, width: int, interpolation: str
) -> NDArray[np.uint8]:
    """[H, W, 3] uint8 to [height, width, 3], each pass equal to Pillow's `Image.resize`.

    Weights have 22 bits; a pass ends in whole levels. Across first; Pillow 13 sometimes goes down
    first.
    """
    _kernel(interpolation)
    for axis in (1, 0):
        size = (height, width)[axis]
        if image.shape[axis] != size:
            weights = filter_matrix(image.shape[axis], size, interpolation)
            moved = np.moveaxis(image, axis, 0)
            flat = weights @ moved.reshape(len(moved), -1).astype(np.float64)
            levels = np.clip(np.floor(flat + 0.5), 0, 255).astype(np.uint8)
            image = np.moveaxis(levels.reshape(size, *moved.shape[1:]), 0, axis)
    return np.ascontiguousarray(image)


def resize_area(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """[H, W, 3] uint8 to [height, width, 3] by OpenCV: averaged down, enlarged bilinearly.

    A view with reversed channels is turned when it is small: OpenCV would copy the large one.
    """
    if image.strides[2] < 0:
        small = resize_area(image[..., ::-1], height, width)
        return np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2RGB), np.uint8)
    shrinks = height * width < image.shape[0] * image.shape[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (width, height), interpolation=how), np.uint8)


def resize_area_fast(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """As `resize_area`, [H, W, 3] within two levels: by halves first, while sizes are even.

    OpenCV does that several times as fast.
    """
    rows, columns = image.shape[:2]
    while rows >= 2 * height and columns >= 2 * width and not rows % 2 and not columns % 2:
        rows, columns = rows // 2, columns // 2
        image = resize_area(image, rows, columns)
    return resize_area(image, height, width)


def _triangle(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.maximum(0.0, 1.0 - np.abs(x))


def _cubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    a, x = -0.5, np.abs(x)
    near = ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    far = (((x - 5.0) * x + 8.0) * x - 4.0) * a
    return np.where(x < 1.0, near, np.where(x < 2.0, far, 0.0))


def _lanczos(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(np.abs(x) < 3.0, np.sinc(x) * np.sinc(x / 3.0), 0.0)


_Kernel = Callable[[NDArray[np.float64]], NDArray[np.float64]]
_KERNELS: dict[str, tuple[_Kernel, float]] = {
    "bilinear": (_triangle, 1.0),
    "bicubic": (_cubic, 2.0),
    "lanczos": (_lanczos, 3.0),
}


def _kernel(interpolation: str) -> tuple[_Kernel, float]:
    """A filter and its reach in pixels."""
    if interpolation not in _KERNELS:
        raise ModelError(f"interpolation is {interpolation!r}, allowed: {', '.join(_KERNELS)}")
    return _KERNELS[interpolation]


@lru_cache(maxsize=32)
def filter_matrix(source: int, target: int, interpolation: str) -> NDArray[np.float64]:
    """[target, source] float64 weights; rows sum to 1.

    Pillow's `precompute_coeffs`, rounded as it rounds: the sums are then exact in float64.

    Raises:
        ModelError: Unknown interpolation.
    """
    kernel, reach = _kernel(interpolation)
    scale = source / target
    stretch = max(scale, 1.0)
    support = reach * stretch
    centres = (np.arange(target) + 0.5) * scale
    first = np.maximum(0, np.floor(centres - support + 0.5)).astype(int)
    last = np.minimum(source, np.floor(centres + support + 0.5)).astype(int)
    pixels = np.arange(source)
    weights = kernel((pixels[None, :] - centres[:, None] + 0.5) / stretch)
    inside = (pixels[None, :] >= first[:, None]) & (pixels[None, :] < last[:, None])
    weights = np.where(inside, weights, 0.0)
    fixed = weights / weights.sum(axis=1, keepdims=True) * 2.0**22
    rounded: NDArray[np.float64] = np.trunc(fixed + np.copysign(0.5, fixed)) / 2.0**22
    return rounded
