"""Where a body is in the image and how much of it can be seen."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from vljepa_lab.world.renderer import Array, Renderer

Pair = tuple[float, float]


def pair(v: Array) -> Pair:
    """Two rounded numbers."""
    return round(float(v[0]), 3), round(float(v[1]), 3)


def seen(renderer: Renderer, bodies: npt.NDArray[np.int32], body: str) -> tuple[Pair, Pair, float]:
    """Centre and size of a body's box in the image, and the share of it that can be seen.

    The share compares the box of the pixels that show the body, cut to the centre square, with
    the box of its projection. bodies: as `Renderer.bodies` gives them.
    """
    corners = renderer.project(renderer.outline(body))
    low, high = corners.min(0), corners.max(0)
    size = high - low
    height, width = bodies.shape
    mask = bodies == renderer.body_number(body)
    columns, rows = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
    share = 0.0
    if len(columns) and size[0] > 0:
        scale = 2 / height
        u0, u1 = (columns[0] - width / 2) * scale, (columns[-1] + 1 - width / 2) * scale
        v0, v1 = rows[0] * scale - 1, (rows[-1] + 1) * scale - 1
        inside = max(0.0, min(u1, 1.0) - max(u0, -1.0)) * max(0.0, v1 - v0)
        share = min(1.0, inside / float(size[0] * size[1]))
    return pair((low + high) / 2), pair(size), round(float(share), 2)
