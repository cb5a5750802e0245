"""What cameras differ in: exposure, colour, noise, small shifts, blur. On uint8 batches, in
float.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

_ODD = 0.25  # share of the clips in which one frame is off


def augment(clips: Tensor, generator: torch.Generator, shift: int = 4) -> Tensor:
    """clips [B, T, H, W, 3] uint8 -> float32 of the range 0..255; one choice for all frames of a
    clip, but for one frame of a quarter of the clips, which is a pixel off and flickers: a camera
    that trembles shows no event.
    """
    batch, frames, height, width, _ = clips.shape
    x = clips.float()

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator) * (high - low) + low

    gain = uniform(0.8, 1.25, batch, 1, 1, 1, 1) * uniform(0.94, 1.06, batch, 1, 1, 1, 3)
    x = x * gain + uniform(-6, 6, batch, 1, 1, 1, 1)
    offsets = torch.randint(-shift, shift + 1, (batch, 2), generator=generator).tolist()
    blurred = (torch.rand(batch, generator=generator) < 0.12).tolist()
    for index, (down, right) in enumerate(offsets):
        if down or right:
            rows = torch.arange(height).add(down).clamp(0, height - 1)
            columns = torch.arange(width).add(right).clamp(0, width - 1)
            x[index] = x[index][:, rows][:, :, columns]
        if blurred[index]:
            channels_first = x[index].permute(0, 3, 1, 2)
            smooth = functional.avg_pool2d(channels_first, 3, 1, 1, count_include_pad=False)
            x[index] = smooth.permute(0, 2, 3, 1)
    odd = (torch.rand(batch, generator=generator) < _ODD).tolist()
    which = torch.randint(frames, (batch,), generator=generator).tolist()
    steps = torch.randint(-1, 2, (batch, 2), generator=generator).tolist()
    flicker = uniform(0.93, 1.07, batch)
    for index in range(batch):
        if odd[index]:
            frame = x[index, which[index]]
            frame = frame.roll(steps[index], (0, 1)) * flicker[index]
            x[index, which[index]] = frame
    x += torch.randn(x.shape, generator=generator) * 4
    return x.clamp_(0, 255)
