"""From changes of embedding to texts: asks the Y-Decoder only at a change, tells nothing twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.engines.protocol import Generated
from vljepa_ros.perception.change.interface import FIRST, ChangeDetector

__all__ = ["Narration", "Narrator"]


@dataclass(frozen=True)
class Narration:
    """What is happening, in words.

    news: True where the text is another than before (an event); False where only state or
    confidence changed. first: the first text of this stream. sequence: number of the event, from 0;
    of the last one where it is no news. stamp, onset: seconds. change: cosine distance, 0..2.
    state: [D] float32, L2 norm 1.
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


class Narrator:
    """Of one camera.

    :param generate: Y-Decoder: texts for [B, D] float32 embeddings.
    """

    def __init__(
        self,
        detector: ChangeDetector,
        generate: Callable[[NDArray[np.float32]], list[Generated]],
    ) -> None:
        self.detector = detector
        self._generate = generate
        self._sequence = -1
        self._previous = ""
        self.decodes = 0
        self.last: Narration | None = None

    def observe(self, stamp: float, embedding: NDArray[np.float32]) -> Narration | None:
        """Take one embedding, [D] float32, of an image at `stamp` seconds; tells of a change."""
        change = self.detector.observe(stamp, embedding)
        if change is None:
            return None
        generated = self._decode(change.state)
        first = self.last is None
        before = "" if self.last is None else self.last.text
        news = first or generated.text != before
        if news:
            self._sequence += 1
            self._previous = before
        self.last = Narration(
            news,
            first and change.reason == FIRST,
            self._sequence,
            change.stamp,
            change.onset,
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

    def _decode(self, state: NDArray[np.float32]) -> Generated:
        self.decodes += 1
        (generated,) = self._generate(state[None])
        return generated
