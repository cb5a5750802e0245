"""Preprocessing that needs torch: resizing on a GPU, and the first step of every image tower.

A frame goes to the device as 8-bit levels, a quarter of the bytes of its float32 pixels, and every
engine (torch, an ONNX graph, a TensorRT engine) normalises it there.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vljepa_ros.files import JsonMapping
from vljepa_ros.models.resize import filter_matrix


def resize_torch(
    device: str, image: NDArray[np.uint8], height: int, width: int, interpolation: str
) -> NDArray[np.uint8]:
    """[H, W, 3] uint8 to [height, width, 3] on `device`; see `resize.resize_antialiased`.

    Raises:
        ModelError: Unknown interpolation.
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


class PixelInput(nn.Module):
    """[..., S, S, 3] uint8 RGB to what a tower takes, then the tower.

    The arithmetic is that of `normalise_frames`, in float32 for every dtype of the tower.
    """

    def __init__(
        self, tower: nn.Module, preprocessing: JsonMapping, name: str, patch: int = 0
    ) -> None:
        """Put the step before `tower`.

        Args:
            tower: What takes the pixels.
            preprocessing: `scale`, `mean`, `std` (three numbers each), as a model's config has
                them.
            name: The tower's argument; it gets [..., 3, S, S] in its own dtype.
            patch: Not 0: the tower gets [B, (S/patch)^2, patch * patch * 3] instead.
        """
        super().__init__()
        self.tower = tower
        scale = float(preprocessing.get("scale", 1.0 / 255.0))
        mean = preprocessing.get("mean", (0.0, 0.0, 0.0))
        std = preprocessing.get("std", (1.0, 1.0, 1.0))
        # Plain numbers: a buffer would follow the module into half precision.
        self._channels = [(scale / s, m / s) for m, s in zip(mean, std, strict=True)]
        self._name, self._patch = name, patch

    def forward(self, frames: Tensor) -> Tensor:
        """Normalise and run."""
        levels = frames.to(torch.float32)
        pixels = torch.stack(
            [levels[..., i] * factor - shift for i, (factor, shift) in enumerate(self._channels)],
            dim=-3,
        )
        if self._patch:
            n = frames.shape[-2] // self._patch
            cut = pixels.reshape(-1, 3, n, self._patch, n, self._patch)
            pixels = cut.permute(0, 2, 4, 3, 5, 1).reshape(-1, n * n, self._patch**2 * 3)
        dtype = next(self.tower.parameters()).dtype
        result: Tensor = self.tower(**{self._name: pixels.to(dtype)})
        return result
