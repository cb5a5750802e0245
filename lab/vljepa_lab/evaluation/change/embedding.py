"""Long scenes of the simulated world, rendered once, and embedded as `perception_node` does it.

A scene is one room watched at nano's frame rate. The frames are wider than the model's input, so
that a turn of the camera can be cut from them. Each scene is a file of its own, written at its end,
with an embedding for each clip beside it, by model: another checkpoint costs the model's time
alone, and an interrupted run continues where it stopped.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vljepa_lab.evaluation.change.streams import draw_disturbances, undisturbed
from vljepa_lab.world.captions import state_keys
from vljepa_lab.world.records import INTERVAL, SPLITS, Event
from vljepa_lab.world.renderer import Renderer
from vljepa_lab.world.scene import Scene
from vljepa_ros.engines.load import load_engine
from vljepa_ros.engines.protocol import Engine
from vljepa_ros.files import atomic_write
from vljepa_ros.perception.ring import ClipRing

HEIGHT_PX, MARGIN_PX = 128, 32  # the margin lies on either side
_SPLIT = "test_a"
_KINDS = ("gap3", "gap12", "gap60", "still")
_FIRST_SEED = 500_000  # far from the scenes that `vljepa eval` asks about
_FIRST_TEXTURES = SPLITS.index(_SPLIT) * 1_000_000 + 500_000
_NEVER_S = 1e15  # first event of a scene in which nothing happens
SCENES_PER_BATCH = 6  # whose clips go through the model together

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class ScenePlan:
    """A scene to render, and its length.

    Attributes:
        kind: gap3, gap12, gap60, or still, where nothing happens.
        number: of the scene, from 0.
        gap: mean seconds from the end of an event to the next one.
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
    """A rendered scene.

    Attributes:
        frames: [T, HEIGHT_PX, HEIGHT_PX + 2 MARGIN_PX, 3] uint8 RGB, memory-mapped.
        stamps: [T] seconds.
        events: in order.
        states: (seconds, keys of what can be seen), from then on.
    """

    frames: NDArray[np.uint8]
    stamps: NDArray[np.float64]
    events: tuple[Event, ...]
    states: tuple[tuple[float, tuple[str, ...]], ...]


def render_scene(plan: ScenePlan, folder: Path) -> None:
    """Render a scene into `folder`.

    Raises:
        WorldError: mujoco is missing or cannot render.
    """
    textures = _FIRST_TEXTURES + plan.seed - _FIRST_SEED
    size = HEIGHT_PX + 2 * MARGIN_PX, HEIGHT_PX
    with closing(Renderer(*size, textures=textures)) as renderer:
        frames, record = _render_frames(plan, renderer)
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


@dataclass(frozen=True)
class StreamSpec:
    """A scene as a camera sees it.

    Attributes:
        seconds: longer than the scene where nothing happens in it: its frames, which differ by
            vibration and sensor noise alone, are then shown again in another order.
    """

    plan: ScenePlan
    perturbed: bool
    seconds: float

    def file(self, folder: Path, model_id: str) -> Path:
        """Where its embeddings are kept."""
        rest = f"{self.seconds:g}s{'-perturbed' if self.perturbed else ''}"
        return folder / model_id / f"{self.plan.name}-{rest}.npz"


def run_jobs(
    jobs: Sequence[Callable[[], Any]], workers: int, what: str, progress: Progress
) -> list[Any]:
    """Results of independent jobs, in their order.

    Args:
        jobs: picklable where there are several workers.
        workers: processes, one core each; with 1 all is done in this one.
        what: names the jobs to `progress`.
        progress: receives `what`, how many are done, and of how many.

    Raises:
        Exception: what the first job that fails raises.
    """
    from joblib import Parallel, delayed

    if not jobs:
        return []
    results: list[Any] = []
    progress(what, 0, len(jobs))
    for result in Parallel(workers, return_as="generator")(delayed(job)() for job in jobs):
        results.append(result)
        progress(what, len(results), len(jobs))
    return results


def load_embedded(spec: StreamSpec, folder: Path, model_id: str) -> dict[str, NDArray[Any]]:
    """Embeddings that `embed_all` has written.

    Returns:
        stamps: [T] seconds. embeddings: [T, D] float32. turn_rates: [T] rad/s of looking aside.

    Raises:
        FileNotFoundError: they are not there.
    """
    with np.load(spec.file(folder, model_id)) as data:
        return dict(data)


