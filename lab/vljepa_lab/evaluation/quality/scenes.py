"""Held-out scenes of the simulated world: read from shards, rendered first where they are
missing."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import vljepa_lab.world
from vljepa_lab.world.clips import Record
from vljepa_lab.world.dataset import Plan, generate, open_shards


@dataclass(frozen=True)
class SceneVideo:
    """One scene. scene: `split/seed`. frames: [T, S, S, 3] uint8 RGB. stamps: [T] seconds of scene
    time. record: what happened and what was true in each frame."""

    scene: str
    split: str
    frames: NDArray[np.uint8]
    stamps: tuple[float, ...]
    record: Record


def scenes_of(data: Path, split: str, limit: int) -> Iterator[SceneVideo]:
    """The first `limit` scenes of `data/split`.

    :raises FileNotFoundError: there is none.
    """
    given = 0
    for array, lines in open_shards(data / split):
        for frames, line in zip(array, lines, strict=True):
            if given == limit:
                return
            given += 1
            record = Record.from_dict(line)
            stamps = tuple(state.stamp for state in record.states)
            yield SceneVideo(f"{split}/{line['seed']}", split, np.asarray(frames), stamps, record)
    if given == 0:
        raise FileNotFoundError(
            f"no scenes in {data / split}: shard_*.npy with shard_*.jsonl beside it are expected, "
            "as `python -m vljepa_lab.world.dataset` writes them"
        )


def records_of(data: Path, split: str, limit: int) -> Iterator[tuple[Record, str]]:
    """(record, `split/seed`) of the first `limit` scenes; the pictures need not be there.

    :raises FileNotFoundError: there is none.
    """
    given = 0
    for file in sorted((data / split).glob("shard_*.jsonl")):
        for line in file.read_text(encoding="utf-8").splitlines():
            if given == limit:
                return
            given += 1
            raw = json.loads(line)
            yield Record.from_dict(raw), f"{split}/{raw['seed']}"
    if given == 0:
        raise FileNotFoundError(f"no scenes in {data / split}: shard_*.jsonl are expected")


def count_scenes(data: Path, split: str) -> int:
    """How many scenes of a split there are."""
    return sum(len(records) for _, records in open_shards(data / split))


def cached_data(scenes: dict[str, int], size: int) -> Path:
    """Render what is missing of {split: scenes} into the cache and return its folder.

    It can be interrupted and goes on where it was. The folder's name changes with the generator,
    so that scenes of an older world are never mixed in.

    :raises WorldError: mujoco is missing or cannot render.
    """
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    data = root / "vljepa_ros" / f"world-{_generator_version()}-{size}"
    for split, wanted in scenes.items():
        if count_scenes(data, split) < wanted:
            generate(Plan(split, wanted, data / split, size), workers=os.cpu_count() or 1)
    return data


def _generator_version() -> str:
    digest = hashlib.sha256()
    for file in sorted(Path(vljepa_lab.world.__file__).parent.glob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:10]
