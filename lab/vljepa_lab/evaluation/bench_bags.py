"""`vljepa bench bags`: bags of the test world into the memory and found again, and how fast.

Quality: the scenes of `vljepa eval retrieval` go into four bags (sqlite3 and mcap, raw and JPEG, a
quarter each), the bags into one memory, and each of that task's texts is looked for in it. Speed:
the shipped clip as a 640x480 camera of 10 fps, in each of the four formats.
"""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vljepa_lab.evaluation.bootstrap import scene_bootstrap
from vljepa_lab.evaluation.quality.evaluate import evaluate
from vljepa_lab.evaluation.quality.scenes import scenes_of
from vljepa_lab.evaluation.world_bags import (
    FORMATS,
    SECOND,
    scene_images,
    video_images,
    write_image_bag,
)
from vljepa_lab.world.captions import event_key, event_text
from vljepa_lab.world.clips import window
from vljepa_ros.engines.protocol import Engine
from vljepa_ros.perception.bags.embedding import ClipPlan
from vljepa_ros.perception.bags.indexing import IndexPlan, index_bag
from vljepa_ros.perception.memory.moments import Moment
from vljepa_ros.perception.memory.search import MomentQuery, find_moments
from vljepa_ros.perception.memory.store import MemoryStore, open_store
from vljepa_ros.perception.memory.upkeep import compact_and_index

DEPTH = 5
NEAR = SECOND
"""Nanoseconds by which a found stamp may be off a clip that shows the event."""
SPLIT = "test_a"


@dataclass
class _Truth:
    """When each event is to be seen. times: key -> (bag, nanoseconds: stamp of the clip's end)."""

    times: defaultdict[str, list[tuple[str, int]]] = field(
        default_factory=lambda: defaultdict(list)
    )

    def right(self, key: str, found: Moment) -> bool:
        """Whether the best stamp of a moment lies at a clip that shows the event."""
        return any(
            bag == found.source and abs(stamp - found.stamp) <= NEAR
            for bag, stamp in self.times[key]
        )

    def touched(self, key: str, found: Moment) -> bool:
        """Whether such a clip ends anywhere within a moment."""
        return any(
            bag == found.source and found.start - NEAR <= stamp <= found.end + NEAR
            for bag, stamp in self.times[key]
        )


def bag_retrieval(
    engine: Engine, data: Path, scenes: int, seed: int, note: Callable[[str], None]
) -> dict[str, Any]:
    """Share of the texts whose right moment is among the first five, in bags and without.

    :param data: folder with the splits `test_a` and `val`.
    :raises FileNotFoundError: a split is missing.
    :raises BagError: a bag cannot be read.
    :raises MemoryStoreError: the memory cannot be written.
    """
    note("`vljepa eval retrieval_events_r1`, on the same scenes ...")
    result, evaluation = evaluate(
        engine, data, scenes, ("retrieval_events_r1", "retrieval_events_r5"), seed
    )
    asked = {event_key(m.kind, m.name): (m.kind, m.name, m.scene) for m in evaluation.moments}
    with tempfile.TemporaryDirectory() as place:
        config = engine.config
        store = open_store(Path(place) / "memory", config.model_id, config.dim, create=True)
        truth, recorded, took = _index(engine, store, Path(place), data, scenes, note)
        note(f"{len(asked)} texts in {store.count()} rows ...")
        first: list[bool] = []
        right: list[bool] = []
        touched: list[bool] = []
        for key, (kind, name, _) in asked.items():
            text = event_text(kind, name, seed, unseen=True)
            (vector,) = engine.encode_text([text])
            found = find_moments(store, MomentQuery(text, limit=DEPTH), vector, config.calibration)
            hits = [truth.right(key, moment) for moment in found]
            first.append(bool(hits) and hits[0])
            right.append(any(hits))
            touched.append(any(truth.touched(key, moment) for moment in found))
        rows, size = store.count(), store.disk_bytes()
    among = scene_bootstrap(right, [scene for _, _, scene in asked.values()])
    tasks = result["tasks"]
    return {
        "texts": len(asked),
        "scenes": scenes,
        "rows": rows,
        "right_first": round(sum(first) / len(first), 4),
        "right_among_five": round(among.value, 4),
        "right_among_five_ci": [round(among.low, 4), round(among.high, 4)],
        "overlapping_among_five": round(sum(touched) / len(touched), 4),
        "eval_retrieval_r1": tasks["retrieval_events_r1"]["accuracy"],
        "eval_retrieval_r5": tasks["retrieval_events_r5"]["accuracy"],
        "eval_retrieval_r5_ci": tasks["retrieval_events_r5"]["ci"],
        "recorded_seconds": round(recorded, 1),
        "times_real_time": round(recorded / took, 1),
        "megabytes_per_hour_with_thumbnails": round(size / recorded * 3600 / 1e6, 1),
    }


def bag_speed(engine: Engine, clip: Path, seconds: float, note: Callable[[str], None]) -> Any:
    """How fast bags of a 640x480 camera with 10 fps are indexed, each format, one after the other.

    :param clip: a video. seconds: length of each bag.
    """
    figures: dict[str, Any] = {}
    config = engine.config
    for storage, coding in FORMATS:
        with tempfile.TemporaryDirectory() as place:
            bag = Path(place) / "bag"
            note(f"{storage}, {coding}: {seconds:g} s of a camera ...")
            write_image_bag(bag, video_images(clip, 640, 480, 10.0, seconds), storage, coding)
            store = open_store(Path(place) / "memory", config.model_id, config.dim, create=True)
            begin, used = time.perf_counter(), time.process_time()
            report, _ = index_bag(bag, engine, store, _plan(engine), Path(place))
            took, cpu = time.perf_counter() - begin, time.process_time() - used
            figures[f"{storage} {coding}"] = {
                "times_real_time": round(report.seconds / took, 1),
                "times_real_time_cpu": round(report.seconds / cpu, 1),
                "seconds": round(report.seconds, 1),
                "clips": report.embeddings,
            }
    return figures


def _index(
    engine: Engine,
    store: MemoryStore,
    place: Path,
    data: Path,
    scenes: int,
    note: Callable[[str], None],
) -> tuple[_Truth, float, float]:
    """Bags of the scenes into the store; what is true in them, recorded seconds, seconds taken."""
    videos = list(scenes_of(data, SPLIT, scenes))
    first = engine.config.clip_frames - 1
    truth = _Truth()
    recorded = took = 0.0
    for number, (storage, coding) in enumerate(FORMATS):
        part = videos[number :: len(FORMATS)]
        if not part:
            continue
        note(f"{len(part)} scenes as {storage}, {coding} ...")
        bag = place / f"{storage}_{coding}"
        begins: list[int] = []
        write_image_bag(bag, scene_images(part, begins), storage, coding)
        source = str(bag.resolve())
        for video, zero in zip(part, begins, strict=True):
            for t in range(first, len(video.stamps)):
                seen = window(video.record, t)
                if seen.kind is not None:
                    key = event_key(seen.kind, seen.object)
                    truth.times[key].append((source, zero + round(video.stamps[t] * SECOND)))
            recorded += video.stamps[-1] - video.stamps[0]
        begin = time.perf_counter()
        index_bag(bag, engine, store, _plan(engine), place)
        took += time.perf_counter() - begin
    compact_and_index(store)
    return truth, recorded, took


def _plan(engine: Engine) -> IndexPlan:
    """As `vljepa bag index` does it without options."""
    return IndexPlan(ClipPlan(engine.config.frame_interval, 96))
