"""The moving things of one scene: objects, gripper, door, lights, person and the robot itself."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from vljepa_lab.world.assets import HALF_WIDTH, HEIGHT, OBJECT_SCALE
from vljepa_lab.world.model_xml import TABLE_HALF, TABLE_Y, TABLE_Z
from vljepa_lab.world.records import named
from vljepa_lab.world.renderer import Array

CAN_RADIUS = 0.036 * OBJECT_SCALE
# half extents on the table along the object's own x, unscaled metres
_HALF_LENGTH = {"box": 0.042, "ball": 0.044, "can": 0.036, "mug": 0.06, "bottle": 0.033}
_HALF_LENGTH |= {"bowl": 0.066, "cone": 0.055, "banana": 0.075, "book": 0.068, "toy car": 0.068}
REACH_X, REACH_Y = 0.46, 0.24  # objects stand within so far of the table's centre
APART = 0.27  # metres between objects; depth counts half, so that none hides another


def ease(u: float) -> float:
    """Smooth step from 0 to 1, u clamped to 0..1."""
    u = min(max(u, 0.0), 1.0)
    return u * u * (3 - 2 * u)


@dataclass
class Thing:
    """An object; position is the middle of its base in metres, yaw and tilt in radians."""

    color: str
    shape: str
    body: str
    position: Array
    yaw: float
    lying: bool = False
    tilt: float = 0.0
    place: str = "table"

    @property
    def name(self) -> str:
        """`color shape`."""
        return named(self.color, self.shape)

    @property
    def height(self) -> float:
        """Metres from its base to its top, as it stands or lies."""
        return 2 * CAN_RADIUS if self.lying else HEIGHT[self.shape]

    @property
    def rolls(self) -> bool:
        """Whether it can roll sideways."""
        return self.shape == "ball" or self.lying

    @property
    def grip_height(self) -> float:
        """Height of the gripper's point above the base when it holds the object, metres."""
        return max(self.height - 0.10, 0.03)

    @property
    def grip_width(self) -> float:
        """Half the gap of the fingers round it, metres."""
        return CAN_RADIUS if self.lying else HALF_WIDTH[self.shape]

    def half_extent_x(self) -> float:
        """Half its extent along the world's x, metres."""
        if self.lying:
            return CAN_RADIUS
        length, width = _HALF_LENGTH[self.shape] * OBJECT_SCALE, HALF_WIDTH[self.shape]
        return abs(length * math.cos(self.yaw)) + abs(width * math.sin(self.yaw))


@dataclass
class Cast:
    """Everything that moves. A motion sets it as a function of its own progress only."""

    home: Array
    door_side: int
    things: list[Thing] = field(default_factory=list)
    held: Thing | None = None
    grip: Array = field(default_factory=lambda: np.zeros(3))
    grip_yaw: float = math.pi / 2
    grip_width: float = 0.12
    door: float = 0.0
    lights: float = 1.0
    person: float = 0.0
    person_from: float = 1.9
    person_stay: float = 0.0
    walked: float = 0.0
    yaw: float = 0.0
    forward: float = 0.0

    @property
    def person_x(self) -> float:
        """Where the person is, metres."""
        return self.person_from + (self.person_stay - self.person_from) * self.person

    def gripper(self) -> tuple[Array, float, float]:
        """Its place (a copy), yaw and half width now."""
        return self.grip.copy(), self.grip_yaw, self.grip_width

    def on_table(self) -> list[Thing]:
        """Objects that stand on the table."""
        return [o for o in self.things if o.place == "table"]

    def apart(self, position: Array, but: Thing | None = None) -> bool:
        """Whether an object at `position` keeps its distance from the others on the table."""
        return all(
            math.hypot(position[0] - o.position[0], 0.5 * (position[1] - o.position[1])) > APART
            for o in self.on_table()
            if o is not but
        )

    def free_position(self, rng: np.random.Generator, tries: int = 60) -> Array | None:
        """A free place on the table, or None."""
        for _ in range(tries):
            x = rng.uniform(-REACH_X, REACH_X)
            y = TABLE_Y + rng.uniform(-REACH_Y, REACH_Y)
            position = np.array([x, y, TABLE_Z])
            if self.apart(position):
                return position
        return None

    def clear_path(self, thing: Thing, to_x: float) -> bool:
        """Whether the object can be moved sideways to `to_x` without touching another one."""
        low, high = sorted((float(thing.position[0]), to_x))
        return not any(
            o is not thing
            and abs(o.position[1] - thing.position[1]) < 0.3
            and low - APART < o.position[0] < high + APART
            and (o.position[0] - thing.position[0]) * (to_x - thing.position[0]) > 0
            for o in self.on_table()
        )


EDGE_X = TABLE_HALF[0]
