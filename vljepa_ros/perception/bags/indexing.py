"""Indexes a bag into the memory: embeddings, segments with text and label, events.jsonl."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vljepa_ros.engines.protocol import Engine
from vljepa_ros.files import JsonMapping, JsonObject, atomic_write
from vljepa_ros.perception.bags.embedding import ClipPlan, EmbeddedClip, embed_images
from vljepa_ros.perception.bags.reading import BagError, BagReader, ImageCounts
from vljepa_ros.perception.bags.segmentation import Scene, scenes_of, scenes_to_rows
from vljepa_ros.perception.bags.topics import choose_topics
from vljepa_ros.perception.memory.store import Filter, MemoryStore


@dataclass(frozen=True)
class IndexPlan:
    """How a bag is indexed.

    Attributes:
        clips: which clips to embed, and their thumbnails.
        topics: topic -> camera; None: for each camera the topic with the most images.
        sample_interval: seconds between samples kept in addition to the segments; 0: none.
        threshold: cost at which Ward's merging ends.
    """

    clips: ClipPlan
    topics: Mapping[str, str] | None = None
    sample_interval: float = 1.0
    threshold: float = 0.8


@dataclass(frozen=True)
class IndexReport:
    """What was indexed, and what was not.

    Attributes:
        bag: path of the bag.
        seconds: recorded time.
        images: images read, of all cameras.
        broken: images that could not be used.
        embeddings: embedded clips.
        resumed: clips taken over from an earlier run.
        segments: segments of all cameras.
        rows: rows written into the memory.
        problem: why a part of the bag could not be read; empty: all was read.
        topics: ImageTopic and ImageCounts of each topic that was read.
        left_out: a LeftOut for each topic of images that was not read.
        notes: what is unusual about the bag without loss of data.
    """

    bag: str
    seconds: float
    images: int
    broken: int
    embeddings: int
    resumed: int
    segments: int
    rows: int
    problem: str
    topics: list[dict[str, Any]]
    left_out: list[dict[str, Any]]
    notes: list[str]


@dataclass(frozen=True)
class EmbeddedBag:
    """A bag's clips.

    Attributes:
        bag: path of the bag.
        records: file with the clips; closed by the caller.
        resumed: clips taken over from an earlier run.
        seconds: recorded time.
        rest: `problem`, `topics`, `left_out` and `notes` of IndexReport.
    """

    bag: Path
    records: ResumeFile
    resumed: int
    seconds: float
    rest: dict[str, Any]


class ResumeFile:
    """Stores the embeddings of a bag until they are in the memory, so that they survive a kill.

    The first line is a JSON object that identifies the work (bag, model, settings), followed by a
    JSON array for each clip, with its vector as fp16, and after each round by a JSON object with
    the counts of each camera's images. An incomplete last line is dropped. If it is opened again
    for the same work, `clips` and `counts` are read from it; a file of other work is overwritten.
    """

    def __init__(self, path: Path, work: JsonObject) -> None:
        self._path = path
        self.clips: list[EmbeddedClip] = []
        self.counts: dict[str, ImageCounts] = {}
        header = (json.dumps({"format": 4, **work}, sort_keys=True) + "\n").encode()
        lines = path.read_bytes().splitlines(keepends=True) if path.is_file() else []
        if lines[:1] != [header]:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(header)
        good = len(header)
        for line in lines[1:] if lines[:1] == [header] else ():
            try:
                if line.startswith(b"{"):
                    counts = json.loads(line).items()
                    self.counts = {camera: ImageCounts(**one) for camera, one in counts}
                    good += len(line)
                    continue
                camera, *times, frame_id, vector, thumbnail, frames, fits = json.loads(line)
                halves = np.frombuffer(base64.b64decode(vector), np.float16)
                jpeg = base64.b64decode(thumbnail)
            except (TypeError, ValueError):
                break
            if not line.endswith(b"\n"):
                break
            start, stamp, received = times
            seen = halves.astype(np.float32), jpeg, frames, fits
            clip = EmbeddedClip(camera, start, stamp, received, frame_id, *seen)
            self.clips.append(clip)
            good += len(line)
        os.truncate(path, good)
        self._file = path.open("ab")

    def append(self, clips: Sequence[EmbeddedClip], counts: Mapping[str, ImageCounts]) -> None:
        """Write clips and the present counts, and flush them to the operating system."""
        for clip in clips:
            vector, thumbnail = (
                base64.b64encode(data).decode("ascii")
                for data in (clip.vector.astype(np.float16).tobytes(), clip.thumbnail)
            )
            head = clip.camera, clip.start, clip.stamp, clip.received, clip.frame_id
            line = json.dumps([*head, vector, thumbnail, clip.frames, clip.in_domain])
            self._file.write(line.encode() + b"\n")
        so_far = {camera: asdict(one) for camera, one in counts.items()}
        self._file.write(json.dumps(so_far).encode() + b"\n")
        self._file.flush()
        self.clips.extend(clips)

    def close(self, *, remove: bool = False) -> None:
        """Close the file; with `remove`, also delete it, because the work is done."""
        self._file.close()
        if remove:
            self._path.unlink(missing_ok=True)


def embed_bag(
    bag: Path,
    engine: Engine,
    plan: IndexPlan,
    work_folder: Path,
    progress: Callable[[float], None] = lambda share: None,
) -> EmbeddedBag:
    """Embed the images of a bag; continues an interrupted run.

    Args:
        bag: file or folder.
        engine: a loaded model.
        plan: which topics and clips.
        work_folder: folder for the file of unfinished work.
        progress: called with the finished share, 0..1.

    Raises:
        BagError: no bag, no images, or nothing can be read.
    """
    with BagReader(bag.resolve()) as reader:
        bag = reader.path
        topics, left_out = choose_topics(reader, plan.topics)
        first, last = reader.span
        work = {
            "bag": str(bag),
            "bytes": _size(bag),
            "model_id": engine.config.model_id,
            "topics": {topic.topic: topic.camera for topic in topics},
            **asdict(plan.clips),
        }
        name = hashlib.sha256(str(bag).encode()).hexdigest()[:16]
        cameras = [topic.camera for topic in topics]
        records = ResumeFile(work_folder / f"{name}.resume", work)
        counts = {camera: records.counts.get(camera, ImageCounts()) for camera in cameras}
        resumed = len(records.clips)
        # With overlap: the first clips after the interruption need earlier images.
        reach = round((engine.config.clip_frames + 1) * engine.config.frame_interval * 1e9)
        after = max(0, min(_last_received(records.clips, cameras), last) - reach)
        step = round(plan.clips.every * 1e9)
        begin = {clip.camera: clip.stamp + step for clip in records.clips}
        known = {(clip.camera, clip.stamp) for clip in records.clips}
        span = max(1, last - first)
        images = reader.images(topics, counts, after if resumed else 0)
        try:
            for clips in embed_images(
                engine,
                images,
                plan.clips,
                counts,
                lambda received: progress((received - first) / span),
                begin,
            ):
                new = [clip for clip in clips if (clip.camera, clip.stamp) not in known]
                records.append(new, counts)
        except BaseException:
            records.close()
            raise
        rest = {
            "problem": reader.problem,
            "topics": [asdict(topic) | asdict(counts[topic.camera]) for topic in topics],
            "left_out": [asdict(one) for one in left_out],
            "notes": [*reader.notes, *_unknown_cameras(plan.clips, cameras)],
        }
        if not records.clips:
            records.close(remove=True)
            notes, lost = describe(rest)
            read = ", ".join(f"{topic.topic} ({topic.messages} recorded)" for topic in topics)
            reasons = "; ".join([read, *lost, *notes])
            raise BagError(f"'{bag}' has too few images for a clip: {reasons}")
    return EmbeddedBag(bag, records, resumed, span / 1e9, rest)


def _unknown_cameras(plan: ClipPlan, cameras: Sequence[str]) -> list[str]:
    unknown = {*plan.rotate, *plan.crop} - {"", *cameras}
    return [
        f"no camera '{name}' to be turned or cropped; its cameras: {', '.join(cameras)}"
        for name in sorted(unknown)
    ]


def describe(rest: JsonMapping) -> tuple[list[str], list[str]]:
    """Lines about what is unusual about a bag, and about what is lost.

    Args:
        rest: `problem` and, if the bag was read, `topics`, `left_out` and `notes` of IndexReport.
    """
    topics = rest.get("topics", ())
    broken = (
        "{topic}: {broken} of the {tried} images that were tried cannot be used ({messages} are "
        "recorded); the first: {reason}"
    )
    notes = ["{topic}: {note}".format(**one) for one in topics if one["note"]]
    left_out = "left out: {topic} ({messages} images): {reason}"
    notes += [left_out.format(**one) for one in rest.get("left_out", ())]
    lost = [rest["problem"]] * bool(rest["problem"])
    lost += [broken.format(**one) for one in topics if one["broken"]]
    return [*rest.get("notes", ()), *notes], lost


def index_bag(
    bag: Path,
    engine: Engine,
    store: MemoryStore,
    plan: IndexPlan,
    work_folder: Path,
    progress: Callable[[float], None] = lambda share: None,
) -> tuple[IndexReport, list[Scene]]:
    """Index a bag into a memory; rows of an earlier run over the same bag are replaced.

    A run that was killed can be repeated: it continues with its embeddings. The rows are written at
    the end, as one batch.

    Raises:
        BagError: no bag, no images, or nothing can be read.
        MemoryStoreError: the store cannot be written; the embeddings are kept for the next run.
    """
    found = embed_bag(bag, engine, plan, work_folder, progress)
    source, records = str(found.bag), found.records
    try:
        scenes = scenes_of(records.clips, engine, plan.threshold)
        rows = scenes_to_rows(scenes, plan.sample_interval, source)
        if store.count(Filter(source=source)):
            store.delete(Filter(source=source))
        store.append(rows)
    except BaseException:
        records.close()
        raise
    # A damaged bag that was repaired has another size: that is other work.
    records.close(remove=True)
    progress(1.0)
    report = IndexReport(
        bag=source,
        seconds=found.seconds,
        images=sum(one["images"] for one in found.rest["topics"]),
        broken=sum(one["broken"] for one in found.rest["topics"]),
        embeddings=len(records.clips),
        resumed=found.resumed,
        segments=len(scenes),
        rows=len(rows),
        **found.rest,
    )
    return report, scenes


def write_events(scenes: list[Scene], source: str, model_id: str, path: Path) -> None:
    """Write the scenes of a bag as JSON lines; replaces the file atomically."""
    with atomic_write(path, "w") as file:
        for scene in scenes:
            file.write(json.dumps(scene.as_event(source, model_id)) + "\n")


def _last_received(clips: list[EmbeddedClip], cameras: list[str]) -> int:
    """Recording time up to which every camera is finished."""
    last = dict.fromkeys(cameras, 0)
    for clip in clips:
        last[clip.camera] = max(last[clip.camera], clip.received)
    return min(last.values(), default=0)


def _size(bag: Path) -> int:
    files = [bag] if bag.is_file() else [file for file in bag.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)
