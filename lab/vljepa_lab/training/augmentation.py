"""Augmentation of training clips: what cameras differ in, and distractors on the background.

Cameras: exposure, colour, noise, small shifts, blur, on uint8 batches, in float. Distractors: ovals
and rectangles of any colour, which training rooms do not have: a model that has only seen a few
kinds of furniture takes the first plant for a person. Nothing that the simulator's truth speaks of
is covered.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from vljepa_lab.world.records import State

_ODD = 0.25  # share of the clips in which one frame is off


def augment(clips: Tensor, generator: torch.Generator, shift: int = 4) -> Tensor:
    """Clips [B, T, H, W, 3] uint8 -> float32 of the range 0..255.

    One choice for all frames of a clip, but for one frame of a quarter of the clips, which is a
    pixel off and flickers: a camera that trembles shows no event.
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
            x[index, which[index]] = frame.roll(steps[index], (0, 1)) * flicker[index]
    x += torch.randn(x.shape, generator=generator) * 4
    return x.clamp_(0, 255)


_TRIES = 12
_MOST = 3
_GRAIN = np.random.default_rng(0).normal(1, 0.08, (256, 256)).astype(np.float32)


def _kept_clear(states: Sequence[State], size: int) -> list[tuple[float, float, float, float]]:
    """Boxes (left, top, right, bottom) in pixels of everything that is asked about."""
    boxes = []
    half = size / 2
    for state in states:
        areas = [
            (o.uv, o.size_uv[0] * 0.6 + 0.03, o.size_uv[1] * 0.6 + 0.03) for o in state.objects
        ]
        areas += [(state.gripper_uv, 0.2, 0.3), (state.door_uv, 0.24, 0.6)]
        if state.person_visible > 0:
            areas.append((state.person_uv, 0.22, 0.75))
        for (u, v), width, height in areas:
            x, y = (u + 1) * half, (v + 1) * half
            boxes.append((x - width * half, y - height * half, x + width * half, y + height * half))
    return boxes


def distract(
    frames: NDArray[np.uint8], states: Sequence[State], rng: random.Random
) -> NDArray[np.uint8]:
    """Frames [T, H, W, 3] of one clip with their states -> a copy with up to three things added."""
    out = frames.copy()
    size = frames.shape[1]
    boxes = _kept_clear(states, size)
    added = 0
    for _ in range(_TRIES):
        if added >= rng.choice((0, 1, 2, _MOST)):
            break
        width, height = rng.uniform(0.05, 0.13) * size, rng.uniform(0.07, 0.2) * size
        x, y = rng.uniform(0, size), rng.uniform(0.05, 0.62) * size
        area = (x - width, y - height, x + width, y + height)
        if any(
            area[0] < b[2] and area[2] > b[0] and area[1] < b[3] and area[3] > b[1] for b in boxes
        ):
            continue
        added += 1
        _paint(out, (round(x), round(y)), (round(width), round(height)), rng)
    return out


def _paint(
    frames: NDArray[np.uint8], middle: tuple[int, int], half: tuple[int, int], rng: random.Random
) -> None:
    """An oval (now and then on a foot) or a rectangle, as bright as the room is in each frame."""
    oval = rng.random() < 0.65
    foot = oval and rng.random() < 0.6
    tint = np.array([rng.random(), rng.random(), rng.random()])
    if rng.random() < 0.3:  # much of what stands in rooms is grey or white
        tint = np.full(3, tint.mean()) * 0.5 + 0.5
    grain = np.roll(_GRAIN, rng.randrange(_GRAIN.size))[: frames.shape[1], : frames.shape[2]]
    mask = np.zeros(frames.shape[1:3], np.uint8)
    below = np.zeros_like(mask)
    if oval:
        cv2.ellipse(mask, middle, half, 0, 0, 360, 1, -1)
    else:
        corner = (middle[0] - half[0], middle[1] - half[1])
        cv2.rectangle(mask, corner, (middle[0] + half[0], middle[1] + half[1]), 1, -1)
    if foot:
        top = (middle[0] - half[0] // 3, middle[1] + half[1] - 1)
        bottom = (middle[0] + half[0] // 3, middle[1] + half[1] + half[1] // 2)
        cv2.rectangle(below, top, bottom, 1, -1)
    inside, foot_inside = mask.astype(bool), below.astype(bool)
    for frame in frames:
        light = float(frame[::4, ::4].mean()) * 1.7
        frame[inside] = (tint * light * grain[inside][:, None]).clip(0, 255).astype(np.uint8)
        if foot:
            frame[foot_inside] = (tint[::-1] * light * 0.6).clip(0, 255).astype(np.uint8)
