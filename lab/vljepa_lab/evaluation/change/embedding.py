"""Rendered scenes through a model, as `perception_node` does it: an embedding for each clip.

Embeddings are kept beside the frames, by model, so that another checkpoint costs the model's time
alone and an interrupted run goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vljepa_lab.evaluation.change.disturbances import draw_disturbances, undisturbed
from vljepa_lab.evaluation.change.rendering import ScenePlan, load_scene, render_scene
from vljepa_lab.world.records import INTERVAL
from vljepa_ros.engines.load import load_engine
from vljepa_ros.engines.protocol import Engine
from vljepa_ros.files import atomic_write
from vljepa_ros.perception.ring import ClipRing

SCENES_PER_BATCH = 6  # whose clips go through the model together

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class StreamSpec:
    """A scene as a camera sees it.

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


@dataclass(frozen=True)
class EmbeddedScene:
    """stamps: [T] seconds. embeddings: [T, D] float32. turn_rates: [T] rad/s of looking aside."""

    stamps: NDArray[np.float64]
    embeddings: NDArray[np.float32]
    turn_rates: NDArray[np.float64]


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


def load_embedded(spec: StreamSpec, folder: Path, model_id: str) -> EmbeddedScene:
    """Embeddings that `embed_all` has written.

    Raises:
        FileNotFoundError: they are not there.
    """
    with np.load(spec.file(folder, model_id)) as data:
        return EmbeddedScene(data["stamps"], data["embeddings"], data["turn_rates"])


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
    laps = [np.arange(frames)]
    while sum(lap.size for lap in laps) < count:
        laps.append(rng.permutation(frames))
    return np.concatenate(laps)[:count]


class _Camera:
    """One scene on its way through the model."""

    def __init__(self, spec: StreamSpec, folder: Path, engine: Engine) -> None:
        scene = load_scene(spec.plan, folder)
        self.file = spec.file(folder, engine.config.model_id)
        self.length = int(spec.seconds / INTERVAL)
        self._stamps = scene.stamps[0] + INTERVAL * np.arange(self.length)
        self._order = replay_order(self.length, len(scene.frames), spec.plan.seed)
        self._frames = scene.frames
        self._disturbances = (
            draw_disturbances(self._stamps, spec.plan.seed)
            if spec.perturbed
            else undisturbed(self.length)
        )
        config = engine.config
        self._ring: ClipRing[NDArray[np.uint8]] = ClipRing(
            config.clip_frames, config.frame_interval, lambda frame: frame
        )
        self.state: Any = None
        self._embedded: list[int] = []
        self._vectors: list[NDArray[np.float32]] = []

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
        self._embedded.append(index)
        self._vectors.append(embedding)

    def save(self) -> None:
        """Write what `load_embedded` reads."""
        with atomic_write(self.file) as out:
            np.savez(
                out,
                stamps=self._stamps[self._embedded],
                embeddings=np.stack(self._vectors),
                turn_rates=self._disturbances.turn_rates[self._embedded],
            )


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
