"""Furnished training rooms: furniture and look-alikes of people that plain rooms do not have.

A model that knows a few kinds of furniture takes the first plant or bright window for a person. The
things here are made of other parts than those of held-out rooms, so that these stay unknown:

| held-out rooms | here |
|---|---|
| one plain pane .70 x .60 m, pale blue, no frame | panes of all sizes with frame and bars |
| one upright green ellipsoid .84 m high on a textured box | clumps of small balls on a cylinder |

In held-out rooms most wrong answers about people were plants and columns taken for somebody, and
people in clothes of the wall's colour taken for nobody. So there are tall single-coloured things of
many kinds, and clothes that the wall hides. Whatever is an upright ellipsoid here is of another
colour than the plant of the held-out rooms.

Nothing stands on the table, in front of the door or before the person, so the truth stays true.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from vljepa_lab.world.mjcf import DECOR
from vljepa_lab.world.renderer import Array, Renderer
from vljepa_lab.world.room import Room

_DOOR_HALF = 0.5  # metres of wall to either side of the door's middle that stay clear
_WALL_HALF = 1.55  # metres of the back wall that the camera sees to either side
_BEHIND_PERSON = 1.4  # metres: y from which on furniture stands
_CAMERA_Y = -0.93  # metres: about where the camera is
_CAMOUFLAGED = 0.35  # share of the rooms in which clothes are of the colour behind them


@dataclass
class Decorator:
    """Takes geoms from the pools of the model and puts furniture of them into one room.

    Attributes:
        renderer: is changed.
        room: that is furnished.
        rng: draws everything.
    """

    renderer: Renderer
    room: Room
    rng: np.random.Generator

    def __post_init__(self) -> None:
        self._free: dict[str, Iterator[int]] = {kind: iter(range(n)) for kind, n in DECOR.items()}
        self.face = self.room.wall_face

    def put(
        self, kind: str, position: tuple[float, ...], size: tuple[float, ...], rgb: Array
    ) -> str:
        """Show the next free geom of a kind in a colour [3], 0..1; empty: none is left."""
        number = next(self._free[kind], None)
        if number is None:
            return ""
        name = f"decor_{kind}_{number}"
        self.renderer.place(name, position, size)
        self.renderer.paint(name, rgb.clip(0, 1))
        self.renderer.show_geom(name, True)
        return name

    def tint(self, low: float = 0.1, high: float = 1.0) -> Array:
        """A colour [3]: any, or near grey, or green as leaves."""
        rng = self.rng
        kind = rng.random()
        if kind < 0.35:
            return rng.uniform(low, high) * rng.uniform(0.85, 1.1, 3)
        if kind < 0.5:
            return rng.uniform(0.5, 1.2) * np.array([0.25, 0.55, 0.2]) + rng.normal(0, 0.06, 3)
        return rng.uniform(low, high, 3)

    def place_on_wall(self, half: float, tries: int = 12) -> float | None:
        """X of something `half` wide on the back wall that leaves the door free, or None."""
        for _ in range(tries):
            x = float(self.rng.uniform(-_WALL_HALF, _WALL_HALF))
            if abs(x - self.room.door_x) > _DOOR_HALF + half:
                return x
        return None

    def place_on_floor(self, half: float, tries: int = 12) -> tuple[float, float] | None:
        """X and y behind where the person walks, seen beside the door, or None."""
        for _ in range(tries):
            y = float(self.rng.uniform(_BEHIND_PERSON + half, self.face - half))
            x = self.place_on_wall(half, 1)
            if x is not None and y < self.face:
                return x * (y - _CAMERA_Y) / (self.room.wall_y - _CAMERA_Y), y
        return None

    # ------------------------------------------------------------------ on the wall

    def pane(self) -> list[tuple[str, Array, Array]]:
        """A bright pane with a frame and bars: its glowing geoms, light tint [3], dark tint [3]."""
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
        if spot is None or abs(spot[0] - self.room.door_x) < _DOOR_HALF + half:
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

    # ------------------------------------------------------------------ taken for people

    def add_lookalikes(self) -> None:
        """Stand up to three of them into the room."""
        kinds = (self._vase, self._column, self._dummy, self._globe, self._coat)
        for _ in range(self.rng.choice(4, p=(0.25, 0.35, 0.25, 0.15))):
            kinds[self.rng.choice(len(kinds), p=(0.35, 0.2, 0.15, 0.15, 0.15))]()

    def _any_tint(self) -> Array:
        return self.rng.uniform(0.05, 1.0, 3)

    def _no_leaf(self) -> Array:
        """A colour in which green is not the strongest by far."""
        while True:
            tint = self.tint(0.05, 1.0)
            if tint[1] < 1.15 * max(tint[0], tint[2]):
                return tint

    def _vase(self) -> None:
        """One big ellipsoid on a foot of its own or on the floor, now and then with a neck."""
        rng = self.rng
        spot = self.place_on_floor(0.2)
        if spot is None:
            return
        size = rng.uniform((0.09, 0.08, 0.18), (0.28, 0.2, 0.5))
        foot = float(rng.uniform(0.03, 0.35))
        form = "post" if rng.random() < 0.5 else "box"
        width = float(rng.uniform(0.06, 0.16))
        self.put(
            form, (*spot, foot), (width, foot if form == "post" else width, foot), self._any_tint()
        )
        tint = self._no_leaf()
        middle = 2 * foot + float(size[2])
        self.put("round", (*spot, middle), tuple(size), tint)
        if rng.random() < 0.3:
            neck = float(rng.uniform(0.04, 0.1))
            self.put("round", (*spot, middle + float(size[2])), (neck, neck, neck), tint)

    def _column(self) -> None:
        """As high as a person and of one colour: a pillar, a fridge, a rolled carpet."""
        rng = self.rng
        spot = self.place_on_floor(0.2)
        if spot is None:
            return
        height, width = float(rng.uniform(0.45, 0.85)), float(rng.uniform(0.07, 0.2))
        if rng.random() < 0.5:
            self.put("post", (*spot, height), (width, height, 0), self.tint())
        else:
            self.put("box", (*spot, height), (width, 0.1, height), self.tint())

    def _dummy(self) -> None:
        """A dress on a pole: a body without head, arms and legs."""
        rng = self.rng
        spot = self.place_on_floor(0.2)
        if spot is None:
            return
        pole = float(rng.uniform(0.4, 0.55))
        self.put(
            "post", (*spot, pole), (float(rng.uniform(0.012, 0.03)), pole, 0), self._any_tint()
        )
        tint = self._no_leaf()
        size = rng.uniform((0.12, 0.08, 0.2), (0.18, 0.14, 0.32))
        self.put("round", (*spot, 2 * pole), tuple(size), tint)
        if rng.random() < 0.5:  # the skirt
            low = float(rng.uniform(0.1, 0.2))
            self.put("post", (*spot, 2 * pole - float(size[2]) - low / 2), (0.14, low, 0), tint)

    def _globe(self) -> None:
        """A ball on a pole or on a column: where a head would be, with nothing like a body."""
        rng = self.rng
        spot = self.place_on_floor(0.15)
        if spot is None:
            return
        height, radius = float(rng.uniform(0.4, 0.75)), float(rng.uniform(0.08, 0.18))
        width = float(rng.uniform(0.015, 0.1))
        self.put("post", (*spot, height), (width, height, 0), self._any_tint())
        self.put("round", (*spot, 2 * height + radius), (radius, radius, radius), self._any_tint())

    def _coat(self) -> None:
        """Cloth on the wall, as high and as wide as a person."""
        rng = self.rng
        half = float(rng.uniform(0.1, 0.22))
        x = self.place_on_wall(half)
        if x is None:
            return
        height = float(rng.uniform(0.25, 0.6))
        size = (half, 0.03, height)
        self.put("box", (x, self.face - 0.04, float(rng.uniform(0.7, 1.2))), size, self._any_tint())


def camouflage_person(renderer: Renderer, rng: np.random.Generator) -> None:
    """In a third of the rooms dress the person nearly in the colour of the wall or of the door."""
    if rng.random() >= _CAMOUFLAGED:
        return
    behind = "wall_back" if rng.random() < 0.7 else "door_leaf"
    clothes = renderer.mean_colour(behind) * rng.uniform(0.65, 1.3) + rng.normal(0, 0.03, 3)
    parts = ["person_body", "arm_left_limb", "arm_right_limb"]
    if rng.random() < 0.4:
        parts += ["leg_left_limb", "leg_right_limb"]
    for name in parts:
        renderer.paint(name, clothes.clip(0, 1))


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
    decorator = Decorator(renderer, room, rng)
    panes = [
        glow for _ in range(rng.choice(4, p=(0.3, 0.4, 0.2, 0.1))) for glow in decorator.pane()
    ]
    things = (decorator.bush, decorator.stand, decorator.cabinet, decorator.drum)
    for _ in range(rng.choice(5, p=(0.15, 0.25, 0.3, 0.2, 0.1))):
        things[rng.choice(4, p=(0.4, 0.25, 0.25, 0.1))]()
    more = rng.spawn(1)[0]  # the furniture above stays what it was before there were look-alikes
    decorator.rng = more
    decorator.add_lookalikes()
    wall = rng.uniform(0.6, 1.1) + rng.normal(0, 0.08, 3)
    for name in ("wall_back", "wall_left", "wall_right"):
        renderer.paint(name, wall.clip(0, 1))
    renderer.paint("floor", (rng.uniform(0.6, 1.1) + rng.normal(0, 0.08, 3)).clip(0, 1))
    camouflage_person(renderer, more)
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
