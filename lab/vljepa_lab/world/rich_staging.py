"""From the cast of a rich scene to the model: drawer, obstacle, and the person's reaching arm."""

from __future__ import annotations

import math

import numpy as np

from vljepa_lab.world.cast import Cast
from vljepa_lab.world.layout import Room
from vljepa_lab.world.renderer import Array, Renderer, quat_z
from vljepa_lab.world.rich_cast import ARM, RichCast
from vljepa_lab.world.rich_room import RichRoom
from vljepa_lab.world.staging import PERSON_Y, Stage

DRAWER_WAY = 0.50  # metres that the open drawer stands out


class RichStage(Stage):
    """Writes a RichCast into a rich renderer."""

    def __init__(
        self,
        renderer: Renderer,
        room: Room,
        cast: Cast,
        seed: int,
        hinge_left: bool,
        rich: RichRoom,
    ) -> None:
        super().__init__(renderer, room, cast, seed, hinge_left)
        self._rich = rich
        for name in ("cabinet", "drawer", "drawer_front", f"obstacle_{rich.obstacle}"):
            renderer.show(name, True)

    def _set_more(self) -> None:
        r, cast, rich = self.renderer, self.cast, self._rich
        assert isinstance(cast, RichCast)
        yaw, way = rich.cabinet_yaw, DRAWER_WAY * cast.drawer
        r.pose("cabinet", rich.cabinet, quat_z(yaw))
        out = np.array([way * math.sin(yaw), -way * math.cos(yaw), 0.0])
        for name in ("drawer", "drawer_front"):
            r.pose(name, rich.cabinet + out, quat_z(yaw))
        obstacle = f"obstacle_{rich.obstacle}"
        r.show(obstacle, cast.obstacle > 0.001)
        r.pose(obstacle, (cast.obstacle_x, *rich.obstacle_base))
        self._set_hands(cast)

    def _set_hands(self, cast: RichCast) -> None:
        """Both hands at the ends of the arms; the inner arm points where it reaches."""
        r = self.renderer
        on = cast.person > 0.001
        swing = 0.5 * math.sin(math.pi * cast.walked) * (0.02 < cast.person < 0.98)
        for side, sign in (("left", -1), ("right", 1)):
            r.show(f"hand_{side}", on)
            shoulder = np.array([cast.person_x + 0.22 * sign, PERSON_Y, 1.36])
            down = np.array([math.sin(sign * swing), 0.0, -math.cos(sign * swing)])
            if sign == cast.inner and cast.reach > 0 and on:
                down = cast.arm_direction()
                r.pose(f"arm_{side}", shoulder, _quat_from_down(down))
            r.pose(f"hand_{side}", shoulder + ARM * down)


def _quat_from_down(v: Array) -> Array:
    """The shortest turn from (0, 0, -1) to the unit vector v, as (w, x, y, z)."""
    # cross((0, 0, -1), v) = (v[1], -v[0], 0); half-angle form of the shortest arc
    quat = np.array([1.0 - v[2], v[1], -v[0], 0.0])
    return quat / np.linalg.norm(quat)
