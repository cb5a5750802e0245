"""Puts furniture from pools of geoms into one room, where it hides nothing that counts.

The door stays free, and everything stands behind where the person walks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from vljepa_lab.world.layout import Room
from vljepa_lab.world.model_xml import DECOR
from vljepa_lab.world.renderer import Array, Renderer

DOOR_HALF = 0.5  # metres of wall to either side of the door's middle that stay clear
_WALL_HALF = 1.55  # metres of the back wall that the camera sees to either side
_BEHIND_PERSON = 1.4
_CAMERA_Y = -0.93


@dataclass
class Decorator:
    """Takes geoms from the pools and puts them into one room."""

    renderer: Renderer
    room: Room
    rng: np.random.Generator

    def __post_init__(self) -> None:
        self._free: dict[str, Iterator[int]] = {kind: iter(range(n)) for kind, n in DECOR.items()}
        self.face = self.room.wall_y - 0.05

    def put(
        self, kind: str, position: tuple[float, ...], size: tuple[float, ...], rgb: Array
    ) -> str:
        """Show the next free geom of a kind; "" where none is left."""
        number = next(self._free[kind], None)
        if number is None:
            return ""
        name = f"decor_{kind}_{number}"
        self.renderer.place(name, position, size)
        self.renderer.paint(name, rgb.clip(0, 1))
        self.renderer.show_geom(name, True)
        return name

    def tint(self, low: float = 0.1, high: float = 1.0) -> Array:
        """A colour: any, or near grey, or green as leaves."""
        rng = self.rng
        kind = rng.random()
        if kind < 0.35:
            return rng.uniform(low, high) * rng.uniform(0.85, 1.1, 3)
        if kind < 0.5:
            return rng.uniform(0.5, 1.2) * np.array([0.25, 0.55, 0.2]) + rng.normal(0, 0.06, 3)
        return rng.uniform(low, high, 3)

    def place_on_wall(self, half: float, tries: int = 12) -> float | None:
        """x of something `half` wide on the back wall that leaves the door free, or None."""
        for _ in range(tries):
            x = float(self.rng.uniform(-_WALL_HALF, _WALL_HALF))
            if abs(x - self.room.door_x) > DOOR_HALF + half:
                return x
        return None

    def place_on_floor(self, half: float, tries: int = 12) -> tuple[float, float] | None:
        """x and y behind where the person walks, seen beside the door, or None."""
        for _ in range(tries):
            y = float(self.rng.uniform(_BEHIND_PERSON + half, self.face - half))
            x = self.place_on_wall(half, 1)
            if x is not None and y < self.face:
                return x * (y - _CAMERA_Y) / (self.room.wall_y - _CAMERA_Y), y
        return None
