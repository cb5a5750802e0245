"""Things that training rooms do not have, painted on the background: ovals and rectangles of any
colour.

A model that has only seen a few kinds of furniture takes the first plant for a person. Nothing that
the simulator's truth speaks of is covered.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from vljepa_lab.world.state import State

_TRIES = 12
_MOST = 3
_GRAIN = np.random.default_rng(0).normal(1, 0.08, (256, 256)).astype(np.float32)


def _kept_clear(states: Sequence[State], size: int) -> list[tuple[float, float, float, float]]:
    """Boxes (left, top, right, bottom) in pixels of everything that is asked about."""
    boxes = []
    for state in states:
        half = size / 2

        def box(uv: tuple[float, float], width: float, height: float, half: float = half) -> None:
            x, y = (uv[0] + 1) * half, (uv[1] + 1) * half
            boxes.append((x - width * half, y - height * half, x + width * half, y + height * half))

        for item in state.objects:
            box(item.uv, item.size_uv[0] * 0.6 + 0.03, item.size_uv[1] * 0.6 + 0.03)
        box(state.gripper_uv, 0.2, 0.3)
        box(state.door_uv, 0.24, 0.6)
        if state.person_visible > 0:
            box(state.person_uv, 0.22, 0.75)
    return boxes


def distract(
    frames: NDArray[np.uint8], states: Sequence[State], rng: random.Random
) -> NDArray[np.uint8]:
    """frames [T, H, W, 3] of one clip with their states -> a copy with up to three things added."""
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
