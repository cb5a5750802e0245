"""Images to a model's input: resize with antialiasing, crop, normalise."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.files import JsonMapping
from vljepa_ros.models.config import ModelError
from vljepa_ros.models.resize import resize_antialiased, resize_area_fast


def preprocess(image: NDArray[np.uint8], preprocessing: JsonMapping) -> NDArray[np.uint8]:
    """Resize and crop one image to the model's input.

    Args:
        image: [H, W, 3] uint8 RGB.
        preprocessing: `resize` (`shortest_edge`, `exact` or `none`), `size` (pixels to resize to),
            `crop` (pixels of the centre crop, 0: none), `interpolation` (`bilinear`, `bicubic`,
            `lanczos`; `area`: OpenCV's averaging, on every device), `device` (where torch does it,
            for example `cuda:0`; missing: here, by numpy).

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
    interpolation = str(preprocessing.get("interpolation", "bicubic"))
    resize: Callable[[NDArray[np.uint8], int, int], NDArray[np.uint8]]
    resize = partial(resize_antialiased, interpolation=interpolation)
    if interpolation == "area":
        resize = resize_area_fast
    elif preprocessing.get("device"):
        from vljepa_ros.models.torch_preprocessing import resize_torch

        resize = partial(resize_torch, str(preprocessing["device"]), interpolation=interpolation)
    size, crop = int(preprocessing["size"]), int(preprocessing.get("crop", 0))
    height, width = image.shape[:2]
    if how == "shortest_edge" and crop:  # of a long thin image only the middle is ever seen
        most = 3 * min(height, width)
        image = image[max(0, height - most) // 2 :, max(0, width - most) // 2 :][:most, :most]
        height, width = image.shape[:2]
    if how == "exact":
        image = resize(image, size, size)
    elif how == "shortest_edge":
        # Pillow users round the long edge down; the hub's processors do the same.
        short, long = min(height, width), max(height, width)
        scaled = int(size * long / short)
        target = (size, scaled) if height <= width else (scaled, size)
        image = resize(image, *target)
    elif how != "none":
        raise ModelError(f"resize is {how!r}, allowed: shortest_edge, exact, none")
    if not crop:
        return image
    height, width = image.shape[:2]
    if height < crop or width < crop:
        raise ModelError(f"a crop of {crop} pixels does not fit into an image of {width}x{height}")
    top, left = (height - crop) // 2, (width - crop) // 2
    return np.ascontiguousarray(image[top : top + crop, left : left + crop])


def normalise_frames(frames: NDArray[np.uint8], preprocessing: JsonMapping) -> NDArray[np.float32]:
    """[T, H, W, 3] uint8 to [T, 3, H, W] float32: (x * scale - mean) / std per channel."""
    mean = np.asarray(preprocessing.get("mean", (0.0, 0.0, 0.0)), np.float32)
    std = np.asarray(preprocessing.get("std", (1.0, 1.0, 1.0)), np.float32)
    factor = np.float32(preprocessing.get("scale", 1.0 / 255.0)) / std
    values = frames.astype(np.float32) * factor - mean / std
    return np.ascontiguousarray(values.transpose(0, 3, 1, 2))
