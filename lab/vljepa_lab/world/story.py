"""What happens in one room over time: events one after another, each a function of its progress."""

from __future__ import annotations

import numpy as np

from vljepa_lab.world.animation import apply, go_home
from vljepa_lab.world.cast import Cast
from vljepa_lab.world.events import Motion, plan
from vljepa_lab.world.records import Event


class Story:
    """The cast of a scene and what it does; nothing here is drawn.

    Args:
        cast: as it is at time 0.
        rng: draws all that happens from now on.
        gap: mean seconds between the end of an event and the next one.
        first: seconds until the first event.
    """

    def __init__(self, cast: Cast, rng: np.random.Generator, gap: float, first: float) -> None:
        self.cast, self.gap = cast, gap
        self.events: list[Event] = []
        self.time = 0.0
        self._rng = rng
        self._motion: Motion | None = None
        self._last: Motion | None = None
        self._rest = cast.gripper()
        self._next = first

    @property
    def present(self) -> Event | None:
        """The event that is going on now; its end is known beforehand."""
        m = self._motion
        return None if m is None else _event(m)

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
                if t < self._next:
                    self._idle(t)
                    break
                self._idle(self._next)
                last = self._last.kind if self._last else ""
                self._motion = plan(self.cast, self._rng, self._next, last)
                if self._motion is None:
                    self._next += 0.5
            elif t >= m.end:
                apply(m, self.cast, 1.0)
                self.events.append(_event(m))
                self._motion, self._last = None, m
                self._rest = self.cast.gripper()
                self._next = m.end + self.gap * float(self._rng.uniform(0.35, 1.65))
            else:
                apply(m, self.cast, (t - m.start) / m.duration)
                break
        self.time = t

    def _idle(self, t: float) -> None:
        if self._last is not None:
            go_home(self._last, self.cast, t - self._last.end, self._rest)


def _event(m: Motion) -> Event:
    return Event(m.kind, m.thing.name if m.thing else "", m.start, m.end)
