"""How each event moves the world: the scene's state as a function of the event's progress u, 0..1.

Every function sets all that it moves from the motion's start values, so that the same world is
reached at any frame rate. u never decreases within one motion.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from vljepa_lab.world.mjcf import TABLE_Z
from vljepa_lab.world.records import GRIP_CHANGE
from vljepa_lab.world.renderer import Array
from vljepa_lab.world.scene_state import (
    EDGE_X,
    PERSON_OUT,
    SceneObject,
    SceneState,
    blend,
    ease,
)

_HOMING_S = 0.8  # that the empty gripper takes to go home after an event
_OPEN, _CLOSED = 0.13, 0.035  # metres: half the gap of the open and of the closed fingers
HOLDING, _RELEASED = 0.012, 0.05  # metres that half the gap is wider, holding and just open
LIFT = 0.27  # metres: how high an object is carried
_ABOVE = np.array([0.0, 0.0, 0.30])  # metres: where the gripper comes down from
_DROP_HEIGHT = 0.32  # metres


@dataclass(frozen=True)
class Motion:
    """An event under way: what it started from and where it goes.

    Attributes:
        kind: one of ACTIONS, but not `nothing`.
        start, duration: seconds.
        grip, grip_yaw, grip_width: the gripper at the start.
        object: what it happens to.
        origin: [3], where the object was at the start, metres.
        target: [3], place on the table (put down, drop), metres.
        sign: -1 left or back, +1 right or forward; of a turn +1 is left.
        amount: metres or radians.
        level: yaw or way at the start, or the x at which the person stays.
    """

    kind: str
    start: float
    duration: float
    grip: Array
    grip_yaw: float
    grip_width: float
    object: SceneObject | None = None
    origin: Array | None = None
    target: Array | None = None
    sign: int = 0
    amount: float = 0.0
    level: float = 0.0

    @property
    def end(self) -> float:
        """Seconds of scene time."""
        return self.start + self.duration


def _up(height: float) -> Array:
    return np.array([0.0, 0.0, height])


def _carry(state: SceneState, held: SceneObject) -> None:
    held.position = state.grip - _up(held.grip_height)


def _pick_up(m: Motion, state: SceneState, picked: SceneObject, u: float) -> None:
    assert m.origin is not None
    low = m.origin + _up(picked.grip_height)
    high = low + _ABOVE
    yaw = picked.yaw % math.pi  # the fingers close on the short side
    change = GRIP_CHANGE["pick up"]
    if u < change:
        down = u >= 0.32
        state.grip = blend(high, low, (u - 0.32) / 0.16) if down else blend(m.grip, high, u / 0.32)
        state.grip_yaw = blend(m.grip_yaw, yaw, u / 0.32)
        state.grip_width = blend(m.grip_width, picked.grip_width + _RELEASED, u / 0.32)
        return
    state.held, picked.place = picked, "gripper"
    state.grip_width = picked.grip_width + HOLDING
    state.grip_yaw = yaw
    state.grip = blend(low, low + _up(LIFT), (u - change) / 0.45)
    _carry(state, picked)


def _put_down(m: Motion, state: SceneState, held: SceneObject, u: float) -> None:
    assert m.target is not None
    low = m.target + _up(held.grip_height)
    high = low + _up(LIFT)
    change = GRIP_CHANGE["put down"]
    if u < change:
        down = u >= 0.4
        state.grip = blend(high, low, (u - 0.4) / 0.32) if down else blend(m.grip, high, u / 0.4)
        _carry(state, held)
        return
    state.held, held.place, held.position = None, "table", m.target.copy()
    state.grip = blend(low, high, (u - 0.78) / 0.22)
    width = held.grip_width
    state.grip_width = blend(width + HOLDING, width + _RELEASED, (u - change) / 0.1)


def _drop(m: Motion, state: SceneState, held: SceneObject, u: float) -> None:
    assert m.target is not None
    high = m.target + _up(held.grip_height + _DROP_HEIGHT)
    change = GRIP_CHANGE["drop"]
    if u < change:
        state.grip = blend(m.grip, high, u / change)
        _carry(state, held)
        return
    state.held, held.place = None, "table"
    state.grip = high
    state.grip_width = held.grip_width + 0.06
    fallen = min(1.0, ((u - change) / 0.3) ** 2)
    bounce = 0.03 * max(0.0, math.sin(math.pi * (u - 0.75) / 0.15)) if 0.75 < u < 0.9 else 0.0
    held.position = m.target + _up(_DROP_HEIGHT * (1 - fallen) + bounce)


def _push(m: Motion, state: SceneState, pushed: SceneObject, u: float) -> None:
    assert m.origin is not None
    beside = m.origin + np.array([-m.sign * (pushed.half_extent_x() + 0.045), 0.0, 0.06])
    if u < 0.35:
        above, down = beside + _ABOVE, u >= 0.22
        state.grip = (
            blend(above, beside, (u - 0.22) / 0.13) if down else blend(m.grip, above, u / 0.22)
        )
        state.grip_yaw = blend(m.grip_yaw, 0.0 if m.grip_yaw < math.pi / 2 else math.pi, u / 0.22)
        state.grip_width = blend(m.grip_width, _CLOSED, u / 0.22)
        return
    shift = np.array([m.sign * m.amount * min(1.0, (u - 0.35) / 0.58), 0.0, 0.0])
    pushed.position = m.origin + shift
    state.grip = beside + shift


def _fall_off(m: Motion, falling: SceneObject, u: float) -> None:
    assert m.origin is not None
    edge = m.sign * (EDGE_X + 0.02)
    if u <= 0.5:
        x = m.origin[0] + (edge - m.origin[0]) * (u / 0.5) ** 1.3
        falling.position = np.array([x, m.origin[1], TABLE_Z])
        falling.tilt = m.sign * 0.35 * max(0.0, u / 0.5 - 0.7) / 0.3
        return
    s = (u - 0.5) / 0.5
    falling.place = "floor"
    fallen = min(1.0, (s * 1.15) ** 2)
    rest = falling.grip_width  # it comes to lie on its side
    height = rest + (TABLE_Z - rest) * (1 - fallen)
    falling.position = np.array([edge + m.sign * 0.1 * s, m.origin[1], height])
    falling.tilt = m.sign * (0.35 + 1.2 * min(1.0, s * 1.15))


def _roll(m: Motion, rolling: SceneObject, u: float) -> None:
    assert m.origin is not None
    shift = m.sign * m.amount * ease(u)
    rolling.position = m.origin + np.array([shift, 0.0, 0.0])
    rolling.tilt = shift / (rolling.height / 2) if rolling.lying else 0.0


def _walk(m: Motion, state: SceneState, u: float) -> None:
    state.person_from = m.sign * PERSON_OUT
    if m.kind == "person enters":
        state.person_stay = m.level
    state.person = u if m.kind == "person enters" else 1 - u
    state.walked = u * 2.0 * m.duration


def apply_motion(m: Motion, state: SceneState, u: float) -> None:
    """Set the scene's state to progress `u` (0..1) of the motion."""
    kind, moved = m.kind, m.object
    if moved is not None:
        if kind == "pick up":
            _pick_up(m, state, moved, u)
        elif kind == "put down":
            _put_down(m, state, moved, u)
        elif kind == "drop":
            _drop(m, state, moved, u)
        elif kind in ("push left", "push right"):
            _push(m, state, moved, u)
        elif kind == "fall off":
            _fall_off(m, moved, u)
        else:
            _roll(m, moved, u)
    elif kind in ("door opens", "door closes"):
        state.door = ease(u) if kind == "door opens" else 1 - ease(u)
    elif kind in ("lights on", "lights off"):
        state.lights = float((u >= 0.5) == (kind == "lights on"))
    elif kind in ("person enters", "person leaves"):
        _walk(m, state, u)
    elif kind in ("turn left", "turn right"):
        state.yaw = m.level + m.sign * m.amount * ease(u)
    else:
        state.forward = m.level + m.sign * m.amount * ease(u)


def return_gripper(state: SceneState, start: tuple[Array, float, float], since: float) -> None:
    """Move the gripper home if it is empty.

    Args:
        state: is changed.
        start: the gripper's place [3], yaw and width when the last event ended.
        since: seconds since then.
    """
    if state.held is not None:
        return
    u = since / _HOMING_S
    state.grip = blend(start[0], state.home, u)
    state.grip_yaw = blend(start[1], math.pi / 2, u)
    state.grip_width = blend(start[2], _OPEN, u)
