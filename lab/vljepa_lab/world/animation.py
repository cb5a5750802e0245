"""How each event moves the world: the cast as a function of the event's progress u in 0..1.

Every function sets all that it moves from the motion's start values, so that the same world is
reached at any frame rate. u never decreases within one motion.
"""

from __future__ import annotations

import math

import numpy as np

from vljepa_lab.world.cast import EDGE_X, Cast, Thing, ease
from vljepa_lab.world.events import PERSON_OUT, Motion
from vljepa_lab.world.model_xml import TABLE_Z
from vljepa_lab.world.renderer import Array

HOMING = 0.8  # seconds that the empty gripper takes to go home after an event
OPEN, CLOSED = 0.13, 0.035  # half the gap of the open and of the closed fingers, metres
_ABOVE = np.array([0.0, 0.0, 0.30])


def between(a: Array, b: Array, u: float) -> Array:
    """From a to b, slow at both ends; u clamped to 0..1."""
    return a + (b - a) * ease(u)


def turn(a: float, b: float, u: float) -> float:
    """`between` for one number."""
    return a + (b - a) * ease(u)


def grasp_yaw(thing: Thing) -> float:
    """Yaw in 0..pi at which the fingers close on the short side of the object."""
    return thing.yaw % math.pi


def _carry(cast: Cast, thing: Thing) -> None:
    thing.position = cast.grip - np.array([0.0, 0.0, thing.grip_height])


def _pick_up(m: Motion, cast: Cast, thing: Thing, u: float) -> None:
    assert m.origin is not None
    low = m.origin + np.array([0.0, 0.0, thing.grip_height])
    high = low + _ABOVE
    if u < 0.5:
        cast.grip = (
            between(m.grip, high, u / 0.32) if u < 0.32 else between(high, low, (u - 0.32) / 0.16)
        )
        cast.grip_yaw = turn(m.grip_yaw, grasp_yaw(thing), u / 0.32)
        cast.grip_width = turn(m.grip_width, thing.grip_width + 0.05, u / 0.32)
        return
    cast.held, thing.place = thing, "gripper"
    cast.grip_width = thing.grip_width + 0.012
    cast.grip_yaw = grasp_yaw(thing)
    cast.grip = between(low, low + np.array([0.0, 0.0, 0.27]), (u - 0.5) / 0.45)
    _carry(cast, thing)


def _put_down(m: Motion, cast: Cast, thing: Thing, u: float) -> None:
    assert m.target is not None
    low = m.target + np.array([0.0, 0.0, thing.grip_height])
    high = low + np.array([0.0, 0.0, 0.27])
    if u < 0.72:
        cast.grip = (
            between(m.grip, high, u / 0.4) if u < 0.4 else between(high, low, (u - 0.4) / 0.32)
        )
        _carry(cast, thing)
        return
    cast.held, thing.place, thing.position = None, "table", m.target.copy()
    cast.grip = between(low, high, (u - 0.78) / 0.22)
    cast.grip_width = turn(thing.grip_width + 0.012, thing.grip_width + 0.05, (u - 0.72) / 0.1)


def _drop(m: Motion, cast: Cast, thing: Thing, u: float) -> None:
    assert m.target is not None
    high = m.target + np.array([0.0, 0.0, thing.grip_height + 0.32])
    if u < 0.45:
        cast.grip = between(m.grip, high, u / 0.45)
        _carry(cast, thing)
        return
    cast.held, thing.place = None, "table"
    cast.grip = high
    cast.grip_width = thing.grip_width + 0.06
    fallen = min(1.0, ((u - 0.45) / 0.3) ** 2)
    bounce = 0.03 * max(0.0, math.sin(math.pi * (u - 0.75) / 0.15)) if 0.75 < u < 0.9 else 0.0
    thing.position = m.target + np.array([0.0, 0.0, 0.32 * (1 - fallen) + bounce])


