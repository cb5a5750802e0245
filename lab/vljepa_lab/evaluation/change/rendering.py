"""Long scenes of the simulated world, rendered once and kept: frames and what was true.

A scene is one room watched at nano's frame rate. The frames are wider than the model's input, so
that a turn of the camera can be cut from them. Each scene is a file of its own, written at its end:
an interrupted run goes on with the next one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vljepa_lab.world.captions import state_keys
from vljepa_lab.world.records import INTERVAL, SPLITS, Event
from vljepa_lab.world.renderer import Renderer
from vljepa_lab.world.scene import Scene
from vljepa_ros.files import atomic_write

HEIGHT_PX, MARGIN_PX = 128, 32  # the margin lies on either side
_SPLIT = "test_a"
_KINDS = ("gap3", "gap12", "gap60", "still")
_FIRST_SEED = 500_000  # far from the scenes that `vljepa eval` asks about
_FIRST_TEXTURES = SPLITS.index(_SPLIT) * 1_000_000 + 500_000
_NEVER_S = 1e15  # first event of a scene in which nothing happens


@dataclass(frozen=True)
class ScenePlan:
    """Which scene, for how long.

    kind: gap3, gap12, gap60, or still, where nothing happens. number: of the scene, from 0. gap:
    mean seconds from the end of an event to the next one.
    """

    kind: str
    number: int
    gap: float
    seconds: float

    @property
    def name(self) -> str:
        """Stem of the files."""
        return f"{self.kind}-{self.seconds:g}s-{self.number:04d}"

    @property
    def seed(self) -> int:
        """Seed of the room and of all that happens; no two kinds share one."""
        return _FIRST_SEED + 10_000 * _KINDS.index(self.kind) + self.number

    def frames_file(self, folder: Path) -> Path:
        """Where the frames are kept; written last: once it is there, the scene is finished."""
        return folder / f"{self.name}.npy"

    def record_file(self, folder: Path) -> Path:
        """Where stamps, events and states are kept."""
        return folder / f"{self.name}.json"


@dataclass(frozen=True)
class RenderedScene:
    """A scene that was rendered.

    frames: [T, HEIGHT_PX, HEIGHT_PX + 2 MARGIN_PX, 3] uint8 RGB, memory-mapped. stamps: [T]
    seconds. events: in order. states: (seconds, keys of what can be seen), from then on.
    """

    frames: NDArray[np.uint8]
    stamps: NDArray[np.float64]
    events: tuple[Event, ...]
    states: tuple[tuple[float, tuple[str, ...]], ...]


def render_scene(plan: ScenePlan, folder: Path) -> None:
    """Render a scene into `folder`, or leave it where it is there.

    Raises:
        WorldError: mujoco is missing or cannot render.
    """
    if plan.frames_file(folder).exists():
        return
    textures = _FIRST_TEXTURES + plan.seed - _FIRST_SEED
    renderer = Renderer(HEIGHT_PX + 2 * MARGIN_PX, HEIGHT_PX, textures=textures)
    try:
        frames, record = _render_frames(plan, renderer)
    finally:
        renderer.close()
    with atomic_write(plan.record_file(folder), "w") as file:
        json.dump(record, file)
    with atomic_write(plan.frames_file(folder)) as file:
        np.save(file, frames)


def _render_frames(
    plan: ScenePlan, renderer: Renderer
) -> tuple[NDArray[np.uint8], dict[str, object]]:
    first = plan.gap if plan.kind != "still" else _NEVER_S
    scene = Scene(renderer, plan.seed, _SPLIT, gap=plan.gap, first=first)
    count = int(plan.seconds / INTERVAL)
    phase = float(np.random.default_rng([plan.seed, 2]).uniform(0, INTERVAL))
    frames = np.empty((count, HEIGHT_PX, HEIGHT_PX + 2 * MARGIN_PX, 3), np.uint8)
    stamps, states, known = [], [], -1
    for index in range(count):
        stamp = phase + index * INTERVAL
        scene.advance(stamp)
        frames[index] = scene.render()
        stamps.append(round(stamp, 4))
        ended = len(scene.events)
        if ended > known and scene.present is None:
            since = scene.events[-1].end if ended else 0.0
            states.append((since, state_keys(scene.state())))
            known = ended
    events = [vars(event) for event in scene.all_events()]
    return frames, {"stamps": stamps, "events": events, "states": states}


def load_scene(plan: ScenePlan, folder: Path) -> RenderedScene:
    """A scene that `render_scene` has written.

    Raises:
        FileNotFoundError: it has not been rendered.
    """
    raw = json.loads(plan.record_file(folder).read_text(encoding="utf-8"))
    return RenderedScene(
        np.load(plan.frames_file(folder), mmap_mode="r"),
        np.array(raw["stamps"]),
        tuple(Event(**event) for event in raw["events"]),
        tuple((float(since), tuple(keys)) for since, keys in raw["states"]),
    )
