"""Clips that a description of the simulated world's domain is fitted on.

Of the domain: clips of the world, through any camera that may look at it (`disturbed`). Out of it:
pictures that are no rooms (`strange`), made of what photographs consist of: noise with the spectrum
of natural pictures, surfaces parted by edges, things that hide each other, of sizes after a power
law ("dead leaves"); and the world shown as no camera shows it (`rearranged`). No photograph is
among them. All clips are [T, S, S, 3] uint8 RGB.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Clip = NDArray[np.uint8]
Picture = NDArray[np.floating[Any]]
Rng = np.random.Generator

FRAMES, SIZE = 4, 128
_MOST_DISTURBANCES = 3
_GREY = np.array([0.299, 0.587, 0.114], np.float32)
_ROWS, _COLUMNS = np.mgrid[0:SIZE, 0:SIZE]


def disturbed(clip: Clip, rng: Rng) -> Clip:
    """A clip [T, S, S, 3] as a camera of another kind shows it, up to three things different."""
    x: Picture = clip.astype(np.float32)
    many = rng.integers(0, _MOST_DISTURBANCES + 1)
    for name in rng.choice(list(_DISTURBANCES), many, replace=False):
        x = _DISTURBANCES[name](x, rng)
    return _as_clip(x)


def _blurred(x: Picture, rng: Rng) -> Picture:
    width = rng.uniform(0.5, 2.5)
    return np.stack([cv2.GaussianBlur(frame, (0, 0), width) for frame in x])


def _compressed(x: Picture, rng: Rng) -> Picture:
    options = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(10, 90))]
    codes = [cv2.imencode(".jpg", frame, options)[1] for frame in _as_clip(x)]
    decoded: list[Any] = [cv2.imdecode(code, cv2.IMREAD_COLOR) for code in codes]
    return np.stack(decoded).astype(np.float32)


def _turned(x: Picture, rng: Rng) -> Picture:
    middle = (SIZE / 2, SIZE / 2)
    matrix: Any = cv2.getRotationMatrix2D(middle, rng.uniform(-10, 10), rng.uniform(0.9, 1.15))
    matrix[:, 2] += rng.uniform(-8, 8, 2)
    return np.stack([_warped(frame, matrix, cv2.BORDER_REPLICATE) for frame in x])


def _coarse(x: Picture, rng: Rng) -> Picture:
    few = (int(rng.integers(32, 100)),) * 2
    small = [cv2.resize(frame, few, interpolation=cv2.INTER_AREA) for frame in x]
    return np.stack([cv2.resize(frame, (SIZE, SIZE)) for frame in small])


def _warped(frame: Any, matrix: Any, border: int) -> Any:
    return cv2.warpAffine(frame, matrix, (SIZE, SIZE), borderMode=border)


_DISTURBANCES: dict[str, Callable[[Picture, Rng], Any]] = {
    "exposure": lambda x, rng: x * 2 ** rng.uniform(-4, 1.3),
    "infrared": lambda x, rng: np.repeat((x @ _GREY)[..., None], 3, -1),
    "blur": _blurred,
    "compression": _compressed,
    "noise": lambda x, rng: x + rng.normal(0, rng.uniform(2, 20), x.shape),
    "rotation": _turned,
    "resolution": _coarse,
    "tint": lambda x, rng: x * rng.uniform(0.75, 1.3, 3),
    "gamma": lambda x, rng: 255 * (x.clip(0, 255) / 255) ** rng.uniform(0.5, 2),
}


def strange(rng: Rng) -> Clip:
    """A clip [T, S, S, 3] of a picture that is no room of the world.

    It stands still, is panned or zoomed, or has one thing that moves.
    """
    picture = _picture(rng)
    pans = rng.random() < 0.4
    step = rng.normal(0, 3, 2) * pans
    zoom = 1 + rng.normal(0, 0.02) * pans
    moves = rng.random() < 0.5
    if moves:
        place, way, size = rng.uniform(0, SIZE, 2), rng.normal(0, 8, 2), rng.uniform(4, 30)
        colour, shape = _colour(rng), rng.integers(1 << 30)
    grain = rng.uniform(0, 3)
    frames = []
    for time in range(FRAMES):
        frame = picture.copy()
        if pans:
            scale = zoom**time
            right, down = SIZE / 2 * (1 - scale) + step * time
            matrix = np.array([[scale, 0, right], [0, scale, down]], np.float32)
            frame = _warped(picture, matrix, cv2.BORDER_REFLECT_101)
        if moves:
            frame[_mask(np.random.default_rng(shape), place + way * time, size)] = colour
        frames.append(frame + rng.normal(0, grain, frame.shape))
    return _as_clip(np.stack(frames))


def rearranged(rng: Rng, clips: Sequence[Clip]) -> Clip:
    """A clip [T, S, S, 3] of the world that no camera would show.

    Turned by 90 degrees or more, upside down, its parts exchanged, of a small part of it, four at
    once, or with its edges in the middle.
    """
    clip, other = (clips[index] for index in rng.integers(0, len(clips), 2))
    kind = rng.integers(0, 6)
    if kind == 0:
        return np.rot90(clip, int(rng.integers(1, 4)), (1, 2)).copy()
    if kind == 1:
        return clip[:, ::-1].copy()
    if kind == 2:
        many = int(rng.choice([2, 4]))
        order = rng.permutation(many * many)
        return _tiled([_tile(clip, int(place), many) for place in order], many)
    if kind == 3:
        side = int(rng.integers(24, 56))
        top, left = int(rng.integers(0, SIZE - side)), int(rng.integers(0, SIZE - side))
        part = clip[:, top : top + side, left : left + side]
        return np.stack([cv2.resize(frame, (SIZE, SIZE)) for frame in part]).astype(np.uint8)
    if kind == 4:
        four = [clip if rng.random() < 0.5 else other for _ in range(4)]
        half, area = (SIZE // 2, SIZE // 2), cv2.INTER_AREA
        small = [np.stack([cv2.resize(f, half, interpolation=area) for f in one]) for one in four]
        return _tiled(small, 2).astype(np.uint8)
    right = int(rng.integers(1, SIZE))
    return np.roll(clip, (int(rng.integers(32, 96)), right), (1, 2))


def _tile(clip: Clip, place: int, many: int) -> Clip:
    side = SIZE // many
    top, left = place // many * side, place % many * side
    return clip[:, top : top + side, left : left + side]


def _tiled(tiles: Sequence[Any], many: int) -> Any:
    rows = [np.concatenate(tiles[i : i + many], 2) for i in range(0, len(tiles), many)]
    return np.concatenate(rows, 1)


def _picture(rng: Rng) -> Picture:
    kind = rng.random()
    if kind < 0.12:
        picture = _colour(rng) + _natural(rng, 0.6, 0.6) * rng.uniform(15, 70)
    elif kind < 0.2:
        picture = _surfaces(rng)
    elif kind < 0.55:
        picture = _covered(rng, _surfaces(rng), int(rng.integers(3, 25)), (5, 60), 1.5)
    elif kind < 0.85:
        picture = _covered(rng, _surfaces(rng), int(rng.integers(30, 160)), (2, 70), 2.2)
    else:
        picture = _surfaces(rng) + _texture(rng)
        picture = _covered(rng, picture, int(rng.integers(1, 8)), (10, 70), 1.2)
    if rng.random() < 0.3:
        picture = picture + _texture(rng)
    if rng.random() < 0.5:
        picture = cv2.GaussianBlur(picture.astype(np.float32), (0, 0), rng.uniform(0.3, 1.2))
    light = np.exp(_slope(rng, rng.uniform(0, 1.2)))[..., None]
    return np.clip(picture * light, 0, 255).astype(np.float32)


def _natural(rng: Rng, least_fall: float, most_colour: float) -> Picture:
    """Noise of deviation 1 whose spectrum falls with a power, [S, S, 3]."""
    fall, coloured = rng.uniform(least_fall, 1.6), rng.uniform(0, most_colour)
    f = np.fft.fftfreq(SIZE)
    radius = np.sqrt(f[:, None] ** 2 + f[None] ** 2)
    radius[0, 0] = 1
    channels = []
    for _ in range(3):
        z = np.fft.ifft2(np.fft.fft2(rng.normal(size=(SIZE, SIZE))) / radius**fall).real
        channels.append((z - z.mean()) / z.std())
    noise = np.stack(channels, -1)
    grey = noise.mean(-1, keepdims=True) * 1.6
    return grey + (noise - grey) * coloured


def _colour(rng: Rng) -> Picture:
    """Of a surface: mostly greyish, of any brightness."""
    brightness, saturation = rng.uniform(10, 245), rng.beta(1, 4)
    if rng.random() < 0.15:
        saturation = rng.uniform(0.4, 1)
    hsv = np.array([[[rng.uniform(0, 1) * 360, saturation, brightness / 255]]], np.float32)
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0] * 255)


def _slope(rng: Rng, height: float) -> Picture:
    """Rises by `height` across the picture, [S, S]."""
    angle = rng.uniform(0, 2 * np.pi)
    x, y = _COLUMNS / SIZE - 0.5, _ROWS / SIZE - 0.5
    return np.asarray((x * np.cos(angle) + y * np.sin(angle)) * height)


def _surfaces(rng: Rng) -> Picture:
    """Walls, floors, skies: regions parted by straight edges, shaded."""
    picture: Picture = np.ones((SIZE, SIZE, 3), np.float32) * _colour(rng)
    x, y = _COLUMNS / SIZE, _ROWS / SIZE
    for _ in range(rng.integers(0, 5)):
        if rng.random() < 0.6:
            angle = rng.choice([0, np.pi / 2]) + rng.normal(0, 0.12)
        else:
            angle = rng.uniform(0, np.pi)
        side = (x - rng.uniform(0, 1)) * np.cos(angle) + (y - rng.uniform(0, 1)) * np.sin(angle) > 0
        if rng.random() < 0.5:
            picture[side] = _colour(rng) * rng.uniform(0.6, 1)
        else:
            picture[side] = picture[side] * rng.uniform(0.5, 1.3)
    picture += _slope(rng, rng.uniform(0, 120))[..., None]
    return picture


def _texture(rng: Rng) -> Picture:
    """Noise, stripes or nothing, [S, S, 3 or 1]."""
    kind = rng.random()
    if kind < 0.5:
        return np.asarray(_natural(rng, 0.5, 0.5) * rng.uniform(0, 30))
    if kind < 0.75:
        period, angle = rng.uniform(3, 24), rng.uniform(0, np.pi)
        across = _COLUMNS * np.cos(angle) + _ROWS * np.sin(angle)
        return (np.sign(np.sin(across * 2 * np.pi / period)) * rng.uniform(0, 30))[..., None]
    return np.zeros((SIZE, SIZE, 1))


def _covered(
    rng: Rng, picture: Picture, many: int, sizes: tuple[float, float], power: float
) -> Picture:
    """With things on it that hide each other."""
    low, high = (size ** (1 - power) for size in sizes)
    for size in (low + rng.random(many) * (high - low)) ** (1 / (1 - power)):
        mask = _mask(rng, rng.uniform(-8, SIZE + 8, 2), size)
        if not mask.any():
            continue
        surface = _colour(rng) + _slope(rng, rng.uniform(0, 90))[..., None]
        if rng.random() < 0.4:
            surface = surface + _texture(rng)
        picture[mask] = surface[mask]
    return picture


def _mask(rng: Rng, place: NDArray[np.float64], size: float) -> NDArray[np.bool_]:
    """An ellipse, a rectangle or a polygon at a place in pixels, [S, S]."""
    mask = np.zeros((SIZE, SIZE), np.uint8)
    kind, stretch = rng.random(), np.exp(rng.uniform(-1, 1)) ** 0.5
    straight = rng.random() < 0.5
    angle = rng.choice([0, 90]) + rng.normal(0, 8) if straight else rng.uniform(0, 180)
    wide, high, middle = size * stretch, size / stretch, place.tolist()
    if kind < 0.35:
        axes = max(1, int(wide)), max(1, int(high))
        cv2.ellipse(mask, [int(value) for value in middle], axes, angle, 0, 360, 1, -1)
    elif kind < 0.75:
        corners = cv2.boxPoints((middle, (2 * wide, 2 * high), float(angle)))
        cv2.fillPoly(mask, [corners.astype(np.int32)], 1)
    else:
        many = rng.integers(3, 9)
        turns, far = np.sort(rng.uniform(0, 2 * np.pi, many)), size * rng.uniform(0.4, 1.4, many)
        corners = np.stack([np.cos(turns), np.sin(turns)], 1) * far[:, None] + place
        cv2.fillPoly(mask, [corners.astype(np.int32)], 1)
    return mask.astype(bool)


def _as_clip(x: Picture) -> Clip:
    return x.clip(0, 255).astype(np.uint8)