def _push(m: Motion, cast: Cast, thing: Thing, u: float) -> None:
    assert m.origin is not None
    beside = m.origin + np.array([-m.sign * (thing.half_extent_x() + 0.045), 0.0, 0.06])
    if u < 0.35:
        above = beside + _ABOVE
        cast.grip = (
            between(m.grip, above, u / 0.22)
            if u < 0.22
            else between(above, beside, (u - 0.22) / 0.13)
        )
        cast.grip_yaw = turn(m.grip_yaw, 0.0 if m.grip_yaw < math.pi / 2 else math.pi, u / 0.22)
        cast.grip_width = turn(m.grip_width, CLOSED, u / 0.22)
        return
    shift = np.array([m.sign * m.amount * min(1.0, (u - 0.35) / 0.58), 0.0, 0.0])
    thing.position = m.origin + shift
    cast.grip = beside + shift


def _fall_off(m: Motion, thing: Thing, u: float) -> None:
    assert m.origin is not None
    edge = m.sign * (EDGE_X + 0.02)
    if u <= 0.5:
        x = m.origin[0] + (edge - m.origin[0]) * (u / 0.5) ** 1.3
        thing.position = np.array([x, m.origin[1], TABLE_Z])
        thing.tilt = m.sign * 0.35 * max(0.0, u / 0.5 - 0.7) / 0.3
        return
    s = (u - 0.5) / 0.5
    thing.place = "floor"
    fallen = min(1.0, (s * 1.15) ** 2)
    rest = thing.grip_width  # it comes to lie on its side
    thing.position = np.array(
        [edge + m.sign * 0.1 * s, m.origin[1], rest + (TABLE_Z - rest) * (1 - fallen)]
    )
    thing.tilt = m.sign * (0.35 + 1.2 * min(1.0, s * 1.15))


def _roll(m: Motion, thing: Thing, u: float) -> None:
    assert m.origin is not None
    shift = m.sign * m.amount * ease(u)
    thing.position = m.origin + np.array([shift, 0.0, 0.0])
    thing.tilt = shift / (thing.height / 2) if thing.lying else 0.0


def apply(m: Motion, cast: Cast, u: float) -> None:
    """Set the cast to progress `u` (0..1) of the motion."""
    kind, thing = m.kind, m.thing
    if thing is not None:
        if kind == "pick up":
            _pick_up(m, cast, thing, u)
        elif kind == "put down":
            _put_down(m, cast, thing, u)
        elif kind == "drop":
            _drop(m, cast, thing, u)
        elif kind in ("push left", "push right"):
            _push(m, cast, thing, u)
        elif kind == "fall off":
            _fall_off(m, thing, u)
        else:
            _roll(m, thing, u)
    elif kind == "door opens":
        cast.door = ease(u)
    elif kind == "door closes":
        cast.door = 1 - ease(u)
    elif kind == "lights on":
        cast.lights = float(u >= 0.5)
    elif kind == "lights off":
        cast.lights = float(u < 0.5)
    elif kind == "person enters":
        cast.person_from, cast.person_stay = m.sign * PERSON_OUT, m.level
        cast.person = u
        cast.walked = u * 2.0 * m.duration
    elif kind == "person leaves":
        cast.person_from = m.sign * PERSON_OUT
        cast.person = 1 - u
        cast.walked = u * 2.0 * m.duration
    elif kind in ("turn left", "turn right"):
        cast.yaw = m.level + m.sign * m.amount * ease(u)
    else:
        cast.forward = m.level + m.sign * m.amount * ease(u)


def go_home(
    last: Motion | None, cast: Cast, since: float, start: tuple[Array, float, float]
) -> None:
    """Move the empty gripper home, `since` seconds after the last event ended.

    start: the gripper's place, yaw and width at that end.
    """
    if last is None or cast.held is not None:
        return
    u = since / HOMING
    cast.grip = between(start[0], cast.home, u)
    cast.grip_yaw = turn(start[1], math.pi / 2, u)
    cast.grip_width = turn(start[2], OPEN, u)
