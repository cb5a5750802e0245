"""Meshes of the objects and procedural textures of the room, deterministic from a seed."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

Mesh = tuple[list[tuple[float, float, float]], list[tuple[int, int, int]]]

OBJECT_SCALE = 2.5  # objects are toys blown up so that they span 20-35 pixels of a 128 pixel image
TEXTURE_SIZE = 128
_SIZES = {
    "box": (0.084, 0.043, 0.042),
    "ball": (0.088, 0.043, 0.044),
    "can": (0.11, 0.036, 0.036),
    "mug": (0.095, 0.042, 0.06),
    "bottle": (0.165, 0.018, 0.033),
    "bowl": (0.055, 0.058, 0.066),
    "cone": (0.125, 0.022, 0.055),
    "banana": (0.036, 0.022, 0.075),
    "book": (0.036, 0.05, 0.068),
    "toy car": (0.066, 0.038, 0.068),
}  # of a toy: height above the table, half the width that the fingers close on, half the length
HEIGHT, HALF_WIDTH, HALF_LENGTH = (
    {shape: size[i] * OBJECT_SCALE for shape, size in _SIZES.items()} for i in range(3)
)
"""Of each shape in metres; the length lies along its own x."""


def _lathe(profile: list[tuple[float, float]], n: int = 20) -> Mesh:
    """A surface of revolution about z from (radius, height) points."""
    vertices = [
        (r * math.cos(2 * math.pi * k / n), r * math.sin(2 * math.pi * k / n), z)
        for r, z in profile
        for k in range(n)
    ]
    faces = []
    for i in range(len(profile) - 1):
        for k in range(n):
            a, b = i * n + k, i * n + (k + 1) % n
            faces += [(a, b, b + n), (a, b + n, a + n)]
    return vertices, faces


def _tube(path: list[tuple[float, float, float]], radii: list[float], n: int = 9) -> Mesh:
    """A tube of varying radius along a path."""
    points = np.array(path)
    vertices: list[tuple[float, float, float]] = []
    faces = []
    for i, p in enumerate(points):
        t = points[min(i + 1, len(points) - 1)] - points[max(i - 1, 0)]
        t /= np.linalg.norm(t)
        u = np.cross(t, (0, 1, 0.01))
        u /= np.linalg.norm(u)
        v = np.cross(t, u)
        for k in range(n):
            a = 2 * math.pi * k / n
            q = p + radii[i] * (math.cos(a) * u + math.sin(a) * v)
            vertices.append((float(q[0]), float(q[1]), float(q[2])))
    for i in range(len(points) - 1):
        for k in range(n):
            a, b = i * n + k, i * n + (k + 1) % n
            faces += [(a, b + n, b), (a, a + n, b + n)]
    return vertices, faces


def _join(*parts: Mesh) -> Mesh:
    vertices: list[tuple[float, float, float]] = []
    faces: list[tuple[int, int, int]] = []
    for v, f in parts:
        o = len(vertices)
        vertices += v
        faces += [(a + o, b + o, c + o) for a, b, c in f]
    return vertices, faces


def meshes() -> dict[str, Mesh]:
    """Vertices (unscaled metres, base on z = 0) and triangles of shapes that are no primitive."""
    h, r = 0.095, 0.042
    handle = [
        (r - 0.004 + 0.034 * math.sin(a), 0.0, h * 0.5 - 0.03 * math.cos(a))
        for a in np.linspace(0, math.pi, 9)
    ]
    mug = _join(
        _lathe([(0, 0), (r, 0), (r, h), (r - 0.007, h), (r - 0.007, 0.012), (0, 0.012)]),
        _tube(handle, [0.009] * 9, 8),
    )
    bottle = _lathe(
        [
            *((0, 0), (0.031, 0), (0.033, 0.008), (0.033, 0.085), (0.027, 0.105), (0.013, 0.125)),
            *((0.012, 0.15), (0.016, 0.15), (0.016, 0.165), (0, 0.165)),
        ]
    )
    bowl = _lathe(
        [
            (0, 0),
            (0.03, 0),
            (0.05, 0.02),
            (0.066, 0.055),
            (0.061, 0.055),
            (0.045, 0.022),
            (0, 0.012),
        ],
        24,
    )
    cone = _lathe([(0, 0), (0.055, 0), (0.055, 0.01), (0.042, 0.014), (0.006, 0.122), (0, 0.125)])
    bend = [
        (0.075 * math.sin(a), 0.075 * (math.cos(a) - 0.75), 0.019)
        for a in np.linspace(-1.2, 1.2, 11)
    ]
    thickness = [0.006] + [0.012 + 0.009 * math.cos(x) for x in np.linspace(-1.1, 1.1, 9)] + [0.006]
    return {
        "mug": mug,
        "bottle": bottle,
        "bowl": bowl,
        "cone": cone,
        "banana": _tube(bend, thickness),
    }


def _fractal(
    rng: np.random.Generator, n: int, octaves: int = 5, sx: float = 1, base: int = 3
) -> npt.NDArray[np.float32]:
    """Fractal noise in 0..1, [n, n]."""
    out = np.zeros((n, n), np.float32)
    gain = 1.0
    for k in range(octaves):
        cells = rng.random((max(2, base) * 2**k, max(2, int(base * sx)) * 2**k)).astype(np.float32)
        out += gain * cv2.resize(cells, (n, n), interpolation=cv2.INTER_CUBIC)
        gain *= 0.55
    out -= out.min()
    return out / max(float(out.max()), 1e-6)


def make_texture(rng: np.random.Generator, n: int = TEXTURE_SIZE) -> npt.NDArray[np.uint8]:
    """RGB uint8 [n, n, 3]: wood, checker, tiles, plaster, carpet, bricks or stripes."""
    kind = int(rng.integers(0, 7))
    first = np.clip(rng.uniform(0.45, 0.95) + rng.normal(0, 0.08, 3), 0, 1)
    first = first * np.array([1, rng.uniform(0.85, 1.0), rng.uniform(0.65, 1.0)])
    second = np.clip(first * rng.uniform(0.6, 1.12) + rng.normal(0, 0.05, 3), 0, 1)
    y, x = (np.mgrid[0:n, 0:n] / n).astype(np.float32)
    noise = _fractal(rng, n)
    if kind == 0:
        grain = _fractal(rng, n, sx=8)
        mix = (np.sin((y * rng.integers(6, 20) + grain * 3) * 6.28) * 0.5 + 0.5) * 0.6 + grain * 0.4
    elif kind == 1:
        cells = np.floor(x * rng.integers(2, 6) * 2) + np.floor(y * rng.integers(2, 6) * 2)
        mix = (cells % 2) * 0.8 + 0.2 * noise
    elif kind == 2:
        t = int(rng.integers(2, 7))
        gap_x, gap_y = (np.minimum((v * t) % 1, 1 - (v * t) % 1) for v in (x, y))
        mix = (np.minimum(gap_x, gap_y) < 0.05) * 0.8 + 0.25 * noise
    elif kind == 3:
        mix = noise
    elif kind == 4:
        mix = rng.random((n, n)) * 0.6 + 0.4 * noise
    elif kind == 5:
        rows = int(rng.integers(4, 9))
        row = np.floor(y * rows)
        mix = ((((x * rows / 2 + 0.5 * (row % 2)) % 1) < 0.05) | (((y * rows) % 1) < 0.1)) * 0.9
        mix = mix + 0.3 * noise
    else:
        mix = (np.sin(x * 6.28 * rng.integers(2, 10)) * 0.5 + 0.5) * 0.5 + 0.2 * noise
    mix = np.clip(mix, 0, 1)[..., None]
    return (255 * np.clip(first * (1 - mix) + second * mix, 0, 1)).astype(np.uint8)
