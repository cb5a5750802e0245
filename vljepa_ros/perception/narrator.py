"""From changes of embedding to texts: asks the Y-Decoder only at a change, tells nothing twice."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.engines.protocol import Generated
from vljepa_ros.perception.change.interface import CHANGE, FIRST, HEARTBEAT, ChangeDetector


@dataclass(frozen=True)
class Narration:
    """What is happening, in words.

    news: True where the text is another than before (an event); False where only state and
    confidence changed, or nothing did (beat). first: the first text of this stream.
    sequence: number of the event, from 0; of the last one where it is no news.
    stamp: seconds, of the sample at which this is told; onset: seconds, when what is told began.
    change: cosine distance, 0..2, between this state and the one before.
    state: [D] float32, L2 norm 1. beat: nothing has changed, it is told again because it is time
    to.
    """

    news: bool
    first: bool
    sequence: int
    stamp: float
    onset: float
    text: str
    previous_text: str
    decoded: bool
    confidence: float
    change: float
    state: NDArray[np.float32]
    beat: bool = False

    @property
    def reason(self) -> str:
        """FIRST, CHANGE or HEARTBEAT."""
        if self.beat:
            return HEARTBEAT
        return FIRST if self.first else CHANGE


@runtime_checkable
class Restorable(ChangeDetector, Protocol):
    """A detector that can start from a state told before a restart."""

    def restore(self, state: NDArray[np.float32]) -> None:
        """Take [D] float32 for the published state: it is not told again."""


class Narrator:
    """Of one camera.

    :param generate: Y-Decoder: texts for [B, D] float32 embeddings.
    :param heartbeat: seconds of stamps after which the state is told again though it is no news;
        0: never. May be changed at any time.
    """

    def __init__(
        self,
        detector: ChangeDetector,
        generate: Callable[[NDArray[np.float32]], list[Generated]],
        heartbeat: float = 0.0,
    ) -> None:
        self.detector = detector
        self.heartbeat = heartbeat
        self._generate = generate
        self._sequence = -1
        self._previous = ""
        self._told_at = -math.inf  # seconds; the last stamp at which anything was told
        self.decodes = 0
        self.last: Narration | None = None

    def restore(self, last: Narration) -> None:
        """Go on where another narrator ended: what it told last is not told again as news.

        :raises TypeError: the detector cannot be restored.
        :raises ValueError: the state of `last` is zero or not finite.
        """
        if not isinstance(self.detector, Restorable):
            raise TypeError(f"{type(self.detector).__name__} cannot start from a state")
        self.detector.restore(last.state)
        self.last = last
        self._sequence, self._previous = last.sequence, last.previous_text
        self._told_at = -math.inf

    def observe(self, stamp: float, embedding: NDArray[np.float32]) -> Narration | None:
        """Take one embedding, [D] float32, of an image at `stamp` seconds; tells of a change, and
        of the same state again where that is due."""
        refused = self.detector.refused
        change = self.detector.observe(stamp, embedding)
        if change is None:
            return self._beat(stamp) if self.detector.refused == refused else None
        generated = self._decode(change.state)
        first = self.last is None
        before = "" if self.last is None else self.last.text
        news = first or generated.text != before
        if news:
            self._sequence += 1
            self._previous = before
        self._told_at = stamp
        self.last = Narration(
            news,
            first and change.reason == FIRST,
            self._sequence,
            change.stamp,
            change.onset if news or self.last is None else self.last.onset,
            generated.text,
            self._previous,
            generated.decoded,
            generated.confidence,
            change.distance,
            change.state,
        )
        return self.last

    def describe(self, stamp: float, embedding: NDArray[np.float32]) -> Narration:
        """A text for what is seen at `stamp`, changed or not; it counts as no event."""
        generated = self._decode(embedding)
        return Narration(
            False,
            False,
            max(self._sequence, 0),
            stamp,
            stamp,
            generated.text,
            "" if self.last is None else self.last.text,
            generated.decoded,
            generated.confidence,
            self.detector.drift,
            embedding,
        )

    def _beat(self, stamp: float) -> Narration | None:
        self._told_at = min(self._told_at, stamp)  # time may jump back
        if self.last is None or not self.heartbeat or stamp - self._told_at < self.heartbeat:
            return None
        self._told_at = stamp
        return replace(self.last, news=False, first=False, stamp=stamp, beat=True)

    def _decode(self, state: NDArray[np.float32]) -> Generated:
        self.decodes += 1
        (generated,) = self._generate(state[None])
        return generated
