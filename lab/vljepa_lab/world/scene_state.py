"""What moves in one scene: objects, gripper, door, lights, person and the robot itself."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from vljepa_lab.world.assets import HALF_LENGTH, HALF_WIDTH, HEIGHT
from vljepa_lab.world.mjcf import TABLE_HALF, TABLE_Y, TABLE_Z
from vljepa_lab.world.records import named
from vljepa_lab.world.renderer import Array

_CAN_RADIUS = HALF_WIDTH["can"]
REACH_X, REACH_Y = 0.46, 0.24  # metres: objects stand within so far of the table's centre
PERSON_OUT = 1.9  # metres from the middle: outside the image
EDGE_X = TABLE_HALF[0]  # metres: where an object falls off the table
_OBJECT_DISTANCE = 0.27  # metres; depth counts half, so that none hides another
_PLACE_TRIES = 60  # random places that are tried on the table

_Value = TypeVar("_Value", float, Array)


def ease(u: float) -> float:
    """Smooth step from 0 to 1, u clamped to 0..1."""
    u = min(max(u, 0.0), 1.0)
    return u * u * (3 - 2 * u)


def blend(a: _Value, b: _Value, u: float) -> _Value:
    """From a to b, slow at both ends; u clamped to 0..1."""
    return a + (b - a) * ease(u)


@dataclass
class SceneObject:
    """An object on the table.

    Attributes:
        color, shape: its name.
        body: of the model.
        position: [3], the middle of its base, metres in the world frame.
        yaw, tilt: radians, about the vertical and about the axis of sight.
        lying: a can on its side.
        place: table, gripper or floor.
    """

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
        return 2 * _CAN_RADIUS if self.lying else HEIGHT[self.shape]

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
        return _CAN_RADIUS if self.lying else HALF_WIDTH[self.shape]

    def half_extent_x(self) -> float:
        """Half its extent along the world's x, metres."""
        if self.lying:
            return _CAN_RADIUS
        length, width = HALF_LENGTH[self.shape], HALF_WIDTH[self.shape]
        return abs(length * math.cos(self.yaw)) + abs(width * math.sin(self.yaw))


@dataclass
class SceneState:
    """Everything that moves. A motion sets it as a function of its own progress only.

    Attributes:
        home: [3], where the empty gripper rests, metres.
        door_side: +1 the door is on the right, -1 on the left.
        hinge_left: on which side the door hangs.
        objects: on the table, in the gripper or on the floor.
        held: what the gripper holds.
        grip, grip_yaw, grip_width: the gripper's place [3] in metres, yaw in radians, half the gap
            of its fingers in metres.
        door: 0 closed .. 1 open.
        lights: 0 off, 1 on.
        person: 0 out .. 1 at the place where they stay.
        person_from, person_stay: x of the person while out and at their place, metres.
        walked: steps, for the swing of their limbs.
        yaw, forward: of the robot: radians to the left, metres towards the table.
    """

    home: Array
    door_side: int
    hinge_left: bool = False
    objects: list[SceneObject] = field(default_factory=list)
    held: SceneObject | None = None
    grip: Array = field(default_factory=lambda: np.zeros(3))
    grip_yaw: float = math.pi / 2
    grip_width: float = 0.12
    door: float = 0.0
    lights: float = 1.0
    person: float = 0.0
    person_from: float = PERSON_OUT
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

    def on_table(self) -> list[SceneObject]:
        """Objects that stand on the table."""
        return [o for o in self.objects if o.place == "table"]

    def free_position(self, rng: np.random.Generator) -> Array | None:
        """A place [3] on the table that keeps its distance from all objects, or None."""
        for _ in range(_PLACE_TRIES):
            x = rng.uniform(-REACH_X, REACH_X)
            y = TABLE_Y + rng.uniform(-REACH_Y, REACH_Y)
            distances = (
                math.hypot(x - o.position[0], 0.5 * (y - o.position[1])) for o in self.on_table()
            )
            if all(distance > _OBJECT_DISTANCE for distance in distances):
                return np.array([x, y, TABLE_Z])
        return None

    def clear_path(self, moved: SceneObject, to_x: float) -> bool:
        """Whether an object can be moved sideways to `to_x` without touching another one."""
        x, y = moved.position[:2]
        low, high = sorted((float(x), to_x))
        return not any(
            o is not moved
            and abs(o.position[1] - y) < 0.3
            and low - _OBJECT_DISTANCE < o.position[0] < high + _OBJECT_DISTANCE
            and (o.position[0] - x) * (to_x - x) > 0
            for o in self.on_table()
        )
