"""The first step of every image tower, on the device that runs it: levels to normalised pixels.

A frame goes to the device as 8-bit levels, a quarter of the bytes of its float32 pixels, and every
engine (torch, an ONNX graph, a TensorRT engine) normalises it there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn


class PixelInput(nn.Module):
    """[..., S, S, 3] uint8 RGB to what a tower takes, then the tower.

    The arithmetic is that of `image_fit.normalise_frames`, in float32 whatever the tower's dtype.
    """

    def __init__(
        self, tower: nn.Module, preprocessing: Mapping[str, Any], name: str, patch: int = 0
    ) -> None:
        """Put the step before `tower`.

        :param preprocessing: `scale`, `mean`, `std` (three numbers each), as a model's config has
            them.
        :param name: the tower's argument; it gets [..., 3, S, S] in its own dtype.
        :param patch: not 0: the tower gets [B, (S/patch)^2, patch * patch * 3] instead.
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
