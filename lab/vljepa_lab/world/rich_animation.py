"""How the events of the richer world move it, as `animation` does for the plain ones."""

from __future__ import annotations

import numpy as np

from vljepa_lab.world.animation import apply, between, grasp_yaw, turn
from vljepa_lab.world.cast import Cast, Thing, ease
from vljepa_lab.world.events import Motion
from vljepa_lab.world.renderer import Array
from vljepa_lab.world.rich_cast import OBSTACLE_OUT, RichCast
from vljepa_lab.world.rich_state import HANDED

_AWAY = np.array([0.0, -0.22, 0.22])  # metres: the gripper draws back from the person


def _grip_of(cast: RichCast, thing: Thing) -> Array:
    """Where the gripper is when it meets the person's stretched-out hand."""
    return cast.in_hand(thing) + np.array([0.0, 0.0, thing.grip_height])


def _to_person(m: Motion, cast: RichCast, thing: Thing, u: float) -> None:
    cast.reach = 2.0
    meeting = _grip_of(cast, thing)
    if u < HANDED:
        cast.reach = 2.0 * ease((u - 0.1) / 0.35)
        cast.grip = between(m.grip, meeting, u / 0.45)
        thing.position = cast.grip - np.array([0.0, 0.0, thing.grip_height])
        return
    cast.held, cast.given, thing.place = None, thing, "person"
    cast.grip_width = turn(thing.grip_width + 0.012, thing.grip_width + 0.06, (u - HANDED) / 0.1)
    cast.grip = between(meeting, meeting + _AWAY, (u - 0.65) / 0.3)
    cast.reach = 2.0 - ease((u - 0.65) / 0.35)
    cast.carry()


def _from_person(m: Motion, cast: RichCast, thing: Thing, u: float) -> None:
    assert m.target is not None
    cast.reach = 2.0
    meeting = _grip_of(cast, thing)
    if u < HANDED:
        cast.reach = 1.0 + ease(u / 0.35)
        cast.grip = between(m.grip, meeting + _AWAY, u / 0.3)
        if u > 0.3:
            cast.grip = between(meeting + _AWAY, meeting, (u - 0.3) / 0.2)
        cast.grip_yaw = turn(m.grip_yaw, grasp_yaw(thing), u / 0.3)
        cast.grip_width = turn(m.grip_width, thing.grip_width + 0.06, u / 0.3)
        if u > 0.5:
            cast.grip_width = thing.grip_width + 0.012
        cast.carry()
        return
    cast.held, cast.given, thing.place = thing, None, "gripper"
    cast.grip_yaw, cast.grip_width = grasp_yaw(thing), thing.grip_width + 0.012
    end = m.target + np.array([0.0, 0.0, thing.grip_height])
    cast.grip = between(meeting, end, (u - HANDED) / 0.42)
    thing.position = cast.grip - np.array([0.0, 0.0, thing.grip_height])
    cast.reach = 2.0 * (1 - ease((u - 0.6) / 0.35))


def apply_rich(m: Motion, cast: Cast, u: float) -> None:
    """Set a RichCast to progress `u` (0..1) of the motion."""
    assert isinstance(cast, RichCast)
    kind, thing = m.kind, m.thing
    if kind == "handover to person":
        assert thing is not None
        _to_person(m, cast, thing, u)
    elif kind == "handover from person":
        assert thing is not None
        _from_person(m, cast, thing, u)
    elif kind == "drawer opens":
        cast.drawer = ease(u)
    elif kind == "drawer closes":
        cast.drawer = 1 - ease(u)
    elif kind == "obstacle appears":
        cast.obstacle_from, cast.obstacle_stay = m.sign * OBSTACLE_OUT, m.level
        cast.obstacle = 1 - (1 - u) ** 2  # slower and slower until it stands
    elif kind == "obstacle leaves":
        cast.obstacle_from = m.sign * OBSTACLE_OUT
        cast.obstacle = 1 - u * u
    else:
        apply(m, cast, u)
