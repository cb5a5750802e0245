"""Evaluates a recording as the live nodes would, on the recording's own clock."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.engines.protocol import Engine
from vljepa_ros.files import JsonObject
from vljepa_ros.models.calibration import EncodedText, EncodedTexts
from vljepa_ros.perception.bags.embedding import ClipPlan, counting
from vljepa_ros.perception.bags.reading import SUFFIXES, BagImage, BagReader, ImageCounts
from vljepa_ros.perception.bags.topics import choose_topics
from vljepa_ros.perception.checking.spans import Spans, runs
from vljepa_ros.perception.image_source import ImageSource, SourceError, open_source
from vljepa_ros.perception.pipeline import CameraFeed, Observation, Pipeline
from vljepa_ros.perception.ring import ClipRing
from vljepa_ros.perception.stamps import ImageStamps
from vljepa_ros.perception.trigger_board import Reason, State, TriggerBoard
from vljepa_ros.perception.triggers import Trigger
from vljepa_ros.perception.vocabulary import Vocabulary

_ALLOWED = "a bag, a video file or a folder of images"


@dataclass
class Recording:
    """A bag, a video or a folder of images, open.

    Attributes:
        topics: camera -> topic; of a video or folder the camera is `camera`.
        start: nanoseconds since 1970 at which it begins.
        length: seconds; of a video or folder 0 until it has been read.
        images: in the order of recording.
        counts: camera -> what became of its images.
        rest: see `indexing.describe`; after the images have been read.
    """

    topics: Mapping[str, str]
    start: int
    length: float
    images: Iterable[BagImage]
    counts: Mapping[str, ImageCounts]
    rest: Callable[[], dict[str, Any]] = lambda: {"problem": ""}


@contextmanager
def open_recording(
    path: Path, topics: Mapping[str, str] | None, rate: float
) -> Iterator[Recording]:
    """Open a bag, a video file or a folder of images.

    Args:
        path: of it.
        topics: topic -> camera of a bag; None: as `choose_topics` does.
        rate: images a second of a folder.

    Raises:
        BagError: it is a bag, and cannot be used.
        SourceError: it is neither a bag nor a video nor a folder of images.
    """
    names = [file.name for file in path.iterdir()] if path.is_dir() else [path.name]
    if any(name.endswith((*SUFFIXES, ".bag", "metadata.yaml")) for name in names):
        with BagReader(path) as reader:
            found, left_out = choose_topics(reader, topics)
            counts = {topic.camera: ImageCounts() for topic in found}
            first, last = reader.span

            def rest() -> JsonObject:
                return {
                    "problem": reader.problem,
                    "topics": [asdict(one) | asdict(counts[one.camera]) for one in found],
                    "left_out": [asdict(one) for one in left_out],
                    "notes": reader.notes,
                }

            cameras = {topic.camera: topic.topic for topic in found}
            images = reader.images(found, counts)
            yield Recording(cameras, first, (last - first) / 1e9, images, counts, rest)
        return
    if not path.exists():
        raise SourceError(f"no recording at '{path}', allowed: {_ALLOWED}")
    source = open_source(str(path), 0, (0, 0), 0.0)
    if source.live:
        raise SourceError(f"'{path}' is live, allowed: {_ALLOWED}")
    made = Recording({"camera": str(path)}, 0, 0.0, (), {"camera": ImageCounts()})
    made.images = _shots(source, rate, made)
    made.rest = lambda: {"problem": source.left_out}
    yield made


def _shots(source: ImageSource, rate: float, recording: Recording) -> Iterator[BagImage]:
    """Images as a camera node publishes them."""
    for number, shot in enumerate(source.shots()):
        time = number / rate if shot.time is None else shot.time
        recording.length = time
        stamp, (height, width) = round(time * 1e9), shot.bgr.shape[:2]
        message = SimpleNamespace(
            height=height,
            width=width,
            encoding="bgr8",
            is_bigendian=0,
            step=3 * width,
            data=np.ascontiguousarray(shot.bgr).reshape(-1),
        )
        # a stamp of 0 would mean that the camera sets none
        yield BagImage("camera", stamp + 1, stamp, "", message)


@dataclass(frozen=True)
class Seen:
    """What one camera showed.

    Attributes:
        times: of its observations, seconds from the beginning of the recording.
        observations: see `Observation`.
    """

    times: list[float] = field(default_factory=list)
    observations: list[Observation] = field(default_factory=list)


def watch(
    engine: Engine,
    recording: Recording,
    plan: ClipPlan,
    subscriptions: Mapping[str, frozenset[str]],
    vocabulary: Vocabulary | None,
    taught: Mapping[str, EncodedText],
    progress: Callable[[float], None] = lambda share: None,
) -> dict[str, Seen]:
    """Run the pipeline over a recording as a worker that is always in time.

    Args:
        engine: a loaded model.
        recording: read to its end.
        plan: `every`: of `max_rate`; rotate and crop of the cameras.
        subscriptions: camera -> see CameraFeed.
        vocabulary: labels; None: none.
        taught: name -> taught label.
        progress: called with the share done, where the length is known.

    Returns:
        By camera.
    """
    config, now, received = engine.config, 0.0, 0
    seen = {camera: Seen() for camera in subscriptions}
    feeds = {}
    for camera, wanted in subscriptions.items():
        decode = counting(plan.decoder(camera, config), recording.counts[camera])
        ring: ClipRing[BagImage] = ClipRing(config.clip_frames, config.frame_interval, decode)
        rate = 1.0 / max(plan.every, config.period)
        feeds[camera] = CameraFeed(camera, ring, rate, wanted)
    stamps = {camera: ImageStamps(config.frame_interval) for camera in feeds}

    def keep(observation: Observation) -> float:
        seen[observation.camera].times.append(now)
        seen[observation.camera].observations.append(observation)
        return 0.0

    pipeline = Pipeline(engine, list(feeds.values()), keep, lambda used: None, lambda: now)
    pipeline.watching = True
    if vocabulary is not None:
        pipeline.labels.replace(1, vocabulary, taught)
        while pipeline.labels.pending:
            pipeline.labels.advance()
    pause = None
    for image in recording.images:
        if image.camera not in feeds:
            continue
        received = image.received
        time = max(now, (received - recording.start) / 1e9)
        while pause is not None and now + pause < time:  # what the worker does between two images
            now += pause
            pause = pipeline.step()
        now = time
        if recording.length:
            progress(now / recording.length)
        stamp = stamps[image.camera].read(image.stamp, received)
        counts = recording.counts[image.camera]
        counts.note = stamps[image.camera].trouble or counts.note
        if stamp is None:
            counts.tried += 1
            counts.refuse(stamps[image.camera].trouble)
            continue
        feeds[image.camera].ring.push(stamp, image, image.frame_id, now)
        pause = pipeline.step()
    return seen


@dataclass(frozen=True)
class Limits:
    """How triggers are judged: as the parameters of trigger_node of these names say; seconds."""

    release: float
    settle: float
    camera_timeout: float


@dataclass(frozen=True)
class Replayed:
    """What a board of N triggers made of T observations, and of each time without any.

    Attributes:
        edges: [T + 1] seconds, between which the states hold.
        states: [T, N] values of State.
        scores: [T, N] as they were then; NaN: none.
    """

    edges: NDArray[np.float64]
    states: NDArray[np.uint8]
    scores: NDArray[np.float32]

    def when(self, trigger: int, state: State) -> Spans:
        """The time for which one of them had a state."""
        return runs(self.edges, self.states[:, trigger] == state)


def replay(
    seen: Seen,
    wanted: Sequence[tuple[str, float]],
    texts: EncodedTexts,
    labels: Collection[str],
    limits: Limits,
) -> Replayed:
    """Let a board of triggers judge what a camera showed.

    Args:
        seen: one observation at least.
        wanted: text and threshold of each trigger.
        texts: those that are compared with embeddings.
        labels: those that are scored as labels.
        limits: common to all.
    """
    hold = round(limits.settle * 1e9)
    triggers = [
        Trigger("check", str(i), (text,), threshold=limit, release=limits.release, hold=hold)
        for i, (text, limit) in enumerate(wanted)
    ]
    board = TriggerBoard(triggers, texts, labels)
    edges: list[float] = []
    states, scores = [], []

    def keep(time: float, stamp: int) -> None:
        edges.append(time)
        states.append(board.state.copy())
        scores.append(np.where(board.evaluated == stamp, board.score, np.nan))

    for time, one in zip(seen.times, seen.observations, strict=True):
        if edges and time - edges[-1] > limits.camera_timeout:
            board.forget(Reason.CAMERA_STOPPED, one.stamp)
            keep(edges[-1] + limits.camera_timeout, one.stamp)
        if one.in_domain:
            board.observe(one.stamp, one.embedding)
            found: dict[str, float] = {}
            for group in one.groups:
                for text, score in zip(group.labels, group.scores.tolist(), strict=True):
                    found[text] = max(score, found.get(text, 0.0))
            board.observe_labels(one.stamp, found)
        else:
            board.forget(Reason.OUT_OF_DOMAIN, one.stamp)
        keep(time, one.stamp)
    edges.append(edges[-1] + limits.camera_timeout)
    return Replayed(np.array(edges), np.array(states), np.array(scores))
