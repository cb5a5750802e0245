"""Cameras in, embeddings, labels and answers out: everything a perception node does with its model.

`receive` may be called from any thread; all else runs in the worker's thread, which owns the
engine.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.engines.protocol import Captioner, Clip, EncodedClip, Engine
from vljepa_ros.perception.answer import Answer, Question, answer
from vljepa_ros.perception.encode_texts import encode_texts
from vljepa_ros.perception.labels import ScoredGroup, score_group
from vljepa_ros.perception.ring import ClipRing, TakenClip
from vljepa_ros.perception.stages import StageTimes
from vljepa_ros.perception.vocabulary_encoder import EncodedVocabulary, VocabularyEncoder
from vljepa_ros.perception.worker import Slices

# Candidates scored at once by families that need the question for it. Each piece costs a pass over
# the clip, which is next to nothing for a dual encoder.
_PIECE = {"dual_encoder": 32, "token_vlm": 1024}
_YOUNG = 0.1


class PerceptionError(RuntimeError):
    """A request that cannot be met now: the message says why and what would help."""


@dataclass(frozen=True)
class Wanted:
    """What somebody listens to at the moment."""

    embedding: bool
    labels: bool


@dataclass(frozen=True)
class Observation:
    """One clip of one camera.

    stamp, clip_start: nanoseconds, of its newest and its oldest image. tag: frame_id of the newest.
    embedding: [D] float32, L2 norm 1, for the default query. groups: empty where labels are not
    wanted.
    """

    camera: str
    stamp: int
    clip_start: int
    tag: str
    embedding: NDArray[np.float32]
    vocabulary_version: int
    groups: tuple[ScoredGroup, ...]


@dataclass
class CameraFeed:
    """One camera as the pipeline sees it.

    wanted: asked before each clip. max_rate: clips a second at most, live.
    """

    name: str
    ring: ClipRing[Any]
    wanted: Callable[[], Wanted]
    max_rate: float
    due: float = 0.0
    kept: TakenClip | None = None
    encoded: EncodedClip | None = None

    def forget(self) -> None:
        """Images before this count no more: they were made in another way, or time went back."""
        self.ring.clear()
        self.kept = self.encoded = None


class Pipeline:
    """Of one engine.

    :param publish: given each observation, in the worker's thread.
    :param vocabulary_ready: see `VocabularyEncoder`.
    """

    def __init__(
        self,
        engine: Engine,
        cameras: Sequence[CameraFeed],
        publish: Callable[[Observation], None],
        vocabulary_ready: Callable[[EncodedVocabulary], None],
    ) -> None:
        self.engine = engine
        self.cameras = {feed.name: feed for feed in cameras}
        self.labels = VocabularyEncoder(engine, vocabulary_ready)
        self.stages = StageTimes()
        self.clips = 0
        self.watching = False
        self._publish = publish

    def step(self) -> float | None:
        """Encode what is new and wanted, as one batch; else a piece of a new vocabulary.

        :return: seconds until there may be more to do; None: not before a new image.
        """
        pause = None
        if self.watching:
            begin = time.monotonic()
            ready = [feed for feed in self.cameras.values() if self._is_due(feed, begin)]
            if ready:
                self._watch(ready)
            pause = self._pause(time.monotonic())
        if self.labels.pending:
            self.labels.advance()
            return 0.0
        return pause

    def ask(
        self,
        camera: str,
        question: Question,
        abstain_below: float,
        oldest: int | None,
    ) -> Slices[tuple[Answer, int]]:
        """Answer from the newest clip of a camera, once all candidates are encoded; see `answer`.

        :param oldest: nanoseconds; a clip that ends before it is refused.
        :return: the answer and the stamp of the newest image looked at.
        :raises PerceptionError: the camera has sent no usable image, or none that is new enough.
        """
        feed = self.cameras[camera]
        if feed.kept is None and feed.ring.newest is None:
            raise self._unseen(feed)
        vectors = yield from self._vectors(question)
        taken, encoded = self.look(camera)
        stamp = taken.clip.stamps[-1]
        if oldest is not None and stamp < oldest:
            raise PerceptionError(
                f"the newest clip of camera '{camera}' is {(oldest - stamp) / 1e9:.2f} s older "
                "than max_age allows; allow more, or 0 for no limit"
            )
        return (yield from self._answer(encoded, question, vectors, abstain_below)), stamp

    def ask_about(
        self, image: NDArray[np.uint8], question: Question, abstain_below: float
    ) -> Slices[Answer]:
        """Answer from a single image, [S, S, 3] uint8 RGB, taken as a scene that stands still."""
        vectors = yield from self._vectors(question)
        frames = np.repeat(image[None], self.engine.config.clip_frames, axis=0)
        (encoded,) = self.engine.encode([Clip(frames, (0,) * len(frames))], [None])
        return (yield from self._answer(encoded, question, vectors, abstain_below))

    def look(self, camera: str) -> tuple[TakenClip, EncodedClip]:
        """The newest clip, encoded: from memory if it is at most one period of `max_rate` old.

        :raises PerceptionError: the camera has sent no usable image.
        """
        feed = self.cameras[camera]
        newest = feed.ring.newest
        if feed.kept is not None and feed.encoded is not None and newest is not None:
            age = newest - feed.kept.clip.stamps[-1]
            if 0 <= age <= 1e9 / feed.max_rate:
                return feed.kept, feed.encoded
        # nobody else will ask for it: a young stream's oldest image may stand for what was before
        taken = feed.ring.take(math.inf)
        if taken is None:
            raise self._unseen(feed)
        self._encode([(feed, taken)])
        assert feed.encoded is not None
        return taken, feed.encoded

    @staticmethod
    def _unseen(feed: CameraFeed) -> PerceptionError:
        error = feed.ring.counts.error
        return PerceptionError(
            f"camera '{feed.name}' has sent no usable image yet"
            + (f"; the last one was refused: {error}" if error else "")
        )

    def _is_due(self, feed: CameraFeed, now: float) -> bool:
        if now < feed.due:
            return False
        newest = feed.ring.newest
        if newest is None or (feed.kept is not None and newest == feed.kept.clip.stamps[-1]):
            return False
        wanted = feed.wanted()
        # a token VLM has nothing to publish for each clip: it works when it is asked
        return (wanted.embedding or wanted.labels) and "embed" in self.engine.capabilities

    def _pause(self, now: float) -> float | None:
        """Seconds until the first camera that has something new may be encoded."""
        waits = [
            max(0.0, feed.due - now)
            for feed in self.cameras.values()
            if now < feed.due and feed.ring.newest is not None
        ]
        return min(waits, default=None)

    def _watch(self, ready: Sequence[CameraFeed]) -> None:
        batch = []
        for feed in ready:
            now = time.monotonic()
            with self.stages.stage("preprocess"):
                taken = feed.ring.take(now, self._before(feed))
            if taken is None:  # too young a stream: look again soon, even if no image follows
                feed.due = now + _YOUNG
                continue
            period = 1.0 / feed.max_rate
            # keeps the rate exact where images arrive a little late, without catching up
            feed.due = feed.due + period if now - feed.due < period else now + period
            batch.append((feed, taken))
        if not batch:
            return
        encoded = self._encode(batch)
        wanted = [feed.wanted() for feed, _ in batch]
        tokens = [clip.tokens for clip in encoded]
        vocabulary = self.labels.current if any(w.labels for w in wanted) else None
        answers: dict[str, NDArray[np.float32]] = {}
        default = self.engine.config.default_query
        prompts = [group.group.prompt for group in vocabulary.groups] if vocabulary else []
        with self.stages.stage("predictor"):
            for prompt in dict.fromkeys([default, *prompts]):
                answers[prompt] = self.engine.embed(tokens, prompt)
        for i, (feed, taken) in enumerate(batch):
            with self.stages.stage("compare"):
                groups = tuple(
                    score_group(
                        answers[group.group.prompt][i], group, self.engine.config.calibration
                    )
                    for group in (vocabulary.groups if vocabulary and wanted[i].labels else ())
                )
            observation = Observation(
                feed.name,
                taken.clip.stamps[-1],
                taken.clip.stamps[0],
                taken.tag,
                answers[default][i],
                vocabulary.version if vocabulary else 0,
                groups,
            )
            self.clips += 1
            with self.stages.stage("publish"):
                self._publish(observation)

    def _before(self, feed: CameraFeed) -> int | None:
        """The newest stamp that was encoded: a clip that ends there would be the same again."""
        newest = feed.ring.newest
        if feed.kept is None or newest is None or newest < feed.kept.clip.stamps[-1]:
            return None
        return feed.kept.clip.stamps[-1]

    def _encode(self, batch: Sequence[tuple[CameraFeed, TakenClip]]) -> list[EncodedClip]:
        states = []
        for feed, taken in batch:
            # after a jump back a stamp may stand for another image: the cached features lie
            went_on = feed.kept is not None and taken.clip.stamps[-1] >= feed.kept.clip.stamps[-1]
            states.append(feed.encoded.state if went_on and feed.encoded else None)
        with self.stages.stage("x_encoder"):
            encoded = self.engine.encode([taken.clip for _, taken in batch], states)
        for (feed, taken), clip in zip(batch, encoded, strict=True):
            feed.kept, feed.encoded = taken, clip
        return encoded

    def _vectors(self, question: Question) -> Slices[NDArray[np.float32] | None]:
        """Of the different candidates, where the predicted answer is compared with them alone."""
        if self.engine.config.family != "vl_jepa":
            return None
        return (yield from encode_texts(self.engine, list(dict.fromkeys(question.candidates))))

    def _answer(
        self,
        encoded: EncodedClip,
        question: Question,
        vectors: NDArray[np.float32] | None,
        abstain_below: float,
    ) -> Slices[Answer]:
        if not question.candidates:
            writer = cast(Captioner, self.engine)
            (said,) = writer.caption([encoded.tokens], question.text)
            unsure = said.confidence < abstain_below
            return Answer(said.text, -1, np.zeros(0, np.float32), 0.0, unsure)
        if vectors is not None:
            (predicted,) = self.engine.embed([encoded.tokens], question.text)
            scored = np.clip(vectors @ predicted, -1.0, 1.0)
        else:
            scored = yield from self._scored(encoded, question)
        return answer(question, lambda *_: scored, self.engine.config.calibration, abstain_below)

    def _scored(self, encoded: EncodedClip, question: Question) -> Slices[NDArray[np.float32]]:
        """Scores of the different candidates, piece by piece."""
        unique = list(dict.fromkeys(question.candidates))
        size = _PIECE[self.engine.config.family]
        pieces = []
        for start in range(0, len(unique), size):
            if start:
                yield
            piece = unique[start : start + size]
            pieces.append(self.engine.score(encoded.tokens, question.text, piece))
        return np.concatenate(pieces)
