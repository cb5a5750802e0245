"""The resizing of `image_fit` as two matrix products on a GPU.

In float32: sums of 22-bit weights and 8-bit levels are then rounded, so that a level may differ by
one from Pillow's where it lies half between two.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vljepa_ros.models.image_fit import filter_matrix


def resize_on(
    device: str, image: NDArray[np.uint8], height: int, width: int, interpolation: str
) -> NDArray[np.uint8]:
    """[H, W, 3] uint8 to [height, width, 3] on `device`; see `image_fit.resize_antialiased`.

    :raises ModelError: unknown interpolation.
    """
    place = torch.device(device)
    levels = torch.from_numpy(np.ascontiguousarray(image)).to(place).permute(2, 0, 1).float()
    if levels.shape[2] != width:
        across = _weights(levels.shape[2], width, interpolation, place)
        levels = _whole(levels @ across.T)
    if levels.shape[1] != height:
        down = _weights(levels.shape[1], height, interpolation, place)
        levels = _whole(down @ levels)
    result: NDArray[np.uint8] = levels.permute(1, 2, 0).to(torch.uint8).cpu().numpy()
    return np.ascontiguousarray(result)


def _whole(values: Tensor) -> Tensor:
    return (values + 0.5).floor_().clamp_(0.0, 255.0)


@lru_cache(maxsize=32)
def _weights(source: int, target: int, interpolation: str, place: torch.device) -> Tensor:
    matrix = filter_matrix(source, target, interpolation)
    return torch.from_numpy(matrix.astype(np.float32)).to(place)
