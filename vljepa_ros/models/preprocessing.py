"""Images to a model's input: resize with antialiasing as Pillow does it, crop, normalise.

OpenCV's cubic and linear filters do not widen when they shrink an image, Pillow's do, and the
models of the hub were trained on Pillow's pixels: the difference reaches a third of the range at an
edge. So the filter is written out here as two matrix products, with Pillow's rounding to 8 bits
between them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.models.config import ModelError


def preprocess(image: NDArray[np.uint8], preprocessing: Mapping[str, Any]) -> NDArray[np.uint8]:
    """Resize and crop one image to the model's input.

    Args:
        image: [H, W, 3] uint8 RGB.
        preprocessing: `resize` (`shortest_edge`, `exact` or `none`), `size` (pixels to resize to),
            `crop` (pixels of the centre crop, 0: none), `interpolation` (`bilinear`, `bicubic`,
            `lanczos`), `device` (where torch does it, for example `cuda:0`; missing: here, by
            numpy).

    Returns:
        [S, S, 3] uint8 RGB (`exact` and cropped inputs are square).

    Raises:
        ModelError: Not an RGB image, or an unknown way to resize.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ModelError(
            f"an image must be [H, W, 3] uint8 RGB, this is {list(image.shape)} {image.dtype}"
        )
    how = preprocessing.get("resize", "exact")
    resize = resize_antialiased
    if preprocessing.get("device"):
        from vljepa_ros.models.torch_preprocessing import resize_torch

        resize = partial(resize_torch, str(preprocessing["device"]))
    height, width = image.shape[:2]
    size = int(preprocessing["size"])
    interpolation = str(preprocessing.get("interpolation", "bicubic"))
    if how == "exact":
        image = resize(image, size, size, interpolation)
    elif how == "shortest_edge":
        # Pillow users round the long edge down; the hub's processors do the same.
        short, long = min(height, width), max(height, width)
        scaled = int(size * long / short)
        target = (size, scaled) if height <= width else (scaled, size)
        image = resize(image, *target, interpolation)
    elif how != "none":
        raise ModelError(f"resize is {how!r}, allowed: shortest_edge, exact, none")
    crop = int(preprocessing.get("crop", 0))
    return _centre_crop(image, crop) if crop else image


def normalise_frames(
    frames: NDArray[np.uint8], preprocessing: Mapping[str, Any]
) -> NDArray[np.float32]:
    """[T, H, W, 3] uint8 to [T, 3, H, W] float32: (x * scale - mean) / std per channel."""
    mean = np.asarray(preprocessing.get("mean", (0.0, 0.0, 0.0)), np.float32)
    std = np.asarray(preprocessing.get("std", (1.0, 1.0, 1.0)), np.float32)
    factor = np.float32(preprocessing.get("scale", 1.0 / 255.0)) / std
    values = frames.astype(np.float32) * factor - mean / std
    return np.ascontiguousarray(values.transpose(0, 3, 1, 2))


def resize_antialiased(
    image: NDArray[np.uint8], height: int, width: int, interpolation: str
) -> NDArray[np.uint8]:
    """[H, W, 3] uint8 to [height, width, 3], each pass equal to Pillow's `Image.resize`: 22-bit
    weights, whole levels after it. Across first; Pillow 13 sometimes goes down first."""
    _kernel(interpolation)
    for axis in (1, 0):
        size = (height, width)[axis]
        if image.shape[axis] != size:
            weights = filter_matrix(image.shape[axis], size, interpolation)
            moved = np.moveaxis(image, axis, 0)
            flat = weights @ moved.reshape(len(moved), -1).astype(np.float64)
            image = np.moveaxis(_to_levels(flat.reshape(size, *moved.shape[1:])), 0, axis)
    return np.ascontiguousarray(image)


def _to_levels(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    return np.clip(np.floor(values + 0.5), 0, 255).astype(np.uint8)


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
    """[target, source] weights, rows sum to 1. Pillow's `precompute_coeffs`, rounded as it rounds:
    the sums are then exact in float64.

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


def _centre_crop(image: NDArray[np.uint8], crop: int) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    if height < crop or width < crop:
        raise ModelError(f"a crop of {crop} pixels does not fit into an image of {width}x{height}")
    top, left = (height - crop) // 2, (width - crop) // 2
    return np.ascontiguousarray(image[top : top + crop, left : left + crop])
