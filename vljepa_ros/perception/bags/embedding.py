"""A bag's images to embeddings, faster than real time: clips by stamp, in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from vljepa_ros.engines.protocol import Clip, Engine
from vljepa_ros.perception.bags.reading import BagImage
from vljepa_ros.perception.bags.records import EmbeddedClip
from vljepa_ros.perception.memory.row import clip_to_jpeg
from vljepa_ros.perception.ring import ClipRing

ROUND = 32
"""Clips of one camera that are collected before the model runs; they bound the memory."""
LANES = 4
"""A camera's round is cut into so many stretches, which run as one batch: each is a stream of its
own for the X-Encoder's cache."""


@dataclass(frozen=True)
class ClipPlan:
    """every: seconds from one clip to the next. thumbnail: side in pixels, 0: none."""

    every: float
    thumbnail: int = 128

    def __post_init__(self) -> None:
        if not self.every > 0.0:
            raise ValueError(f"every is {self.every} s, allowed: above 0")
        if not 0 <= self.thumbnail <= 1024:
            raise ValueError(f"thumbnail is {self.thumbnail} pixels, allowed: 0 (none) to 1024")


@dataclass
class EmbeddingCounts:
    """images: read. broken: of these, could not be decoded. error: the last reason."""

    images: int = 0
    broken: int = 0
    error: str = ""


@dataclass
class _Waiting:
    clips: list[Clip]
    received: list[int]
    frame_ids: list[str]
    state: Any = None


def embed_images(
    engine: Engine,
    images: Iterable[BagImage],
    plan: ClipPlan,
    counts: EmbeddingCounts,
    progress: Callable[[int], None] = lambda received: None,
    begin: Mapping[str, int] | None = None,
) -> Iterator[list[EmbeddedClip]]:
    """Yield the embeddings of the clips that `plan` asks for, in rounds.

    :param progress: called with the time of recording of images as they are read, nanoseconds.
    :param begin: camera -> stamp of the first clip wanted, nanoseconds; earlier images fill it.
    """
    config = engine.config
    rings: dict[str, ClipRing[BagImage]] = {}
    waiting: dict[str, _Waiting] = {}
    due = dict(begin or {})
    step = round(plan.every * 1e9)
    # An image that is more than this before its time is no early one: time went back.
    early = 2 * step + round((config.clip_frames + 1) * config.frame_interval * 1e9)
    for image in images:
        counts.images += 1
        progress(image.received)
        ring = rings.get(image.camera)
        if ring is None:
            ring = rings[image.camera] = ClipRing(
                config.clip_frames,
                config.frame_interval,
                lambda one: one.model_input(config.input_size, config.preprocessing),
            )
            waiting[image.camera] = _Waiting([], [], [])
        newest = ring.newest
        if newest is not None and image.stamp < newest:
            # Time went back: a stamp may stand for another image now, the cache must not know it.
            if waiting[image.camera].clips:
                yield _embed(engine, image.camera, waiting[image.camera], plan)
            waiting[image.camera].state = None
        ring.push(image.stamp, image, image.frame_id, now=image.received / 1e9)
        next_due = due.get(image.camera, 0)
        if 0 < next_due - image.stamp <= early:
            continue
        taken = ring.take(image.received / 1e9)
        counts.broken = sum(one.counts.broken for one in rings.values())
        counts.error = next((one.counts.error for one in rings.values() if one.counts.error), "")
        if taken is None or taken.clip.stamps[-1] != image.stamp:
            continue
        # Keep to the grid, so that neighbouring clips share their images and the cache serves.
        on_grid = 0 <= image.stamp - next_due < step
        due[image.camera] = next_due + step if on_grid else image.stamp + step
        queue = waiting[image.camera]
        queue.clips.append(taken.clip)
        queue.received.append(image.received)
        queue.frame_ids.append(image.frame_id)
        if len(queue.clips) >= ROUND:
            yield _embed(engine, image.camera, queue, plan)
    for camera, queue in waiting.items():
        if queue.clips:
            yield _embed(engine, camera, queue, plan)


def _embed(engine: Engine, camera: str, queue: _Waiting, plan: ClipPlan) -> list[EmbeddedClip]:
    """Run the model over a queue of one camera's clips and empty it."""
    clips = queue.clips
    length = -(-len(clips) // LANES)
    lanes = [range(i, min(i + length, len(clips))) for i in range(0, len(clips), length)]
    states: list[Any] = [queue.state] + [None] * (len(lanes) - 1)
    tokens: list[Any] = [None] * len(clips)
    for offset in range(length):
        now = [(lane, rows[offset]) for lane, rows in enumerate(lanes) if offset < len(rows)]
        encoded = engine.encode(
            [clips[index] for _, index in now], [states[lane] for lane, _ in now]
        )
        for (lane, index), one in zip(now, encoded, strict=True):
            states[lane] = one.state
            tokens[index] = one.tokens
    vectors = engine.embed(tokens, engine.config.default_query)
    made = [
        EmbeddedClip(
            camera,
            clip.stamps[0],
            clip.stamps[-1],
            received,
            vector,
            clip_to_jpeg(clip.frames, plan.thumbnail) if plan.thumbnail else b"",
            len(clip.frames) if plan.thumbnail else 0,
            frame_id,
        )
        for clip, received, frame_id, vector in zip(
            clips, queue.received, queue.frame_ids, vectors, strict=True
        )
    ]
    queue.clips, queue.received, queue.frame_ids = [], [], []
    queue.state = states[-1]
    return made
