"""Furnished training rooms: panes, plants, lamps and cabinets that plain rooms do not have.

A model that knows a few kinds of furniture takes the first plant or bright window for a person. The
things here are made of other parts than those of held-out rooms, so that these stay unknown:

| held-out rooms | here |
|---|---|
| one plain pane .70 x .60 m, pale blue, no frame | panes of all sizes with frame and bars |
| one upright green ellipsoid .84 m high on a textured box | clumps of small balls on a cylinder |

Nothing stands on the table, in front of the door or before the person, so the truth stays true.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vljepa_lab.world.decorator import DOOR_HALF, Decorator
from vljepa_lab.world.layout import Room
from vljepa_lab.world.lookalikes import add_lookalikes, hide_in_front_of_the_wall
from vljepa_lab.world.model_xml import DECOR
from vljepa_lab.world.renderer import Array, Renderer


class _Furniture(Decorator):
    """Panes, plants, lamps, cabinets and bins."""

    # ------------------------------------------------------------------ on the wall

    def pane(self) -> list[tuple[str, Array, Array]]:
        """A bright pane with a frame and bars: its glowing geoms with their light and dark tint."""
        rng = self.rng
        width, height = float(rng.uniform(0.12, 0.55)), float(rng.uniform(0.14, 0.5))
        x = self.place_on_wall(min(width, 0.4))
        if x is None:
            return []
        z = float(rng.uniform(0.75, 1.65))
        tint = rng.uniform(0.5, 1.0) * (1 - rng.uniform(0, 0.35, 3) * (rng.random() < 0.6))
        night = rng.uniform(0.12, 0.5)
        trim = self.tint(0.05, 0.95)
        edge = float(rng.uniform(0.025, 0.07))
        self.put("frame", (x, self.face, z), (width + edge, 0.012, height + edge), trim)
        glowing = [(self.put("pane", (x, self.face - 0.01, z), (width, 0.012, height), tint), tint)]
        if rng.random() < 0.4:  # the ground outside
            low = float(rng.uniform(0.2, 0.5)) * height
            ground = self.tint(0.2, 0.7)
            place = (x, self.face - 0.014, z - height + low)
            glowing.append((self.put("view", place, (width, 0.012, low), ground), ground))
        bar = float(rng.uniform(0.01, 0.028))
        upright = bool(rng.random() < 0.7)
        if upright:
            self.put("bar", (x, self.face - 0.02, z), (bar, 0.015, height), trim)
        if not upright or rng.random() < 0.5:
            self.put("bar", (x, self.face - 0.02, z), (width, 0.015, bar), trim)
        return [(name, lit, lit * night) for name, lit in glowing if name]

    # ------------------------------------------------------------------ on the floor

    def bush(self) -> None:
        """Small balls of leaves above a round pot."""
        rng = self.rng
        spot = self.place_on_floor(0.2)
        if spot is None:
            return
        radius, pot = float(rng.uniform(0.08, 0.16)), float(rng.uniform(0.08, 0.3))
        self.put("post", (*spot, pot), (radius, pot, 0), self.tint())
        leaves, top = self.tint(), 2 * pot + float(rng.uniform(0.2, 0.9))
        for _ in range(int(rng.integers(3, 6))):
            size = rng.uniform(0.06, 0.17, 3) * (1, 0.8, rng.uniform(0.8, 1.5))
            place = (
                spot[0] + float(rng.normal(0, 0.1)),
                spot[1] + float(rng.normal(0, 0.04)),
                float(rng.uniform(2 * pot, top)),
            )
            self.put("round", place, tuple(size), leaves * rng.uniform(0.75, 1.2))

    def stand(self) -> None:
        """A pole with a round or boxy top: a floor lamp, a coat rack, a sign."""
        rng = self.rng
        spot = self.place_on_floor(0.15)
        if spot is None:
            return
        height = float(rng.uniform(0.35, 0.85))
        self.put("post", (*spot, height), (float(rng.uniform(0.012, 0.05)), height, 0), self.tint())
        size = tuple(float(v) for v in rng.uniform((0.07, 0.05, 0.06), (0.2, 0.12, 0.28)))
        place = (*spot, 2 * height - float(rng.uniform(0, 0.3)))
        self.put("round" if rng.random() < 0.6 else "box", place, size, self.tint())

    def cabinet(self) -> None:
        """One to three boxes on each other, now and then with a texture or a ball on top."""
        rng = self.rng
        half = float(rng.uniform(0.1, 0.4))
        spot = self.place_on_floor(0.12)
        if spot is None or abs(spot[0] - self.room.door_x) < DOOR_HALF + half:
            return
        floor = 0.0
        for _ in range(int(rng.integers(1, 4))):
            height = float(rng.uniform(0.06, 0.45))
            name = self.put("box", (*spot, floor + height), (half, 0.11, height), self.tint())
            if name and rng.random() < 0.5:
                m = self.renderer
                m.model.geom_matid[m.geom[name]] = m.materials[rng.integers(len(m.materials))]
            floor += 2 * height
            half *= float(rng.uniform(0.6, 1.0))
            if floor > 1.2:
                break
        if rng.random() < 0.4:
            size = float(rng.uniform(0.06, 0.16))
            self.put("round", (*spot, floor + size), (size, size, size), self.tint())

    def drum(self) -> None:
        """A bin, a barrel or a column."""
        spot = self.place_on_floor(0.2)
        if spot is not None:
            radius, height = self.rng.uniform((0.08, 0.1), (0.2, 0.6))
            self.put("post", (*spot, float(height)), (float(radius), float(height), 0), self.tint())


def decorate(renderer: Renderer, room: Room, rng: np.random.Generator | None) -> Room:
    """Hide all decor; with `rng`, furnish the room anew and vary its light and camera.

    Returns the room with its panes and its light; without `rng` it is returned as it came, so plain
    rooms look as they did before there was any decor.
    """
    for kind, count in DECOR.items():
        for number in range(count):
            renderer.show_geom(f"decor_{kind}_{number}", False)
    if rng is None:
        return room
    matte = int(renderer.model.material("matte").id)
    for number in range(DECOR["box"]):
        renderer.model.geom_matid[renderer.geom[f"decor_box_{number}"]] = matte
    decorator = _Furniture(renderer, room, rng)
    panes = [
        glow for _ in range(rng.choice(4, p=(0.3, 0.4, 0.2, 0.1))) for glow in decorator.pane()
    ]
    things = (decorator.bush, decorator.stand, decorator.cabinet, decorator.drum)
    for _ in range(rng.choice(5, p=(0.15, 0.25, 0.3, 0.2, 0.1))):
        things[rng.choice(4, p=(0.4, 0.25, 0.25, 0.1))]()
    more = rng.spawn(1)[0]  # the furniture above stays what it was before there were look-alikes
    decorator.rng = more
    add_lookalikes(decorator)
    wall = rng.uniform(0.6, 1.1) + rng.normal(0, 0.08, 3)
    for name in ("wall_back", "wall_left", "wall_right"):
        renderer.paint(name, wall.clip(0, 1))
    renderer.paint("floor", (rng.uniform(0.6, 1.1) + rng.normal(0, 0.08, 3)).clip(0, 1))
    hide_in_front_of_the_wall(renderer, more)
    light = rng.uniform(0.85, 1.2)
    return replace(
        room,
        panes=tuple(panes),
        key_light=room.key_light * light,
        fill_light=room.fill_light * light,
        ambient=room.ambient * light,
        exposure=room.exposure * float(rng.uniform(0.8, 1.25)),
        white_balance=room.white_balance * rng.uniform(0.92, 1.08, 3),
        noise=float(rng.uniform(0, 8)),
    )
