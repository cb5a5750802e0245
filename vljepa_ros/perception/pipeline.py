"""Turns the cameras' images into embeddings and labels; `answering` uses the same cameras.

It runs in the worker's thread, which owns the engine; other threads push images into the cameras'
rings and set the fields of a `CameraFeed` that are marked live.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.engines.protocol import EncodedClip, Engine
from vljepa_ros.engines.text_embeddings import TextCache
from vljepa_ros.perception.domain import Domain, DomainWatch
from vljepa_ros.perception.frames import saturation
from vljepa_ros.perception.ring import ClipRing, TakenClip
from vljepa_ros.perception.scoring import ScoredGroup, score_group
from vljepa_ros.perception.vocabulary import EncodedVocabulary, VocabularyEncoder

EMBEDDINGS, LABELS = "embeddings", "labels"
_CANDIDATE_SETS = 16  # of questions, whose embeddings are kept: 1 MB for 1,000 at 256 numbers each
# Seconds until a stream too short for a clip is looked at again, even if no image follows: about
# one image of an ordinary camera.
RETRY_PARTIAL_CLIP_S = 0.1


class PerceptionError(RuntimeError):
    """A request that cannot be served now.

    Args:
        message: Why, and what would help.
        code: Name of a constant of msg/Result.
    """

    def __init__(self, message: str, code: str = "STALE") -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Observation:
    """The result for one clip of one camera.

    Attributes:
        camera: Its name.
        stamp: Nanoseconds, of the newest image.
        clip_start: Nanoseconds, of the oldest image.
        tag: frame_id of the newest image.
        embedding: [D] float32, L2 norm 1, for the default query.
        saturation: Saturation of the newest image, see `frames.saturation`.
        vocabulary_version: Version of the labels; 0 if there are none.
        groups: Empty if the labels have no subscribers.
        in_domain: See `DomainWatch`.
    """

    camera: str
    stamp: int
    clip_start: int
    tag: str
    embedding: NDArray[np.float32]
    saturation: float
    vocabulary_version: int
    groups: tuple[ScoredGroup, ...]
    in_domain: bool = True


@dataclass
class CameraFeed:
    """One camera as the pipeline sees it.

    Attributes:
        name: Name of the camera.
        ring: Its newest images.
        max_rate: Clips per second at most, live.
        subscriptions: Which of EMBEDDINGS and LABELS have subscribers, live. A camera without
            subscribers is not encoded.
        due: Time of the steady clock, in seconds, for the next clip. It ends at the image that
            arrives nearest to it; without one it is taken one camera period later.
        encoded: The newest clip that was encoded, for subscribers or for a question.
        published: Stamp of the newest image that was published, nanoseconds.
        domain: Whether its pictures are within the model's domain.
    """

    name: str
    ring: ClipRing[Any]
    max_rate: float
    subscriptions: frozenset[str] = frozenset()
    due: float = 0.0
    encoded: tuple[TakenClip, EncodedClip] | None = None
    published: int | None = None
    domain: DomainWatch = field(default_factory=DomainWatch)

    @property
    def slack(self) -> float:
        """Seconds by which a clip may be late: the camera's period, at most that of clips."""
        return min(self.ring.period, 1.0 / self.max_rate)

    def known(self, taken: TakenClip) -> EncodedClip | None:
        """A clip if it is already encoded; its stamps may be equal although its images differ."""
        last = self.encoded  # another thread may `forget`
        if last is None or last[0].clip.stamps != taken.clip.stamps:
            return None
        return last[1] if np.array_equal(last[0].clip.frames, taken.clip.frames) else None

    def forget(self) -> None:
        """Forget all images, because crop or rotation have changed, or time has jumped back."""
        self.ring.clear()
        self.encoded = self.published = None
        self.domain = DomainWatch()


