"""Bags of the test world into the memory and found again by text, and how fast.

    python lab/bench/bench_bags.py --save bags.json

Quality: the scenes of `vljepa eval retrieval` go into four bags (sqlite3 and mcap, raw and JPEG, a
quarter each), the bags into one memory, and each of that task's texts is looked for in it. Speed:
the shipped clip as a 640x480 camera of 10 fps, in each of the four formats.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import cycle
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from vljepa_lab.bench.camera import pictures
from vljepa_lab.bench.harness import (
    FPS,
    IMAGE_SIZE,
    as_json,
    run_script,
)
from vljepa_lab.bench.samples import note
from vljepa_lab.evaluation.bootstrap import scene_bootstrap
from vljepa_lab.evaluation.quality.evaluate import evaluate
from vljepa_lab.evaluation.quality.scenes import SceneVideo, cached_data, scenes_of
from vljepa_lab.world.captions import event_key, event_text
from vljepa_lab.world.records import clip_event
from vljepa_ros.cli.options import (
    add_model_options,
    add_number_option,
    load_model,
    natural_number,
)
from vljepa_ros.engines.protocol import Engine
from vljepa_ros.perception.bags.embedding import ClipPlan
from vljepa_ros.perception.bags.indexing import IndexPlan, index_bag
from vljepa_ros.perception.bags.reading import COMPRESSED, RAW
from vljepa_ros.perception.memory.search import MomentQuery, find_moments
from vljepa_ros.perception.memory.store import MemoryStore, open_store
from vljepa_ros.perception.memory.upkeep import compact_and_index
from vljepa_ros.resources import NANO, model_dir

FORMATS = (("sqlite3", "raw"), ("sqlite3", "jpeg"), ("mcap", "raw"), ("mcap", "jpeg"))
SECOND = 1_000_000_000  # nanoseconds
BEGIN = 1_700_000_000 * SECOND
PAUSE_S = 20  # from the end of one scene to the begin of the next
STAMP_TOLERANCE = SECOND  # by which a found stamp may be off a clip that shows the event
JPEG_QUALITY = 95
BAG_VERSION: Literal[8] = 8
TOPIC = "/front/image_raw"
DEPTH = 5  # moments looked at for each text
SPLIT = "test_a"

# key of an event -> (bag, nanoseconds: stamp of the end of a clip that shows it)
Times = defaultdict[str, list[tuple[str, int]]]


def bag_retrieval(engine: Engine, data: Path, scenes: int, seed: int) -> dict[str, Any]:
    """Share of the texts whose right moment is among the first five, in bags and without.

    `right`: the best stamp of a moment lies at a clip that shows the event. `overlapping`: such a
    clip ends anywhere within the moment.
    """
    note("`vljepa eval retrieval_events_r1`, on the same scenes ...")
    result, evaluation = evaluate(
        engine, data, scenes, ("retrieval_events_r1", "retrieval_events_r5"), seed
    )
    asked = {event_key(m.kind, m.name): (m.kind, m.name, m.scene) for m in evaluation.moments}
    with tempfile.TemporaryDirectory() as place:
        config = engine.config
        store = open_store(Path(place) / "memory", config.model_id, config.dim, create=True)
        times, recorded, took = _index(engine, store, Path(place), data, scenes)
        note(f"{len(asked)} texts in {store.count()} rows ...")
        hits: list[tuple[bool, bool, bool]] = []
        for key, (kind, name, _) in asked.items():
            text = event_text(kind, name, seed, "unseen")
            (vector,) = engine.encode_text([text])
            found = find_moments(store, MomentQuery(text, limit=DEPTH), vector, config.calibration)
            ends = [[end for bag, end in times[key] if bag == m.source] for m in found]
            right = [_near(e, m.stamp, m.stamp) for m, e in zip(found, ends, strict=True)]
            touched = [_near(e, m.start, m.end) for m, e in zip(found, ends, strict=True)]
            hits.append((any(right[:1]), any(right), any(touched)))
        rows, size = store.count(), store.disk_bytes()
    first, among_five, overlapping = np.array(hits).T
    among = scene_bootstrap(among_five, [scene for _, _, scene in asked.values()])
    tasks = result["tasks"]
    return {
        "texts": len(asked),
        "scenes": scenes,
        "rows": rows,
        "right_first": round(float(first.mean()), 4),
        "right_among_five": round(among.value, 4),
        "right_among_five_ci": [round(among.low, 4), round(among.high, 4)],
        "overlapping_among_five": round(float(overlapping.mean()), 4),
        "eval_retrieval_r1": tasks["retrieval_events_r1"]["accuracy"],
        "eval_retrieval_r5": tasks["retrieval_events_r5"]["accuracy"],
        "eval_retrieval_r5_ci": tasks["retrieval_events_r5"]["ci"],
        "recorded_seconds": round(recorded, 1),
        "times_real_time": round(recorded / took, 1),
        "megabytes_per_hour_with_thumbnails": round(size / recorded * 3600 / 1e6, 1),
    }


def bag_speed(engine: Engine, clip: Path, seconds: float) -> dict[str, Any]:
    """How fast bags of a 640x480 camera with 10 fps are indexed, one format after the other."""
    figures: dict[str, Any] = {}
    config = engine.config
    shown = pictures(clip, *IMAGE_SIZE, count=100)
    stamps = [BEGIN + round(number * SECOND / FPS) for number in range(round(seconds * FPS))]
    for storage, coding in FORMATS:
        with tempfile.TemporaryDirectory() as place:
            bag = Path(place) / "bag"
            note(f"{storage}, {coding}: {seconds:g} s of a camera ...")
            write_image_bag(bag, zip(stamps, cycle(shown)), storage, coding)
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


def _near(stamps: list[int], begin: int, end: int) -> bool:
    return any(begin - STAMP_TOLERANCE <= stamp <= end + STAMP_TOLERANCE for stamp in stamps)


def _index(
    engine: Engine, store: MemoryStore, place: Path, data: Path, scenes: int
) -> tuple[Times, float, float]:
    """Bags of the scenes into the store; what is true in them, recorded seconds, seconds taken."""
    videos = list(scenes_of(data, SPLIT, scenes))
    first = engine.config.clip_frames - 1
    times: Times = defaultdict(list)
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
                seen = clip_event(video.record, t)
                if seen.kind is not None:
                    key = event_key(seen.kind, seen.object)
                    times[key].append((source, zero + round(video.stamps[t] * SECOND)))
            recorded += video.stamps[-1] - video.stamps[0]
        begin = time.perf_counter()
        index_bag(bag, engine, store, _plan(engine), place)
        took += time.perf_counter() - begin
    compact_and_index(store)
    return times, recorded, took


def _plan(engine: Engine) -> IndexPlan:
    """As `vljepa bag index` does it without options."""
    return IndexPlan(ClipPlan(engine.config.frame_interval, 96))


def write_image_bag(
    path: Path,
    images: Iterable[tuple[int, NDArray[np.uint8]]],
    storage: str,
    coding: str,
) -> int:
    """Write one image topic, recorded 5 ms after each stamp; returns the number of images.

    Args:
        path: The new bag.
        images: (stamp in nanoseconds, [H, W, 3] uint8 RGB), ascending.
        storage: With `coding` one of FORMATS.
        coding: See `storage`.
    """
    from rosbags.rosbag2 import StoragePlugin, Writer
    from rosbags.typesys import Stores, get_typestore

    if (storage, coding) not in FORMATS:
        raise ValueError(f"format is {storage} {coding}, allowed: {FORMATS}")
    types = get_typestore(Stores.ROS2_JAZZY)
    plugin = StoragePlugin.MCAP if storage == "mcap" else StoragePlugin.SQLITE3
    kind, topic = (RAW, TOPIC) if coding == "raw" else (COMPRESSED, f"{TOPIC}/compressed")
    count = 0
    with Writer(path, version=BAG_VERSION, storage_plugin=plugin) as writer:
        connection = writer.add_connection(topic, kind, typestore=types)
        for stamp, image in images:
            data = types.serialize_cdr(_message(types, stamp, image, coding), kind)
            writer.write(connection, stamp + SECOND // 200, data)
            count += 1
    return count


def scene_images(
    scenes: Iterable[SceneVideo], begins: list[int]
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """The pictures of scenes, one scene after the other.

    Args:
        scenes: What they come from.
        begins: Filled with the stamp, nanoseconds, at which each scene's own time is 0.
    """
    begin = BEGIN
    for scene in scenes:
        begins.append(begin)
        for stamp, frame in zip(scene.stamps, scene.frames, strict=True):
            yield begin + round(stamp * SECOND), frame
        begin += (int(scene.stamps[-1]) + PAUSE_S) * SECOND


def _message(types: Any, stamp: int, image: NDArray[np.uint8], coding: str) -> Any:
    messages = types.types
    seconds, rest = divmod(stamp, SECOND)
    time = messages["builtin_interfaces/msg/Time"](sec=seconds, nanosec=rest)
    header = messages["std_msgs/msg/Header"](stamp=time, frame_id="front_optical")
    if coding == "jpeg":
        bgr = np.ascontiguousarray(image[..., ::-1])
        _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        return messages[COMPRESSED](header=header, format="jpeg", data=data.reshape(-1))
    height, width = image.shape[:2]
    data = np.ascontiguousarray(image).reshape(-1)
    layout = {"encoding": "rgb8", "is_bigendian": 0, "step": 3 * width}
    return messages[RAW](header=header, height=height, width=width, data=data, **layout)


def main() -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add_model_options(parser, NANO, threads=True)
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="a data set with the splits test_a and val (default: rendered, see `vljepa eval`)",
    )
    add_number_option(parser, "--scenes", 400, "of the test", natural_number, "N")
    parser.add_argument("--seed", type=int, default=0, help="of the moments drawn (default: 0)")
    add_number_option(parser, "--seconds", 60.0, "of each bag whose indexing is timed")

    def measure(args: argparse.Namespace) -> dict[str, Any]:
        engine = load_model(args)
        config = engine.config
        speed = bag_speed(engine, model_dir(args.model) / "demo" / "clip.mp4", args.seconds)
        needed = {SPLIT: args.scenes, "val": args.scenes}
        data = args.data or cached_data(needed, config.input_size)
        found = bag_retrieval(engine, data, args.scenes, args.seed)
        return {"speed": speed, "find": found, "model_id": config.model_id}

    return run_script(parser, measure, as_json)


if __name__ == "__main__":
    sys.exit(main())
