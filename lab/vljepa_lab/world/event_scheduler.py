"""What happens in one room over time: events one after another, each possible when it begins."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from vljepa_lab.world.animation import Motion, apply_motion, return_gripper
from vljepa_lab.world.records import Event
from vljepa_lab.world.scene_state import EDGE_X, REACH_X, SceneState

_DRAWS = 10  # kinds that are tried before the room is left alone for a while
_RETRY_S = 0.5  # so long


def _weights(state: SceneState) -> dict[str, float]:
    """How likely each kind is now; rare preconditions weigh more, so that all kinds occur."""
    table = state.on_table()
    w: dict[str, float] = {}
    if state.held is None and table:
        w |= {"pick up": 4.5, "push left": 4.5, "push right": 4.5, "fall off": 2.0}
        if any(o.rolls for o in table):
            w["roll"] = 12.0
    if state.held is not None:
        w |= {"put down": 6.5, "drop": 6.0}
    w["door opens" if state.door < 0.5 else "door closes"] = 2.0
    w["lights off" if state.lights > 0.5 else "lights on"] = 2.0
    w["person enters" if state.person < 0.5 else "person leaves"] = 2.2
    if state.yaw < 0.03:
        w["turn left"] = 1.4
    if state.yaw > -0.03:
        w["turn right"] = 1.4
    if state.forward < 0.05:
        w["move forward"] = 1.4
    if state.forward > -0.1:
        w["move back"] = 1.4
    return w


def _choose_motion(
    state: SceneState, rng: np.random.Generator, t: float, last: str
) -> Motion | None:
    """Draw the motion that starts at `t`, or None where all draws were impossible.

    The kind that happened last is chosen again only where nothing else is possible.
    """
    likely = _weights(state)
    if len(likely) > 1:
        likely.pop(last, None)
    kinds = list(likely)
    p = np.array(list(likely.values()))
    for _ in range(_DRAWS):
        kind = kinds[int(rng.choice(len(kinds), p=p / p.sum()))]
        motion = _draw_motion(kind, state, rng, t)
        if motion is not None:
            return motion
    return None


def _scripted_motion(
    kind: str, state: SceneState, rng: np.random.Generator, t: float
) -> Motion | None:
    """Draw how a motion of the kind goes, or None where it is impossible now."""
    if kind not in _weights(state):
        return None
    draws = (_draw_motion(kind, state, rng, t) for _ in range(_DRAWS))
    return next((motion for motion in draws if motion is not None), None)


def _draw_motion(kind: str, state: SceneState, rng: np.random.Generator, t: float) -> Motion | None:
    """Draw the parameters of a motion of one kind; None where they are impossible."""
    duration = float(rng.uniform(1.3, 2.4))
    moved = origin = target = None
    sign, amount, level = 0, 0.0, 0.0
    if kind in ("pick up", "push left", "push right", "fall off", "roll"):
        options = [o for o in state.on_table() if kind != "roll" or o.rolls]
        moved = options[int(rng.integers(len(options)))]
        origin = moved.position.copy()
        x = float(origin[0])
        if kind in ("push left", "push right", "roll"):
            sign = {"push left": -1, "push right": 1}.get(kind, int(rng.choice([-1, 1])))
            amount = float(rng.uniform(0.3, 0.5) if kind == "roll" else rng.uniform(0.2, 0.34))
            to_x = x + sign * amount
            if abs(to_x) > REACH_X + 0.04 or not state.clear_path(moved, to_x):
                return None
        if kind == "fall off":
            sign = 1 if x > 0 else -1
            if abs(x) < 0.12 or not state.clear_path(moved, sign * EDGE_X):
                return None
            duration = min(duration, 2.0)
    elif kind in ("put down", "drop"):
        moved = state.held
        target = state.free_position(rng)
        if target is None:
            return None
    elif kind in ("turn left", "turn right"):
        level = state.yaw
        sign = 1 if kind == "turn left" else -1
        amount = min(float(rng.uniform(0.18, 0.30)), 0.17 - sign * level)
        if amount < 0.14:
            return None
    elif kind in ("move forward", "move back"):
        level = state.forward
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
            level = -state.door_side * float(rng.uniform(0.05, 0.75))
    return Motion(
        kind, t, duration, *state.gripper(),
        object=moved, origin=origin, target=target, sign=sign, amount=amount, level=level,
    )  # fmt: skip


class EventScheduler:
    """Draws one event after another and moves the scene's state; nothing here is rendered.

    Args:
        state: as it is at time 0; is changed as time goes on.
        rng: draws all that happens from now on.
        gap: mean seconds between the end of an event and the next one.
        first: seconds until the first event.
        script: (onset in seconds, kind) of all that happens, in order, in place of what `gap` and
            `first` draw; what is impossible at its time is left out.

    Attributes:
        events: those that ended.
        time: seconds of scene time.
    """

    def __init__(
        self,
        state: SceneState,
        rng: np.random.Generator,
        gap: float,
        first: float,
        script: Sequence[tuple[float, str]] | None = None,
    ) -> None:
        self.events: list[Event] = []
        self.time = 0.0
        self._state, self._rng, self._gap, self._next = state, rng, gap, first
        self._motion: Motion | None = None
        self._last: Motion | None = None
        self._released = state.gripper()  # the gripper when the last event ended
        self._script = None if script is None else list(script)
        if self._script is not None:
            self._next = self._next_onset(0.0)

    @property
    def present(self) -> Event | None:
        """The event that is going on now; its end is known beforehand."""
        return None if self._motion is None else _event(self._motion)

    def advance(self, t: float) -> None:
        """Go on to scene time `t`, seconds.

        Raises:
            ValueError: `t` lies in the past.
        """
        if t < self.time:
            raise ValueError(f"a scene cannot go back: at {self.time:.3f} s, asked for {t:.3f} s")
        while True:
            m = self._motion
            if m is None:
                self._idle(min(t, self._next))
                if t < self._next:
                    break
                self._motion = self._begin(self._next)
            elif t >= m.end:
                apply_motion(m, self._state, 1.0)
                self.events.append(_event(m))
                self._motion, self._last = None, m
                self._released = self._state.gripper()
                self._next = self._next_onset(m.end)
            else:
                apply_motion(m, self._state, (t - m.start) / m.duration)
                break
        self.time = t

    def _begin(self, t: float) -> Motion | None:
        """The motion that starts at `t`; None, and a later `_next`, where it is impossible."""
        if self._script is None:
            last = self._last.kind if self._last else ""
            motion = _choose_motion(self._state, self._rng, t, last)
            if motion is None:
                self._next += _RETRY_S
        else:
            motion = _scripted_motion(self._script.pop(0)[1], self._state, self._rng, t)
            if motion is None:
                self._next = self._next_onset(t)
        return motion

    def _next_onset(self, free: float) -> float:
        """When the next event begins; free: seconds, from then on it may."""
        if self._script is None:
            return free + self._gap * float(self._rng.uniform(0.35, 1.65))
        return max(free, self._script[0][0]) if self._script else math.inf

    def _idle(self, t: float) -> None:
        if self._last is not None:
            return_gripper(self._state, self._released, t - self._last.end)


def _event(m: Motion) -> Event:
    return Event(m.kind, m.object.name if m.object else "", m.start, m.end)
