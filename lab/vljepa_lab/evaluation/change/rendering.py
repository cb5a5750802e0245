"""Long scenes of the simulated world, rendered once and kept: frames and what was true.

A scene is one room watched at nano's frame rate. The frames are wider than the model's input, so
that a turn of the camera can be cut from them. Each scene is a file of its own, written at its end:
an interrupted run goes on with the next one.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import vljepa_lab.world
from vljepa_lab.world.captions import state_keys
from vljepa_lab.world.clips import INTERVAL
from vljepa_lab.world.renderer import Renderer
from vljepa_lab.world.scene import Scene
from vljepa_lab.world.state import SPLITS, Event

HEIGHT, MARGIN = 128, 32  # pixels; the margin lies on either side
_SPLIT = "test_a"
_KINDS = ("gap3", "gap12", "gap60", "still")
_FIRST_SEED = 500_000  # far from the scenes that `vljepa eval` asks about
_FIRST_TEXTURES = SPLITS.index(_SPLIT) * 1_000_000 + 500_000
# modules of the world that have no part in drawing
_TEXTS = frozenset(
    f"{name}.py"
    for name in (
        "__init__",
        "candidates",
        "captions",
        "clips",
        "dataset",
        "demo_clip",
        "event_wordings",
        "live",
        "questions",
        "unseen_wordings",
        "wide_wordings",
        "wordings",
    )
)


@dataclass(frozen=True)
class ScenePlan:
    """Which scene, for how long. kind: gap3, gap12, gap60, or still, where nothing happens. number:
    of the scene, from 0. gap: mean seconds from the end of an event to the next one."""

    kind: str
    number: int
    gap: float
    seconds: float

    @property
    def name(self) -> str:
        """Of the files."""
        return f"{self.kind}-{self.seconds:g}s-{self.number:04d}"

    @property
    def seed(self) -> int:
        """Of the room and of all that happens; no two kinds share one."""
        return _FIRST_SEED + 10_000 * _KINDS.index(self.kind) + self.number


@dataclass(frozen=True)
class RenderedScene:
    """frames: [T, HEIGHT, HEIGHT + 2 MARGIN, 3] uint8 RGB, memory-mapped. stamps: [T] seconds.
    events: in order. states: (seconds, keys of what can be seen), from then on."""

    plan: ScenePlan
    frames: NDArray[np.uint8]
    stamps: NDArray[np.float64]
    events: tuple[Event, ...]
    states: tuple[tuple[float, tuple[str, ...]], ...]


def cache_folder() -> Path:
    """Where scenes are kept. Its name changes with the code that draws them."""
    digest = hashlib.sha256()
    for file in sorted(Path(vljepa_lab.world.__file__).parent.glob("*.py")):
        if file.name not in _TEXTS:
            digest.update(file.read_bytes())
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "vljepa_ros" / f"streams-{digest.hexdigest()[:10]}"


def render(plan: ScenePlan, folder: Path) -> None:
    """Render a scene into `folder`, or leave it where it is there.

    :raises WorldError: mujoco is missing or cannot render.
    """
    array, record = _paths(plan, folder)
    if array.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    textures = _FIRST_TEXTURES + plan.seed - _FIRST_SEED
    drawn = Renderer(HEIGHT + 2 * MARGIN, HEIGHT, textures=textures)
    try:
        frames, stamps, room, states = _watch(plan, drawn)
    finally:
        drawn.close()
    happened = [vars(event) for event in room.all_events()]
    text = json.dumps({"stamps": stamps, "events": happened, "states": states})
    part = record.with_suffix(f".{os.getpid()}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(record)
    part = array.with_suffix(f".{os.getpid()}.part")
    with part.open("wb") as file:
        np.save(file, frames)
    part.replace(array)  # last: the scene counts as finished once it is there


def _watch(
    plan: ScenePlan, drawn: Renderer
) -> tuple[NDArray[np.uint8], list[float], Scene, list[tuple[float, tuple[str, ...]]]]:
    first = plan.gap if plan.kind != "still" else 1e15  # the first event comes after all the rest
    room = Scene(drawn, plan.seed, _SPLIT, gap=plan.gap, first=first)
    count = int(plan.seconds / INTERVAL)
    phase = float(np.random.default_rng([plan.seed, 2]).uniform(0, INTERVAL))
    frames = np.empty((count, HEIGHT, HEIGHT + 2 * MARGIN, 3), np.uint8)
    stamps, states, known = [], [], -1
    for index in range(count):
        stamp = phase + index * INTERVAL
        room.advance(stamp)
        frames[index] = room.render()
        stamps.append(round(stamp, 4))
        ended = len(room.events)
        if ended > known and room.present is None:
            since = room.events[-1].end if ended else 0.0
            states.append((since, state_keys(room.state())))
            known = ended
    return frames, stamps, room, states


def load(plan: ScenePlan, folder: Path) -> RenderedScene:
    """A scene that `render` has written.

    :raises FileNotFoundError: it has not been rendered.
    """
    array, record = _paths(plan, folder)
    raw = json.loads(record.read_text(encoding="utf-8"))
    return RenderedScene(
        plan,
        np.load(array, mmap_mode="r"),
        np.array(raw["stamps"]),
        tuple(Event(**event) for event in raw["events"]),
        tuple((float(since), tuple(keys)) for since, keys in raw["states"]),
    )


def missing(plans: Sequence[ScenePlan], folder: Path) -> list[ScenePlan]:
    """Those that are still to be rendered."""
    return [plan for plan in plans if not _paths(plan, folder)[0].exists()]


def _paths(plan: ScenePlan, folder: Path) -> tuple[Path, Path]:
    return folder / f"{plan.name}.npy", folder / f"{plan.name}.json"