class StageTimes:
    """Durations of each stage of the work, the newest 500 of each. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._samples: dict[str, deque[float]] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure the duration of a `with` block."""
        begin = time.perf_counter()
        yield
        self.add(name, time.perf_counter() - begin)

    def add(self, name: str, seconds: float) -> None:
        """Add the duration of a stage, seconds."""
        with self._lock:
            self._samples.setdefault(name, deque(maxlen=500)).append(seconds)

    def milliseconds(self) -> dict[str, tuple[float, float]]:
        """Stage -> median and 99th percentile, milliseconds."""
        with self._lock:
            samples = {name: np.asarray(taken) * 1e3 for name, taken in self._samples.items()}
        return {
            name: (float(np.median(taken)), float(np.percentile(taken, 99)))
            for name, taken in samples.items()
        }


class Pipeline:
    """Encodes the cameras' clips with one engine and emits an `Observation` per clip.

    Args:
        engine: A loaded model.
        cameras: The cameras to encode.
        publish: Called with each observation in the worker's thread; returns its age, the seconds
            since its stamp.
        vocabulary_ready: See `VocabularyEncoder`.
        clock: A monotonic clock, seconds: the steady clock, or that of a recording.

    Attributes:
        judges_domain: Whether pictures out of the model's domain are marked, if it is described;
            live.
        candidates: (question, its candidates) -> embeddings, for the last questions.
    """

    def __init__(
        self,
        engine: Engine,
        cameras: Sequence[CameraFeed],
        publish: Callable[[Observation], float],
        vocabulary_ready: Callable[[EncodedVocabulary], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.engine = engine
        self.cameras = {feed.name: feed for feed in cameras}
        self.labels = VocabularyEncoder(engine, vocabulary_ready)
        self.candidates = TextCache(_CANDIDATE_SETS)
        self.stages = StageTimes()
        self.clips = 0
        self.watching = False
        self.judges_domain = True
        self._domain = Domain.load(engine.config)
        self._publish = publish
        self._clock = clock

    def step(self) -> float | None:
        """Encode all clips that are due as one batch, then a slice of new labels.

        Returns:
            Seconds until the next step may be due; None: not before a new image.
        """
        pause = None
        if self.watching:
            begin = self._clock()
            ready = [feed for feed in self.cameras.values() if self._is_due(feed, begin)]
            if ready:
                self._encode_due(ready)
            pause = self._pause(self._clock())
        if self.labels.pending:
            self.labels.advance()
            return 0.0
        return pause

    def look(
        self, feeds: Sequence[CameraFeed], holds: Callable[[tuple[int, int]], bool]
    ) -> dict[str, tuple[TakenClip, EncodedClip]]:
        """Get the newest clips of some cameras; those not yet encoded are encoded as one batch.

        Args:
            feeds: The cameras.
            holds: Whether a clip is new enough, given the times of its oldest and newest image.

        Returns:
            Clips by camera; cameras without one that is new enough are missing. The last encoded
            clip counts as the newest for one period of `max_rate`.
        """
        found, batch = {}, []
        for feed in feeds:
            newest, last = feed.ring.newest, feed.encoded
            age = -1 if newest is None or last is None else newest - last[0].clip.stamps[-1]
            if last is not None and 0 <= age <= 1e9 / feed.max_rate and holds(last[0].times):
                found[feed.name] = last
                continue
            taken = feed.ring.take(math.inf)
            if taken is not None and holds(taken.times):
                batch.append((feed, taken))
        for (feed, taken), clip in zip(batch, self._encode(batch), strict=True):
            found[feed.name] = taken, clip
        return found

    def judge_domain(self, stamps: tuple[int, ...], clip: EncodedClip, watch: DomainWatch) -> None:
        """Score a clip with these stamps against the model's domain, and add that to `watch`."""
        if self._domain is None or not self.judges_domain:
            watch.in_domain = True
            return
        with self.stages.stage("domain"):
            watch.observe(stamps, self._domain.score(clip.tokens))

    def _is_due(self, feed: CameraFeed, now: float) -> bool:
        newest = feed.ring.newest
        if newest is None or newest == feed.published:
            return False
        # an image that arrived long before is old by then: wait for the next one
        if feed.ring.arrived < feed.due - feed.slack / 2 and now < feed.due + feed.slack:
            return False
        # a token VLM publishes nothing per clip: it only answers questions
        return bool(feed.subscriptions) and "embed" in self.engine.capabilities

    def _pause(self, now: float) -> float | None:
        """Seconds until the first camera with a new image may be encoded."""
        waits = [
            feed.due + feed.slack - now
            for feed in self.cameras.values()
            if feed.ring.newest not in (None, feed.published)
        ]
        return min((wait for wait in waits if wait > 0), default=None)

    def _encode_due(self, ready: Sequence[CameraFeed]) -> None:
        """Encode and publish the newest clips of some cameras."""
        batch = []
        for feed in ready:
            now, newest, seen = self._clock(), feed.ring.newest, feed.published
            # a clip that ends at the newest stamp published would be the same again
            after = None if newest is None or seen is None or newest < seen else seen
            with self.stages.stage("preprocess"):
                taken = feed.ring.take(now, after)
            if taken is None:
                feed.due = now + RETRY_PARTIAL_CLIP_S
                continue
            period = 1.0 / feed.max_rate
            # keeps the rate if images are a little late, without catching up
            feed.due = feed.due + period if now - feed.due < period else now + period
            batch.append((feed, taken))
        if not batch:
            return
        encoded = self._encode(batch)
        vocabulary, config = self.labels.current, self.engine.config
        version = vocabulary.version if vocabulary else 0
        wanted = [
            vocabulary.of_camera(feed.name) if vocabulary and LABELS in feed.subscriptions else []
            for feed, _ in batch
        ]
        asking = {config.default_query: list(range(len(batch)))}  # prompt -> clips of the batch
        for i, groups in enumerate(wanted):
            for group in groups:
                clips = asking.setdefault(group.group.prompt, [])
                if i not in clips:
                    clips.append(i)
        answers: dict[tuple[str, int], NDArray[np.float32]] = {}
        with self.stages.stage("predictor"):
            for prompt, clips in asking.items():
                vectors = self.engine.embed([encoded[i].tokens for i in clips], prompt)
                answers |= {(prompt, i): vectors[row] for row, i in enumerate(clips)}
        for i, (feed, taken) in enumerate(batch):
            stamps, vector = taken.clip.stamps, answers[config.default_query, i]
            with self.stages.stage("compare"):
                scored = tuple(
                    score_group(answers[group.group.prompt, i], group, config.calibration, vector)
                    for group in wanted[i]
                )
            colour = saturation(taken.clip.frames[-1])
            observation = Observation(
                feed.name,
                stamps[-1],
                stamps[0],
                taken.tag,
                vector,
                colour,
                version,
                scored,
                feed.domain.in_domain,
            )
            self.clips += 1
            feed.published = stamps[-1]
            with self.stages.stage("publish"):
                age = self._publish(observation)
            self.stages.add("camera_to_embedding", age)

    def _encode(self, batch: Sequence[tuple[CameraFeed, TakenClip]]) -> list[EncodedClip]:
        """Encode those that are not encoded yet, as one batch; returns all."""
        known = [feed.known(taken) for feed, taken in batch]
        missing = [pair for pair, clip in zip(batch, known, strict=True) if clip is None]
        states, made = [], list[EncodedClip]()
        for feed, taken in missing:
            # after a jump back a stamp may belong to another image than the cached features
            before = feed.encoded
            later = before is not None and taken.clip.stamps[-1] >= before[0].clip.stamps[-1]
            states.append(before[1].state if before and later else None)
        if missing:
            with self.stages.stage("x_encoder"):
                made = self.engine.encode([taken.clip for _, taken in missing], states)
            for (feed, taken), clip in zip(missing, made, strict=True):
                feed.encoded = taken, clip
                self.judge_domain(taken.clip.stamps, clip, feed.domain)
        new = iter(made)
        return [clip or next(new) for clip in known]
