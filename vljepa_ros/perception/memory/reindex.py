"""Copies a memory for another model: rows are embedded again from their thumbnails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from vljepa_ros.engines.protocol import Clip, Engine
from vljepa_ros.perception.memory.row import Row, kept_clip
from vljepa_ros.perception.memory.store import MemoryStore

BATCH = 16  # clips encoded at once
COMMIT = 1024  # rows written at once, about


@dataclass(frozen=True)
class Reindexed:
    """Counts of a reindexing.

    Attributes:
        done: rows embedded again.
        left: source ('' for live cameras) -> rows without a usable thumbnail.
    """

    done: int
    left: dict[str, int]


def reindex(
    old: MemoryStore,
    engine: Engine,
    new: MemoryStore,
    progress: Callable[[float], None] = lambda share: None,
) -> Reindexed:
    """Copy the rows of `old` that have thumbnails to `new`, with vectors of `engine`.

    Texts, times and poses are copied; a segment gets the vector of its stored clip instead of the
    mean over all of its clips. `old` is not changed.
    """
    total = old.count()
    left: dict[str, int] = {}
    ready: list[Row] = []
    done = seen = 0
    for rows in old.batches(BATCH):
        kept: list[Row] = []
        clips: list[Clip] = []
        for row in rows:
            clip = kept_clip(row.thumbnail, row.thumbnail_frames, row.stamp, engine.config)
            if clip is None:
                left[row.source] = left.get(row.source, 0) + 1
            else:
                kept.append(row)
                clips.append(clip)
        if clips:
            encoded = engine.encode(clips, [None] * len(clips))
            vectors = engine.embed([one.tokens for one in encoded], engine.config.default_query)
            ready += [replace(row, vector=v) for row, v in zip(kept, vectors, strict=True)]
        if len(ready) >= COMMIT:
            new.append(ready)
            done += len(ready)
            ready = []
        seen += len(rows)
        progress(min(1.0, seen / total))
    new.append(ready)
    return Reindexed(done + len(ready), left)
