"""Held-out scenes of the simulated world, encoded as the robot would see them.

They are read from shards, which are rendered first where they are missing.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import vljepa_lab.world
from vljepa_lab.world.dataset import Plan, generate, open_shards
from vljepa_lab.world.records import Record
from vljepa_ros.engines.protocol import Clip, Engine

ASKING = {"questions.py", "candidates.py", "polar.py", "own_words.py"}
"""Sources of the simulated world that have no part in a rendered scene."""


@dataclass(frozen=True)
class SceneVideo:
    """One scene.

    Attributes:
        scene: `split/seed`.
        frames: [T, S, S, 3] uint8 RGB.
        stamps: [T] seconds of scene time.
        record: what happened and what was true in each frame.
    """

    scene: str
    split: str
    frames: NDArray[np.uint8]
    stamps: tuple[float, ...]
    record: Record


def scenes_of(data: Path, split: str, limit: int) -> Iterator[SceneVideo]:
    """The first `limit` scenes of `data/split`.

    Raises:
        FileNotFoundError: there is none.
    """
    pairs = (pair for shard in open_shards(data / split) for pair in zip(*shard, strict=True))
    given = False
    for frames, line in islice(pairs, limit):
        given = True
        record = Record.from_dict(line)
        stamps = tuple(state.stamp for state in record.states)
        yield SceneVideo(f"{split}/{line['seed']}", split, np.asarray(frames), stamps, record)
    if not given:
        raise FileNotFoundError(
            f"no scenes in {data / split}: shard_*.npy with shard_*.jsonl beside it are expected, "
            "as `python -m vljepa_lab.world.dataset` writes them"
        )


def records_of(data: Path, split: str, limit: int) -> Iterator[tuple[Record, str]]:
    """(record, `split/seed`) of the first `limit` scenes; the pictures need not be there.

    Raises:
        FileNotFoundError: there is none.
    """
    files = sorted((data / split).glob("shard_*.jsonl"))
    lines = (line for file in files for line in file.read_text(encoding="utf-8").splitlines())
    given = False
    for line in islice(lines, limit):
        given = True
        raw = json.loads(line)
        yield Record.from_dict(raw), f"{split}/{raw['seed']}"
    if not given:
        raise FileNotFoundError(f"no scenes in {data / split}: shard_*.jsonl are expected")


def cached_data(scenes: dict[str, int], size: int) -> Path:
    """Render what is missing of {split: scenes} into the cache and return its folder.

    An interrupted run continues where it stopped.

    Raises:
        WorldError: mujoco is missing or cannot render.
    """
    data = Path(f"{cache_folder('world')}-{size}")
    for split, wanted in scenes.items():
        if sum(len(records) for _, records in open_shards(data / split)) < wanted:
            generate(Plan(split, wanted, data / split, size), workers=os.cpu_count() or 1)
    return data


def cache_folder(kind: str) -> Path:
    """Where rendered scenes of a kind are kept.

    Its name changes with every source of the simulated world that has a part in them, so that
    scenes of an older world are never mixed in. What only asks about a scene has none.
    """
    digest = hashlib.sha256()
    world = Path(vljepa_lab.world.__file__).parent
    patterns = "*.py", "texts/*_events.yaml", "texts/*_states.yaml"
    for file in sorted(file for pattern in patterns for file in world.glob(pattern)):
        if file.name not in ASKING:
            digest.update(file.read_bytes())
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "vljepa_ros" / f"{kind}-{digest.hexdigest()[:10]}"


def encode_scenes(engine: Engine, videos: Sequence[SceneVideo]) -> list[list[NDArray[np.float32]]]:
    """Visual tokens [N, D] of each clip of each scene; clip k ends at frame k + clip_frames - 1.

    Scenes run side by side, one clip of each at a time, as several cameras do.

    Raises:
        ValueError: a scene is shorter than a clip, or its frames are not of the model's size.
    """
    length, size = engine.config.clip_frames, engine.config.input_size
    for video in videos:
        if len(video.frames) < length or video.frames.shape[1:] != (size, size, 3):
            raise ValueError(
                f"scene {video.scene} has frames {video.frames.shape}, the model wants at least "
                f"{length} of {size}x{size}x3"
            )
    states: list[Any] = [None] * len(videos)
    tokens: list[list[NDArray[np.float32]]] = [[] for _ in videos]
    for start in range(max((len(video.frames) for video in videos), default=0) - length + 1):
        running = [i for i, video in enumerate(videos) if start + length <= len(video.frames)]
        clips = [_clip(videos[i], start, length) for i in running]
        seen = engine.encode(clips, [states[i] for i in running])
        for i, encoded in zip(running, seen, strict=True):
            states[i] = encoded.state
            tokens[i].append(encoded.tokens)
    return tokens


def _clip(video: SceneVideo, start: int, length: int) -> Clip:
    stamps = tuple(round(1e9 * stamp) for stamp in video.stamps[start : start + length])
    return Clip(video.frames[start : start + length], stamps)