def embed_all(
    specs: Sequence[StreamSpec],
    folder: Path,
    model: tuple[Path, str, str],
    workers: int,
    progress: Progress,
) -> None:
    """Render and embed what is missing.

    Args:
        specs: what is to be there.
        folder: where scenes and embeddings are kept.
        model: folder, engine and model_id.
        workers: processes, one core each.
        progress: see `run_jobs`.

    Raises:
        WorldError: mujoco is missing or cannot render.
    """
    plans = dict.fromkeys(spec.plan for spec in specs)
    renders = [
        partial(render_scene, plan, folder)
        for plan in plans
        if not plan.frames_file(folder).exists()
    ]
    run_jobs(renders, workers, "scenes rendered", progress)
    todo = [spec for spec in specs if not spec.file(folder, model[2]).exists()]
    todo.sort(key=lambda spec: spec.seconds)
    groups = [todo[i : i + SCENES_PER_BATCH] for i in range(0, len(todo), SCENES_PER_BATCH)]
    jobs = [partial(_embed_group, group, folder, model) for group in groups]
    run_jobs(jobs, workers, "groups of scenes embedded", progress)


def replay_order(count: int, frames: int, seed: int) -> NDArray[np.intp]:
    """[count] which frame is shown when: in order, then laps in random order."""
    rng = np.random.default_rng([seed, 12])
    laps = [rng.permutation(frames) for _ in range(count // frames)]
    return np.concatenate([np.arange(frames), *laps])[:count]


class _Camera:
    """One scene on its way through the model."""

    def __init__(self, spec: StreamSpec, folder: Path, engine: Engine) -> None:
        scene = load_scene(spec.plan, folder)
        self.file = spec.file(folder, engine.config.model_id)
        self.length = int(spec.seconds / INTERVAL)
        self._stamps = scene.stamps[0] + INTERVAL * np.arange(self.length)
        self._order = replay_order(self.length, len(scene.frames), spec.plan.seed)
        self._frames = scene.frames
        self._disturbances = undisturbed(self.length)
        if spec.perturbed:
            self._disturbances = draw_disturbances(self._stamps, spec.plan.seed)
        frames, interval = engine.config.clip_frames, engine.config.frame_interval
        self._ring = ClipRing[NDArray[np.uint8]](frames, interval, lambda frame: frame)
        self.state: Any = None
        self._vectors: dict[int, NDArray[np.float32]] = {}  # of the clips that end at these frames

    def clip(self, index: int) -> Any:
        """The clip that ends at frame `index`; None where the frame is lost or the stream young."""
        if not self._disturbances.kept[index]:
            return None
        now = float(self._stamps[index])
        frame = self._disturbances.apply(self._frames[self._order[index]], index)
        self._ring.push(round(now * 1e9), frame, now=now)
        taken = self._ring.take(now)
        return None if taken is None else taken.clip

    def add(self, index: int, embedding: NDArray[np.float32]) -> None:
        """Keep the embedding of the clip that ends at frame `index`."""
        self._vectors[index] = embedding

    def save(self) -> None:
        """Write what `load_embedded` reads."""
        at = list(self._vectors)
        columns = {
            "stamps": self._stamps[at],
            "embeddings": np.stack(list(self._vectors.values())),
            "turn_rates": self._disturbances.turn_rates[at],
        }
        with atomic_write(self.file) as out:
            np.savez(out, **columns)


def _embed_group(specs: Sequence[StreamSpec], folder: Path, model: tuple[Path, str, str]) -> None:
    parts = frozenset({"vision", "predictor"})
    engine = load_engine(model[0], model[1], threads=1, parts=parts)
    cameras = [_Camera(spec, folder, engine) for spec in specs]
    for index in range(max(camera.length for camera in cameras)):
        running = [camera for camera in cameras if index < camera.length]
        clips = [(camera, clip) for camera in running if (clip := camera.clip(index)) is not None]
        if not clips:
            continue
        states = [camera.state for camera, _ in clips]
        encoded = engine.encode([clip for _, clip in clips], states)
        vectors = engine.embed([one.tokens for one in encoded], engine.config.default_query)
        for (camera, _), one, vector in zip(clips, encoded, vectors, strict=True):
            camera.state = one.state
            camera.add(index, vector)
    engine.close()
    for camera in cameras:
        camera.save()
