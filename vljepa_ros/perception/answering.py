"""Answers questions about the cameras' newest clips; runs in the worker's thread.

Several questions about several cameras cost one X-Encoder batch, for cameras whose newest clip is
not encoded yet, and one Predictor batch for every PREDICTOR_ROWS pairs of camera and question.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.engines.protocol import Captioner, Clip, EncodedClip, Engine
from vljepa_ros.perception.domain import DomainWatch, out_of_domain
from vljepa_ros.perception.pipeline import CameraFeed, Pipeline
from vljepa_ros.perception.questions import Answer, Question, best_answer, yes_or_no
from vljepa_ros.perception.ring import TakenClip
from vljepa_ros.perception.vocabulary import encode_texts, in_slices
from vljepa_ros.perception.worker import CooperativeTask

Tokens = NDArray[np.float32]

PREDICTOR_ROWS = 32
"""Maximum rows of a batch: about 20 ms on a CPU, for which a frame may have to wait, and few shapes
for engines that compile each."""
PICTURE_STANDS_S = 2  # seconds for which a single picture counts as seen
CANDIDATES_AT_ONCE = 1024
"""Candidates per pass of a model without embeddings."""


@dataclass(frozen=True)
class Freshness:
    """The condition for a clip to be new enough, by the times of `ClipRing.push`.

    Attributes:
        now: The node's clock, nanoseconds.
        after: Nanoseconds; the whole clip must be newer; 0: no such condition.
        max_age: Maximum age of the newest image in nanoseconds, or infinity.
        until: Time of the steady clock, in seconds, until which a question waits for such a clip.
    """

    now: Callable[[], int]
    after: int = 0
    max_age: float = math.inf
    until: float = 0.0

    def problem(self, times: tuple[int, int] | None) -> str:
        """Why a clip with these times of oldest and newest image is too old; empty: it is not."""
        if times is None:
            return "no usable image yet"
        oldest, newest = times
        age = self.now() - newest
        if abs(age) > self.max_age:  # one from the future is older than a clock that was set back
            return (
                f"the newest image is {age / 1e9:.2f} s old, allowed: {self.max_age / 1e9:.2f} s; "
                "see max_age and the parameter answer_max_age"
            )
        if self.after and oldest <= self.after:
            behind = (self.after - oldest) / 1e9
            return (
                f"the newest clip begins {behind:.2f} s before `after`; ask with `wait`, or later"
            )
        return ""

    def holds(self, times: tuple[int, int] | None) -> bool:
        """Whether a clip with these times is new enough."""
        return not self.problem(times)


@dataclass(frozen=True)
class AskedCamera:
    """The answers to all questions about one camera.

    Attributes:
        camera: Its name.
        clip: The clip that was used; None: none was new enough, the answers are STALE.
        answers: One for each question.
    """

    camera: str
    clip: TakenClip | None
    answers: list[Answer]


class Answerer:
    """Answers with the engine and the cameras of a pipeline.

    Args:
        pipeline: Its engine needs the capability `score`.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    @property
    def _engine(self) -> Engine:
        return self._pipeline.engine

    def ask(
        self,
        cameras: Sequence[str],
        questions: Sequence[Question],
        abstain_below: float,
        fresh: Freshness,
    ) -> CooperativeTask[list[AskedCamera]]:
        """Answer each question about the newest clip of each camera.

        Args:
            cameras: Names, all different.
            questions: With candidates, or without for a model that writes its own answer.
            abstain_below: 0..1, see `questions`.
            fresh: Which clips are new enough, and how long to wait for them.
        """
        vectors = yield from self._candidates(questions)
        feeds = [self._pipeline.cameras[name] for name in cameras]
        looked: dict[str, tuple[TakenClip, EncodedClip]] = {}
        while len(looked) < len(feeds):
            left = fresh.until - time.monotonic()
            if left <= 0 or all(_may_hold(feed, fresh) for feed in feeds):
                looked = self._pipeline.look(feeds, fresh.holds)
            if left <= 0:
                break
            if len(looked) < len(feeds):
                yield left
        tokens = [looked[feed.name][1].tokens for feed in feeds if feed.name in looked]
        answers = yield from self._answers(tokens, questions, vectors, abstain_below)
        asked = []
        for feed in feeds:
            if feed.name in looked:
                clip, fits = looked[feed.name][0], feed.domain.in_domain
                asked.append(AskedCamera(feed.name, clip, self._kept(answers.pop(0), fits)))
            else:
                stale = Answer("STALE", self._why_stale(feed, fresh))
                refused = [_unsupported(question) or stale for question in questions]
                asked.append(AskedCamera(feed.name, None, refused))
        return asked

    def ask_about(
        self, image: NDArray[np.uint8], question: Question, abstain_below: float
    ) -> CooperativeTask[Answer]:
        """Answer from a single image, [S, S, 3] uint8 RGB, used as a clip without motion."""
        vectors = yield from self._candidates([question])
        frames = np.repeat(image[None], self._engine.config.clip_frames, axis=0)
        (encoded,) = self._engine.encode([Clip(frames, (0,) * len(frames))], [None])
        watch = DomainWatch()
        for second in range(PICTURE_STANDS_S):
            self._pipeline.judge_domain((second * 10**9,), encoded, watch)
        answers = yield from self._answers([encoded.tokens], [question], vectors, abstain_below)
        return self._kept(answers[0], watch.in_domain)[0]

    def _kept(self, answers: list[Answer], in_domain: bool) -> list[Answer]:
        """The answers, replaced by OUT_OF_DOMAIN if the pictures are out of the domain."""
        if in_domain:
            return answers
        message = out_of_domain(self._engine.config)
        none = Answer("OUT_OF_DOMAIN", message, in_domain=False)
        return [
            replace(one, in_domain=False) if one.status == "UNSUPPORTED" else none
            for one in answers
        ]

    @staticmethod
    def _why_stale(feed: CameraFeed, fresh: Freshness) -> str:
        counts, times = feed.ring.counts, feed.ring.times
        refused = times is None and counts.error
        more = f"; the last one was refused: {counts.error}" if refused else ""
        return f"camera '{feed.name}': {fresh.problem(times)}{more}"

    def _candidates(
        self, questions: Sequence[Question]
    ) -> CooperativeTask[list[NDArray[np.float32]]]:
        """[compared texts, D] per question; empty for an engine that does not embed answers."""
        if "embed" not in self._engine.capabilities:
            return []
        kept = self._pipeline.candidates
        keys = [(asked.text, asked.candidates) for asked in questions]
        found = {key: known for key in keys if (known := kept.get(key)) is not None}
        new = {key: one for key, one in zip(keys, questions, strict=True) if key not in found}
        named = [text for asked in new.values() if asked.presence for text in asked.compared]
        things = iter((yield from encode_texts(self._engine, named)))
        read = [asked for asked in new.values() if not asked.presence]
        pairs = [(asked.text, one) for asked in read for one in asked.different]
        encode, dim = self._engine.encode_candidates, self._engine.config.dim
        answers = iter((yield from in_slices(encode, pairs, dim)))
        for key, asked in new.items():
            rows = [next(things if asked.presence else answers) for _ in asked.compared]
            found[key] = np.stack(rows)
            kept.put(key, found[key])
        return [found[key] for key in keys]

    def _answers(
        self,
        clips: Sequence[Tokens],
        questions: Sequence[Question],
        vectors: Sequence[NDArray[np.float32]],
        abstain_below: float,
    ) -> CooperativeTask[list[list[Answer]]]:
        """An answer for each clip and question."""
        answers = [[_unsupported(question) or Answer() for question in questions] for _ in clips]
        supported = [i for i, question in enumerate(questions) if not question.unsupported]
        rows = [(clip, question) for clip in range(len(clips)) for question in supported]
        size = PREDICTOR_ROWS if vectors else 1
        for start in range(0, len(rows), size):
            if start:
                yield None
            chunk = rows[start : start + size]
            if vectors:
                predicted = self._engine.embed(
                    [clips[clip] for clip, _ in chunk], [questions[i].text for _, i in chunk]
                )
                for (clip, i), vector in zip(chunk, predicted, strict=True):
                    scored = np.clip(vectors[i] @ vector, -1.0, 1.0)
                    answers[clip][i] = self._best(questions[i], scored, abstain_below)
            else:
                ((clip, i),) = chunk
                answers[clip][i] = yield from self._scored(clips[clip], questions[i], abstain_below)
        return answers

    def _scored(
        self, clip: Tokens, question: Question, abstain_below: float
    ) -> CooperativeTask[Answer]:
        """The answer of a model without embeddings."""
        unique = question.different
        if not unique:
            (written,) = cast(Captioner, self._engine).caption([clip], question.text)
            if written.confidence >= abstain_below:
                return Answer(text=written.text)
            return Answer(
                "AMBIGUOUS",
                f"the model's own words, '{written.text}', have the probability "
                f"{written.confidence:.2f}; an answer needs {abstain_below:.2f}",
            )
        chunks = []
        for start in range(0, len(unique), CANDIDATES_AT_ONCE):
            if start:
                yield None
            chunk = unique[start : start + CANDIDATES_AT_ONCE]
            chunks.append(self._engine.score(clip, question.text, chunk))
        return self._best(question, np.concatenate(chunks), abstain_below)

    def _best(
        self, question: Question, similarities: NDArray[np.float32], abstain_below: float
    ) -> Answer:
        config = self._engine.config
        if question.presence:
            return yes_or_no(question, similarities, config, abstain_below)
        return best_answer(question, similarities, config.calibration, abstain_below)


def _unsupported(question: Question) -> Answer | None:
    return Answer("UNSUPPORTED", question.unsupported) if question.unsupported else None


def _may_hold(feed: CameraFeed, fresh: Freshness) -> bool:
    """Whether a clip seems new enough; an image of it may still fail to decode."""
    last = feed.encoded
    return fresh.holds(feed.ring.times) or (last is not None and fresh.holds(last[0].times))
