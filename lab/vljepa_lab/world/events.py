"""What happens next: the choice of an event that is possible now, and its parameters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vljepa_lab.world.cast import EDGE_X, REACH_X, Cast, Thing
from vljepa_lab.world.model_xml import TABLE_Z
from vljepa_lab.world.renderer import Array

PERSON_OUT = 1.9  # metres from the middle: outside the picture


@dataclass(frozen=True)
class Motion:
    """An event under way: what it started from and where it goes.

    target: place on the table (put down, drop). sign: -1 left, +1 right. amount: metres or radians.
    grip, grip_yaw, grip_width: the gripper at the start. level: yaw, forward or x at the start.
    """

    kind: str
    start: float
    duration: float
    grip: Array
    grip_yaw: float
    grip_width: float
    thing: Thing | None = None
    origin: Array | None = None
    target: Array | None = None
    sign: int = 0
    amount: float = 0.0
    level: float = 0.0

    @property
    def end(self) -> float:
        """Seconds of scene time."""
        return self.start + self.duration


def weights(cast: Cast) -> dict[str, float]:
    """How likely each kind is now; rare preconditions weigh more, so that all kinds occur."""
    table = cast.on_table()
    w: dict[str, float] = {}
    if cast.held is None and table:
        w |= {"pick up": 4.5, "push left": 4.5, "push right": 4.5, "fall off": 2.0}
        if any(o.rolls for o in table):
            w["roll"] = 12.0
    if cast.held is not None:
        w |= {"put down": 6.5, "drop": 6.0}
    w["door opens" if cast.door < 0.5 else "door closes"] = 2.0
    w["lights off" if cast.lights > 0.5 else "lights on"] = 2.0
    w["person enters" if cast.person < 0.5 else "person leaves"] = 2.2
    if cast.yaw < 0.03:
        w["turn left"] = 1.4
    if cast.yaw > -0.03:
        w["turn right"] = 1.4
    if cast.forward < 0.05:
        w["move forward"] = 1.4
    if cast.forward > -0.1:
        w["move back"] = 1.4
    return w


def plan(cast: Cast, rng: np.random.Generator, t: float, last: str = "") -> Motion | None:
    """Choose the motion that starts at `t`, or None where ten draws were all impossible.

    The kind that happened last is chosen again only where nothing else is possible.
    """
    likely = weights(cast)
    if len(likely) > 1:
        likely.pop(last, None)
    kinds = list(likely)
    p = np.array(list(likely.values()))
    for _ in range(10):
        kind = kinds[int(rng.choice(len(kinds), p=p / p.sum()))]
        motion = prepare(kind, cast, rng, t)
        if motion is not None:
            return motion
    return None


def prepare(kind: str, cast: Cast, rng: np.random.Generator, t: float) -> Motion | None:
    """Draw the parameters of a motion of one kind; None where they are impossible."""
    duration = float(rng.uniform(1.3, 2.4))
    thing: Thing | None = None
    origin = target = None
    sign, amount, level = 0, 0.0, 0.0
    if kind in ("pick up", "push left", "push right", "fall off", "roll"):
        options = [o for o in cast.on_table() if kind != "roll" or o.rolls]
        thing = options[int(rng.integers(len(options)))]
        origin = thing.position.copy()
        x = float(origin[0])
        if kind in ("push left", "push right", "roll"):
            sign = {"push left": -1, "push right": 1}.get(kind, int(rng.choice([-1, 1])))
            amount = float(rng.uniform(0.3, 0.5) if kind == "roll" else rng.uniform(0.2, 0.34))
            to_x = x + sign * amount
            if abs(to_x) > REACH_X + 0.04 or not cast.clear_path(thing, to_x):
                return None
        if kind == "fall off":
            sign = 1 if x > 0 else -1
            if abs(x) < 0.12 or not cast.clear_path(thing, sign * EDGE_X):
                return None
            duration = min(duration, 2.0)
    elif kind in ("put down", "drop"):
        thing = cast.held
        target = cast.free_position(rng)
        if target is None:
            return None
    elif kind in ("turn left", "turn right"):
        level = cast.yaw
        sign = 1 if kind == "turn left" else -1
        amount = min(float(rng.uniform(0.18, 0.30)), 0.17 - sign * level)
        if amount < 0.14:
            return None
    elif kind in ("move forward", "move back"):
        level = cast.forward
        sign = 1 if kind == "move forward" else -1
        amount = min(float(rng.uniform(0.2, 0.32)), (0.2 if sign > 0 else 0.25) - sign * level)
        if amount < 0.17:
            return None
    elif kind in ("lights off", "lights on"):
        duration = float(rng.uniform(0.6, 1.0))
    elif kind in ("person enters", "person leaves"):
        duration = float(rng.uniform(1.7, 2.5))
        sign = int(rng.choice([-1, 1]))
        if kind == "person enters":  # the side without the door, where nothing hides them
            level = -cast.door_side * float(rng.uniform(0.05, 0.75))
    if target is not None:
        target = np.array([target[0], target[1], TABLE_Z])
    return Motion(
        kind, t, duration, *cast.gripper(),
        thing=thing, origin=origin, target=target, sign=sign, amount=amount, level=level,
    )  # fmt: skip
