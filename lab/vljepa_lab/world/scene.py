"""A scene of the simulated world in continuous time: advance it, look at it, ask what is true."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from vljepa_lab.world.cast import Cast, Thing
from vljepa_lab.world.decor import decorate
from vljepa_lab.world.layout import Room, furnish
from vljepa_lab.world.model_xml import DOOR_HEIGHT, SLOTS, slot_name
from vljepa_lab.world.records import (
    COLORS,
    NEVER_TRAINED,
    SHAPES,
    SPLITS,
    Event,
    ObjectState,
    State,
    trained_pairs,
)
from vljepa_lab.world.renderer import Renderer
from vljepa_lab.world.sight import pair, seen
from vljepa_lab.world.staging import Sensor, Stage
from vljepa_lab.world.story import Story

_SPLIT_NUMBER = {name: i for i, name in enumerate(SPLITS)}


class Scene:
    """One room with its story, deterministic from (seed, split, gap, first).

    What happens does not depend on how often it is looked at. The renderer is borrowed: only the
    newest scene made on it may be advanced.

    Args:
        renderer: where it is drawn; decides the image size and the texture set.
        seed: any non-negative integer.
        split: train, val (trained pairs, trained kinds of room), test_a (trained pairs, held-out
            kinds of room), test_b (as test_a, half of the objects of never-trained pairs).
        gap: mean seconds between the end of an event and the next one.
        first: the first event starts so many seconds in at most.
        furnished: more furniture, bright panes and other light than plain rooms have (`decor`);
            training rooms only.

    Raises:
        ValueError: an unknown split, a gap that is not positive, or furnished in another split.
    """

    def __init__(
        self,
        renderer: Renderer,
        seed: int,
        split: str = "train",
        gap: float = 2.2,
        first: float = 2.0,
        furnished: bool = False,
    ) -> None:
        if split not in SPLITS:
            raise ValueError(f"split {split!r} is unknown; allowed are {', '.join(SPLITS)}")
        if not gap > 0:
            raise ValueError(f"gap must be positive seconds, got {gap}")
        if furnished and split != "train":
            raise ValueError(f"only rooms of the split train can be furnished, not of {split}")
        self.renderer, self.seed, self.split = renderer, seed, split
        rng = np.random.default_rng([seed, _SPLIT_NUMBER[split]])
        room = furnish(renderer, rng, held_out=split.startswith("test"))
        # A generator of its own: what happens in the room is the same either way.
        extra = np.random.default_rng([seed, 3]) if furnished else None
        self.room: Room = decorate(renderer, room, extra)
        side = -self.room.door_side
        home = np.array([0.50 * side, 0.30, 1.22])
        hinge_left = bool(rng.random() < 0.5)
        self.cast = Cast(
            home=home, door_side=self.room.door_side, grip=home.copy(), grip_width=0.13
        )
        self._fill(rng)
        self._stage = Stage(renderer, self.room, self.cast, seed, hinge_left)
        self._story = Story(self.cast, rng, gap, float(rng.uniform(0.0, first)))
        self._sensor = Sensor(self.room, renderer.width * renderer.height * 3, seed)

    # ------------------------------------------------------------------ setting up

    def _pair(self, rng: np.random.Generator) -> tuple[str, str]:
        if self.split == "test_b" and rng.random() < 0.5:
            pairs = sorted(NEVER_TRAINED)
        else:
            pairs = trained_pairs()
        return pairs[int(rng.integers(len(pairs)))]

    def _add(self, rng: np.random.Generator, pair: tuple[str, str]) -> Thing | None:
        things = self.cast.things
        color, shape = pair
        same = [o for o in things if o.shape == shape]
        position = self.cast.free_position(rng)
        if position is None or len(same) >= SLOTS or any(o.color == color for o in same):
            return None
        body = slot_name(shape, len(same))
        tone = np.array(COLORS[color]) * rng.uniform(0.88, 1.1) + rng.normal(0, 0.02, 3)
        self.renderer.paint_body(body, tone.clip(0, 1))
        lying = shape == "can" and bool(rng.random() < 0.5)
        yaw = 0.0 if lying else float(rng.uniform(-math.pi, math.pi))
        thing = Thing(color, shape, body, position, yaw, lying)
        things.append(thing)
        return thing

    def _fill(self, rng: np.random.Generator) -> None:
        cast, renderer = self.cast, self.renderer
        for shape in SHAPES:
            for k in range(SLOTS):
                renderer.show(slot_name(shape, k), False)
        wanted = int(rng.integers(1, 6))
        rolling = bool(rng.random() < 0.4)  # else hardly anything would ever roll
        for _ in range(60):
            pair = self._pair(rng)
            if rolling and not cast.things and pair[1] not in ("ball", "can"):
                continue
            if len(cast.things) < wanted:
                self._add(rng, pair)
        if not cast.things:
            self._add(rng, trained_pairs()[int(rng.integers(len(trained_pairs())))])
        for thing in cast.things:
            renderer.show(thing.body, True)
        cast.door = float(rng.random() < 0.5)
        cast.lights = float(rng.random() < 0.65)
        cast.person = float(rng.random() < 0.5)
        cast.person_from = 1.9 * int(rng.choice([-1, 1]))
        cast.person_stay = -cast.door_side * float(rng.uniform(0.05, 0.75))
        if cast.things and rng.random() < 0.3:
            thing = cast.things[int(rng.integers(len(cast.things)))]
            cast.held, thing.place = thing, "gripper"
            cast.grip_yaw, cast.grip_width = thing.yaw % math.pi, thing.grip_width + 0.012
            cast.grip = thing.position + np.array([0.0, 0.0, thing.grip_height + 0.27])
            thing.position = thing.position + np.array([0.0, 0.0, 0.27])

    # ------------------------------------------------------------------ time

    @property
    def time(self) -> float:
        """Seconds of scene time."""
        return self._story.time

    @property
    def events(self) -> list[Event]:
        """The events that ended."""
        return self._story.events

    @property
    def present(self) -> Event | None:
        """The event that is going on now; its end is known beforehand."""
        return self._story.present

    def all_events(self) -> list[Event]:
        """The events that ended, and the present one."""
        present = self.present
        return [*self.events, present] if present else list(self.events)

    def advance(self, t: float) -> None:
        """Go on to scene time `t`, seconds.

        Raises:
            ValueError: `t` lies in the past.
        """
        self._story.advance(t)

    # ------------------------------------------------------------------ looking

    def render(self) -> npt.NDArray[np.uint8]:
        """The picture now, RGB uint8 [height, width, 3]."""
        self._stage.set(self.time)
        return self._sensor(self.renderer.picture(), self.time)

    # ------------------------------------------------------------------ truth

    def state(self) -> State:
        """What is true now, with the places of things in the image; call it after `render`."""
        r, cast = self.renderer, self.cast
        bodies = r.bodies()
        objects = []
        for o in cast.things:
            uv, size, visible = seen(r, bodies, o.body)
            x, y, z = (round(float(v), 3) for v in o.position)
            objects.append(ObjectState(o.color, o.shape, o.place, (x, y, z), uv, size, visible))
        door = np.array([[self.room.door_x, self.room.wall_y, DOOR_HEIGHT / 2]])
        door_uv = pair(r.project(door)[0])
        grip_uv = pair(r.project(cast.grip[None] + [[0, 0, 0.1]])[0])
        person_uv, person_visible = (9.0, 9.0), 0.0
        if cast.person > 0.001:
            person_uv, _, person_visible = seen(r, bodies, "person")
        return State(
            stamp=round(self.time, 4),
            objects=tuple(objects),
            held=cast.held.name if cast.held else "",
            door=round(cast.door, 3),
            door_uv=door_uv,
            door_visible=abs(door_uv[0]) < 0.92,
            lights=cast.lights > 0.5,
            person=round(cast.person, 3),
            person_uv=person_uv,
            person_visible=person_visible,
            gripper_uv=grip_uv,
            gripper_visible=abs(grip_uv[0]) < 0.95 and abs(grip_uv[1]) < 0.95,
            yaw=round(cast.yaw, 3),
            forward=round(cast.forward, 3),
        )

    def record(self) -> dict[str, Any]:
        """What identifies the scene, and its events so far, as JSON types."""
        return {
            "seed": self.seed,
            "split": self.split,
            "events": [vars(e) for e in self.all_events()],
        }
