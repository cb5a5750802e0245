"""The examples of a taught label: clips of the state, and of the other state."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.engines.protocol import Engine
from vljepa_ros.perception.memory.row import clip_to_jpeg, kept_clip
from vljepa_ros.perception.pipeline import Observation
from vljepa_ros.perception.teaching import (
    LEAST_FRAMES,
    TaughtLabel,
    TeachingError,
    fit,
    separability,
)
from vljepa_ros.perception.vocabulary import BAR
from vljepa_ros.perception.worker import CooperativeTask

MAX_NAME = 128  # characters
MAX_FRAMES = 200  # of a state that are kept
JUDGED_EVERY = 5  # frames of a recording


@dataclass(frozen=True)
class Example:
    """One clip that shows a state.

    Attributes:
        stamp: nanoseconds, of its newest image.
        vector: [D] float32, L2 norm 1: its embedding.
        jpeg: its images from `clip_to_jpeg`; empty: not kept.
        images: number of images.
    """

    stamp: int
    vector: NDArray[np.float32]
    jpeg: bytes = b""
    images: int = 1


@dataclass(frozen=True)
class Recording:
    """Consecutive clips of one camera that show one state."""

    camera: str
    shows_other: bool
    examples: tuple[Example, ...]


@dataclass(frozen=True)
class Lesson:
    """All examples of a taught label, and what was learned from them.

    Attributes:
        name: name of the label.
        other: name of the state it is distinguished from.
        model_id: model of the vectors.
        recordings: recordings, oldest first.
        label: the learned label; None: it cannot be used.
        message: why it cannot be used, else empty.
    """

    name: str
    other: str
    model_id: str
    recordings: tuple[Recording, ...] = ()
    label: TaughtLabel | None = field(default=None, compare=False)
    message: str = field(default="", compare=False)

    def of(self, shows_other: bool) -> list[Recording]:
        """The recordings of one state."""
        return [one for one in self.recordings if one.shows_other == shows_other]

    def frames(self, shows_other: bool) -> int:
        """How many clips show one state."""
        return sum(len(one.examples) for one in self.of(shows_other))

    def vectors(self, shows_other: bool) -> NDArray[np.float32]:
        """[N, D] of the clips that show one state."""
        found = [e.vector for one in self.of(shows_other) for e in one.examples]
        return np.array(found, np.float32)

    @property
    def pictures(self) -> int:
        """Bytes of the kept pictures."""
        return sum(len(e.jpeg) for one in self.recordings for e in one.examples)

    @property
    def too_little(self) -> str:
        """Message about a state with too few frames; empty: both have enough."""
        for shows_other, state in ((False, self.name), (True, self.other)):
            if (frames := self.frames(shows_other)) < LEAST_FRAMES:
                return f"{frames} frames show '{state}', allowed: {LEAST_FRAMES} or more"
        return ""

    def learned(self, visual_dim: int) -> Lesson:
        """This lesson with a newly learned label, or with the reason why there is none.

        Args:
            visual_dim: see `fit`.
        """
        if message := self.too_little:
            return replace(self, label=None, message=message)
        sizes = [[len(one.examples) for one in self.of(which)] for which in (False, True)]
        first, second = (np.repeat(np.arange(len(own)), own) for own in sizes)
        try:
            label = fit(self.vectors(False), self.vectors(True), first, second, visual_dim)
            return replace(self, label=label, message="")
        except TeachingError as error:
            return replace(self, label=None, message=str(error))

    def shown(self, recording: Recording) -> Lesson:
        """This lesson with one more recording; keeps the newest MAX_FRAMES of each state."""
        left = {False: MAX_FRAMES, True: MAX_FRAMES}
        kept: list[Recording] = []
        for one in reversed((*self.recordings, recording)):
            room = left[one.shows_other]
            if examples := one.examples[max(0, len(one.examples) - room) :] if room else ():
                left[one.shows_other] -= len(examples)
                kept.append(replace(one, examples=examples))
        return replace(self, recordings=tuple(reversed(kept)))

    def with_fewer_pictures(self) -> Lesson:
        """This lesson without the older half of each recording's pictures; embeddings stay."""
        recordings = []
        for one in self.recordings:
            places = [place for place, e in enumerate(one.examples) if e.jpeg]
            older = set(places[: -(-len(places) // 2)])
            examples = [
                replace(e, jpeg=b"") if i in older else e for i, e in enumerate(one.examples)
            ]
            recordings.append(replace(one, examples=tuple(examples)))
        return replace(self, recordings=tuple(recordings))


@dataclass
class RunningRecording:
    """A recording in progress; one thread adds to it, others read.

    Attributes:
        lesson: The examples so far.
        camera: Name of the camera.
        shows_other: Whether it shows the other state.
        until: Latest end, seconds of the steady clock.
        count: Number of clips.
        newest: Stamp of the newest clip, nanoseconds.
        tag: frame_id of the newest clip.
        separability: See `teaching`.
    """

    lesson: Lesson
    camera: str
    shows_other: bool
    until: float
    count: int = 0
    newest: int = 0
    tag: str = ""
    separability: float = math.nan
    _examples: deque[Example] = field(default_factory=lambda: deque(maxlen=MAX_FRAMES))

    def add(self, seen: Observation, frames: NDArray[np.uint8]) -> None:
        """Add an embedded clip, [T, S, S, 3] uint8 RGB."""
        jpeg = clip_to_jpeg(frames, frames.shape[1])
        self._examples.append(Example(seen.stamp, seen.embedding, jpeg, len(frames)))
        self.tag, self.newest, self.count = seen.tag, seen.stamp, self.count + 1
        if self.count % JUDGED_EVERY == 0:
            lesson = self.taken()
            self.separability = separability(lesson.vectors(False), lesson.vectors(True))

    def taken(self) -> Lesson:
        """The lesson with this recording added."""
        return self.lesson.shown(Recording(self.camera, self.shows_other, tuple(self._examples)))


def checked_label(name: str, what: str) -> str:
    """The name of a state without surrounding blanks. Raises TeachingError."""
    clean = name.strip()
    if not 1 <= len(clean) <= MAX_NAME:
        raise TeachingError(f"{what} has {len(clean)} characters, allowed: 1 to {MAX_NAME}")
    if BAR in clean:
        raise TeachingError(f"{what} is '{clean}', allowed: no '{BAR}', which separates labels")
    return clean


def embedded_again(lesson: Lesson, engine: Engine) -> CooperativeTask[Lesson]:
    """Embed the kept pictures of a lesson for another model, one per step."""
    recordings = []
    for recording in lesson.recordings:
        examples = []
        for example in recording.examples:
            clip = kept_clip(example.jpeg or None, example.images, example.stamp, engine.config)
            if clip is not None:
                (seen,) = engine.encode([clip], [None])
                (vector,) = engine.embed([seen.tokens], engine.config.default_query)
                examples.append(replace(example, vector=vector))
                yield None
        recordings.append(replace(recording, examples=tuple(examples)))
    made = tuple(one for one in recordings if one.examples)
    return replace(lesson, model_id=engine.config.model_id, recordings=made)
