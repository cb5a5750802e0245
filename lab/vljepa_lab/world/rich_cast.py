"""The moving things of a rich scene, and where the person's hand is as it reaches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vljepa_lab.world.cast import Cast, Thing
from vljepa_lab.world.renderer import Array
from vljepa_lab.world.staging import PERSON_Y

ARM = 0.55  # metres from the shoulder to the hand
# where the arm points to the robot's side of the person: hanging, holding something, stretched out
_DIRECTIONS = ((0.0, 0.0, -1.0), (0.16, -0.66, -0.73), (0.62, -0.52, -0.59))
_SHARE_BUSY = 0.35  # of the scenes: a person is there and they or the gripper hold something
OBSTACLE_OUT = 0.9  # metres from the middle: outside the picture


@dataclass
class RichCast(Cast):
    """Cast with drawer and obstacle (0..1), and the arm of the person that gives and takes.

    reach: 0 the arm hangs, 1 it holds something before the chest, 2 it is stretched out.
    obstacle_from, obstacle_stay: x of the obstacle, metres, while outside and in the way.
    """

    drawer: float = 0.0
    obstacle: float = 0.0
    obstacle_from: float = OBSTACLE_OUT
    obstacle_stay: float = 0.0
    reach: float = 0.0
    given: Thing | None = None

    @property
    def inner(self) -> int:
        """The side of the person (+1 right in the picture) whose arm gives and takes."""
        return self.door_side

    @property
    def obstacle_x(self) -> float:
        """Where the obstacle is, metres."""
        return self.obstacle_from + (self.obstacle_stay - self.obstacle_from) * self.obstacle

    def shoulder(self) -> Array:
        """Of the arm that gives and takes, metres."""
        return np.array([self.person_x + 0.22 * self.inner, PERSON_Y, 1.36])

    def arm_direction(self) -> Array:
        """Unit vector from the shoulder to the hand."""
        low = min(int(self.reach), 1)
        a, b = (np.array(_DIRECTIONS[low + k]) for k in (0, 1))
        v = a + (b - a) * (self.reach - low)
        v[0] *= self.inner
        return v / np.linalg.norm(v)

    def hand(self) -> Array:
        """Where the hand is, metres."""
        return self.shoulder() + ARM * self.arm_direction()

    def in_hand(self, thing: Thing) -> Array:
        """Where a thing that the hand holds has its base: on the palm."""
        return self.hand() + np.array([0.05 * self.inner, -0.06, 0.04])

    def carry(self) -> None:
        """Let what the person holds follow their hand."""
        if self.given is not None:
            self.given.position = self.in_hand(self.given)


def set_up(cast: RichCast, rng: np.random.Generator) -> None:
    """Draw how a rich scene begins: drawer, obstacle, and who holds what."""
    cast.drawer = float(rng.random() < 0.5)
    cast.obstacle = float(rng.random() < 0.4)
    cast.obstacle_from = OBSTACLE_OUT * int(rng.choice([-1, 1]))
    cast.obstacle_stay = float(rng.uniform(-0.08, 0.08))
    cast.person_stay = near_middle(cast.person_stay)
    cast.person_from = abs(cast.person_from) * cast.door_side
    busy = rng.random() < _SHARE_BUSY
    cast.person = float(busy or rng.random() < 0.33)
    if not busy:
        return
    thing = cast.held
    on_table = cast.on_table()
    if thing is None and on_table:
        thing = on_table[int(rng.integers(len(on_table)))]
        cast.given, thing.place, cast.reach = thing, "person", 1.0
        cast.carry()


def near_middle(x: float) -> float:
    """Where the person stays, so that the cabinet beside them can be seen (x of 0.05 to 0.75)."""
    return (0.06 + 0.3 * (abs(x) - 0.05)) * (1.0 if x > 0 else -1.0)
