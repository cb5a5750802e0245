"""A scene of the simulated world in continuous time: advance it, look at it, ask what is true."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from vljepa_lab.world.animation import HOLDING, LIFT
from vljepa_lab.world.decor import decorate
from vljepa_lab.world.event_scheduler import EventScheduler
from vljepa_lab.world.mjcf import DOOR_HEIGHT, SLOTS, slot_name
from vljepa_lab.world.pose_bodies import pose_bodies
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
from vljepa_lab.world.renderer import Renderer, rounded_pair
from vljepa_lab.world.room import Room, Sensor, draw_room
from vljepa_lab.world.scene_state import PERSON_OUT, SceneObject, SceneState


class Scene:
    """One room and what happens in it, deterministic from its arguments.

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
        script: what happens and when, instead of what is drawn (see `EventScheduler`).

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
        script: Sequence[tuple[float, str]] | None = None,
    ) -> None:
        if split not in SPLITS:
            raise ValueError(f"split {split!r} is unknown; allowed are {', '.join(SPLITS)}")
        if not gap > 0:
            raise ValueError(f"gap must be positive seconds, got {gap}")
        if furnished and split != "train":
            raise ValueError(f"only rooms of the split train can be furnished, not of {split}")
        self.renderer, self.seed, self.split = renderer, seed, split
        rng = np.random.default_rng([seed, SPLITS.index(split)])
        room = draw_room(renderer, rng, held_out=split.startswith("test"))
        # A generator of its own: what happens in the room is the same either way.
        extra = np.random.default_rng([seed, 3]) if furnished else None
        self.room: Room = decorate(renderer, room, extra)
        home = np.array([0.50 * -room.door_side, 0.30, 1.22])
        hinge_left = bool(rng.random() < 0.5)
        self.world = SceneState(home, room.door_side, hinge_left, grip=home.copy(), grip_width=0.13)
        self._fill(rng)
        start = float(rng.uniform(0.0, first))
        self._scheduler = EventScheduler(self.world, rng, gap, start, script)
        self._sensor = Sensor(self.room, renderer.width * renderer.height * 3, seed)

    # ------------------------------------------------------------------ setting up

    def _draw_pair(self, rng: np.random.Generator) -> tuple[str, str]:
        if self.split == "test_b" and rng.random() < 0.5:
            pairs = sorted(NEVER_TRAINED)
        else:
            pairs = trained_pairs()
        return pairs[int(rng.integers(len(pairs)))]

    def _add_object(self, rng: np.random.Generator, color: str, shape: str) -> None:
        """Put an object on the table, unless it has no place or there is one like it."""
        same = [o for o in self.world.objects if o.shape == shape]
        position = self.world.free_position(rng)
        if position is None or len(same) >= SLOTS or any(o.color == color for o in same):
            return
        body = slot_name(shape, len(same))
        tone = np.array(COLORS[color]) * rng.uniform(0.88, 1.1) + rng.normal(0, 0.02, 3)
        self.renderer.paint_body(body, tone.clip(0, 1))
        lying = shape == "can" and bool(rng.random() < 0.5)
        yaw = 0.0 if lying else float(rng.uniform(-math.pi, math.pi))
        self.world.objects.append(SceneObject(color, shape, body, position, yaw, lying))

    def _fill(self, rng: np.random.Generator) -> None:
        """Draw how the scene begins."""
        world, renderer = self.world, self.renderer
        for shape in SHAPES:
            for k in range(SLOTS):
                renderer.show(slot_name(shape, k), False)
        wanted = int(rng.integers(1, 6))
        rolling = bool(rng.random() < 0.4)  # else hardly anything would ever roll
        for _ in range(60):
            color, shape = self._draw_pair(rng)
            if rolling and not world.objects and shape not in ("ball", "can"):
                continue
            if len(world.objects) < wanted:
                self._add_object(rng, color, shape)
        if not world.objects:
            pairs = trained_pairs()
            self._add_object(rng, *pairs[int(rng.integers(len(pairs)))])
        for o in world.objects:
            renderer.show(o.body, True)
        world.door = float(rng.random() < 0.5)
        world.lights = float(rng.random() < 0.65)
        world.person = float(rng.random() < 0.5)
        world.person_from = PERSON_OUT * int(rng.choice([-1, 1]))
        world.person_stay = -world.door_side * float(rng.uniform(0.05, 0.75))
        if world.objects and rng.random() < 0.3:
            held = world.objects[int(rng.integers(len(world.objects)))]
            world.held, held.place = held, "gripper"
            world.grip_yaw, world.grip_width = held.yaw % math.pi, held.grip_width + HOLDING
            world.grip = held.position + np.array([0.0, 0.0, held.grip_height + LIFT])
            held.position = held.position + np.array([0.0, 0.0, LIFT])

    # ------------------------------------------------------------------ time

    @property
    def time(self) -> float:
        """Seconds of scene time."""
        return self._scheduler.time

    @property
    def events(self) -> list[Event]:
        """The events that ended."""
        return self._scheduler.events

    @property
    def present(self) -> Event | None:
        """The event that is going on now; its end is known beforehand."""
        return self._scheduler.present

    def all_events(self) -> list[Event]:
        """The events that ended, and the present one."""
        present = self.present
        return [*self.events, present] if present else list(self.events)

    def advance(self, t: float) -> None:
        """Go on to scene time `t`, seconds.

        Raises:
            ValueError: `t` lies in the past.
        """
        self._scheduler.advance(t)

    # ------------------------------------------------------------------ looking

    def render(self) -> npt.NDArray[np.uint8]:
        """The image now, RGB uint8 [height, width, 3]."""
        pose_bodies(self.renderer, self.room, self.world, self.seed, self.time)
        return self._sensor(self.renderer.render_image(), self.time)

    def state(self) -> State:
        """What is true now, with the places of things in the image; call it after `render`."""
        r, world = self.renderer, self.world
        body_ids = r.render_body_ids()
        objects = []
        for o in world.objects:
            uv, size, visible = r.visible_fraction(body_ids, o.body)
            x, y, z = (round(float(v), 3) for v in o.position)
            objects.append(ObjectState(o.color, o.shape, o.place, (x, y, z), uv, size, visible))
        door = np.array([[self.room.door_x, self.room.wall_y, DOOR_HEIGHT / 2]])
        door_uv = rounded_pair(r.project(door)[0])
        grip_uv = rounded_pair(r.project(world.grip[None] + [[0, 0, 0.1]])[0])
        person_uv, person_visible = (9.0, 9.0), 0.0
        if world.person > 0.001:
            person_uv, _, person_visible = r.visible_fraction(body_ids, "person")
        return State(
            stamp=round(self.time, 4),
            objects=tuple(objects),
            held=world.held.name if world.held else "",
            door=round(world.door, 3),
            door_uv=door_uv,
            door_visible=abs(door_uv[0]) < 0.92,
            lights=world.lights > 0.5,
            person=round(world.person, 3),
            person_uv=person_uv,
            person_visible=person_visible,
            gripper_uv=grip_uv,
            gripper_visible=abs(grip_uv[0]) < 0.95 and abs(grip_uv[1]) < 0.95,
            yaw=round(world.yaw, 3),
            forward=round(world.forward, 3),
        )

    def record(self) -> dict[str, Any]:
        """What identifies the scene, and its events so far, as JSON types."""
        return {
            "seed": self.seed,
            "split": self.split,
            "events": [vars(e) for e in self.all_events()],
        }
