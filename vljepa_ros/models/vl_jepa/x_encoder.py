"""X-Encoder: frames to visual tokens, in two stages so that a stream costs one new frame at a time.

The paper's X-Encoder (V-JEPA 2) attends over space and time from the first layer, which cannot be
cached: each new frame would cost the whole clip. Here a per-frame stage does most of the work and
its result is kept, and a window stage merges the last frames (doc/model.md). Needs torch.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vljepa_ros.models.vl_jepa.architecture import FrameSizes, WindowSizes
from vljepa_ros.models.vl_jepa.blocks import Block, ResidualConv


class FrameStage(nn.Module):
    """One frame to grid*grid features."""

    def __init__(self, sizes: FrameSizes) -> None:
        super().__init__()
        first, second = sizes.widths
        self.stem = nn.Sequential(
            nn.Conv2d(3, first, 4, 4),
            *[ResidualConv(first) for _ in range(sizes.residual[0])],
            nn.BatchNorm2d(first),
            nn.ReLU(),
            nn.Conv2d(first, second, 3, 2, 1),
            *[ResidualConv(second) for _ in range(sizes.residual[1])],
            nn.BatchNorm2d(second),
            nn.ReLU(),
            nn.Conv2d(second, sizes.dim, 3, 2, 1),
        )
        self.position = nn.Parameter(torch.randn(1, sizes.grid**2, sizes.dim) * 0.02)
        self.blocks = nn.ModuleList([Block(sizes.dim, sizes.heads) for _ in range(sizes.depth)])
        self.norm = nn.LayerNorm(sizes.dim)

    def forward(self, frames: Tensor) -> Tensor:
        """[B, H, W, 3] uint8 RGB (or float of the same range) -> [B, grid*grid, dim] float32."""
        x = (frames.float() * (1 / 127.5) - 1.0).permute(0, 3, 1, 2)
        x = self.stem(x).flatten(2).transpose(1, 2) + self.position
        for block in self.blocks:
            x = block(x)
        out: Tensor = self.norm(x)
        return out


class WindowStage(nn.Module):
    """Features of T frames to the visual tokens of the clip."""

    def __init__(self, sizes: WindowSizes, frame_dim: int, cells: int) -> None:
        super().__init__()
        self.merge = nn.Linear(sizes.frames * frame_dim, sizes.dim)
        self.position = nn.Parameter(torch.randn(1, cells, sizes.dim) * 0.02)
        self.blocks = nn.ModuleList([Block(sizes.dim, sizes.heads) for _ in range(sizes.depth)])
        self.norm = nn.LayerNorm(sizes.dim)

    def forward(self, features: Tensor) -> Tensor:
        """[B, T, cells, frame_dim] -> visual tokens [B, cells, dim]."""
        x = self.merge(features.transpose(1, 2).flatten(2)) + self.position
        for block in self.blocks:
            x = block(x)
        out: Tensor = self.norm(x)
        return out
