"""Rendered scenes through a model, as `perception_node` does it: an embedding for each clip.

Embeddings are kept beside the frames, by model, so that another checkpoint costs the model's time
alone and an interrupted run goes on where it was.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vljepa_lab.evaluation.change.disturbances import draw_disturbances, undisturbed
from vljepa_lab.evaluation.change.rendering import RenderedScene, ScenePlan, load, render
from vljepa_lab.evaluation.change.spread import Progress, spread
from vljepa_lab.world.clips import INTERVAL
from vljepa_ros.engines.load import load_engine
from vljepa_ros.engines.protocol import Engine
from vljepa_ros.perception.ring import ClipRing

SIDE_BY_SIDE = 6  # scenes whose clips go through the model together


@dataclass(frozen=True)
class Watch:
    """A scene as it is watched. seconds: longer than the scene where nothing happens in it: its
    frames, which differ by vibration and sensor noise alone, are then shown again in another order.
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


def load_embedded(watch: Watch, folder: Path, model_id: str) -> EmbeddedScene:
    """Embeddings that `embed_all` has written.

    :raises FileNotFoundError: they are not there.
    """
    with np.load(watch.file(folder, model_id)) as data:
        return EmbeddedScene(data["stamps"], data["embeddings"], data["turn_rates"])


def embed_all(
    watches: Sequence[Watch],
    folder: Path,
    model: tuple[Path, str, str],
    workers: int,
    progress: Progress,
) -> None:
    """Render and embed what is missing.

    :param model: folder, engine and model_id. workers: processes, one core each.
    :param progress: told what is done, how many of how many.
    :raises WorldError: mujoco is missing or cannot render.
    """
    plans = list(dict.fromkeys(watch.plan for watch in watches))
    unseen = [plan for plan in plans if not (folder / f"{plan.name}.npy").exists()]
    spread(render, [(plan, folder) for plan in unseen], workers, "scenes rendered", progress)
    todo = [watch for watch in watches if not watch.file(folder, model[2]).exists()]
    todo.sort(key=lambda watch: watch.seconds)
    groups = [todo[i : i + SIDE_BY_SIDE] for i in range(0, len(todo), SIDE_BY_SIDE)]
    jobs = [(group, folder, model) for group in groups]
    spread(_embed_group, jobs, workers, "groups of scenes embedded", progress)


class _Camera:
    """One watched scene on its way through the model."""

    def __init__(self, watch: Watch, scene: RenderedScene, engine: Engine) -> None:
        self.watch = watch
        count = int(watch.seconds / INTERVAL)
        self._stamps = scene.stamps[0] + INTERVAL * np.arange(count)
        self._order = _order(count, len(scene.frames), watch.plan.seed)
        self._frames = scene.frames
        seed = watch.plan.seed
        drawn = draw_disturbances(self._stamps, seed) if watch.perturbed else undisturbed(count)
        self._disturbances = drawn
        config = engine.config
        self._ring: ClipRing[NDArray[np.uint8]] = ClipRing(
            config.clip_frames, config.frame_interval, lambda frame: frame
        )
        self.state: Any = None
        self.found: list[tuple[float, NDArray[np.float32], float]] = []
        self.length = count

    def clip(self, index: int) -> Any:
        """The clip that ends at frame `index`; None where the frame is lost or the stream young."""
        if not self._disturbances.kept[index]:
            return None
        now = float(self._stamps[index])
        frame = self._disturbances.apply(self._frames[self._order[index]], index)
        self._ring.push(round(now * 1e9), frame, now=now)
        taken = self._ring.take(now)
        return None if taken is None else taken.clip

    def told(self, index: int, embedding: NDArray[np.float32]) -> None:
        """The model's answer to the clip of frame `index`."""
        rate = float(self._disturbances.turn_rates[index])
        self.found.append((float(self._stamps[index]), embedding, rate))


def _order(count: int, frames: int, seed: int) -> NDArray[np.intp]:
    """[count] which frame is shown when: in order, then laps in random order."""
    rng = np.random.default_rng([seed, 12])
    laps = [np.arange(frames)]
    while sum(lap.size for lap in laps) < count:
        laps.append(rng.permutation(frames))
    return np.concatenate(laps)[:count]


def _embed_group(watches: Sequence[Watch], folder: Path, model: tuple[Path, str, str]) -> None:
    place, name, model_id = model
    parts = frozenset({"vision", "predictor"})
    engine = load_engine(place, name, threads=1, parts=parts)
    cameras = [_Camera(watch, load(watch.plan, folder), engine) for watch in watches]
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
            camera.told(index, vector)
    engine.close()
    for camera in cameras:
        _save(camera, camera.watch.file(folder, model_id))


def _save(camera: _Camera, file: Path) -> None:
    stamps, vectors, rates = zip(*camera.found, strict=True)
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(f".{os.getpid()}.part")
    with part.open("wb") as out:
        np.savez(
            out, stamps=np.array(stamps), embeddings=np.stack(vectors), turn_rates=np.array(rates)
        )
    part.replace(file)
