"""Selective decoding: one decode per detected change; repeated texts are suppressed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.engines.protocol import Generated
from vljepa_ros.perception.change.detector import (
    CHANGE,
    CORRECTION,
    FIRST,
    Change,
    ChangeDetector,
    unit,
    visual_weights,
)

REQUEST = "request"
_UNSURE = Generated("", 0.0, False)


@dataclass(frozen=True)
class SceneUpdate:
    """A state of the scene with its text.

    Attributes:
        is_event: Whether it is an event: the text differs from the last one, or no text is sure
            enough; False if only state and confidence changed.
        reason: FIRST, CHANGE or CORRECTION (of `change.detector`), or REQUEST.
        sequence: Number of the event, from 0; if this is not an event, of the last one.
        corrects: For a correction the number of the corrected event, else `sequence`.
        stamp: Seconds, of the sample at which this is published.
        onset: Seconds, beginning of the state.
        text: The text; empty: none is sure enough.
        previous_text: The text of the event before; empty for the first.
        decoded: True: written by the Y-Decoder; False: the nearest known text, or none.
        confidence: Calibrated probability that the text is true, 0..1; 0 without a text.
        change: Cosine distance, 0..2, from the state before, in the entries that the detector
            compares.
        state: [D] float32, L2 norm 1.
    """

    is_event: bool
    reason: str
    sequence: int
    corrects: int
    stamp: float
    onset: float
    text: str
    previous_text: str
    decoded: bool
    confidence: float
    change: float
    state: NDArray[np.float32]


class SelectiveDecoder:
    """Turns the embeddings of one camera into scene updates.

    Args:
        detector: Decides when the state has changed.
        generate: Makes texts for [B, D] float32 embeddings: the Y-Decoder, or a LabelNarrator.
        min_confidence: Confidence below which a text is withheld, 0..1. May be changed at any time.
        sizes: Length of an embedding, and number of its last entries that the detector compares, 0
            for all; see `visual_weights`.
    """

    def __init__(
        self,
        detector: ChangeDetector,
        generate: Callable[[NDArray[np.float32]], list[Generated]],
        min_confidence: float = 0.0,
        sizes: tuple[int, int] = (0, 0),
    ) -> None:
        self.detector = detector
        self.min_confidence = min_confidence
        self.decodes = 0
        self.last: SceneUpdate | None = None
        self._generate = generate
        self._weights = visual_weights(*sizes)
        self._sequence = -1
        self._previous_text = ""
        self._in_domain = True

    def restore(self, last: SceneUpdate) -> None:
        """Continue after the last update of another decoder, which is not published again.

        Raises:
            TypeError: The detector cannot be restored.
            ValueError: The state of `last` is zero or not finite.
        """
        self.detector.restore(self._weighed(last.state))
        self.last = last
        self._sequence, self._previous_text = last.sequence, last.previous_text

    def observe(
        self, stamp: float, embedding: NDArray[np.float32], in_domain: bool = True
    ) -> SceneUpdate | None:
        """Take one embedding; returns an update if the scene changed or entered the domain again.

        Args:
            stamp: Seconds, of the image.
            embedding: [D] float32.
            in_domain: False: its pictures are out of the model's domain, so it gets no text.
        """
        change, last = self.detector.observe(stamp, self._weighed(embedding)), self.last
        crossed, self._in_domain = in_domain != self._in_domain, in_domain
        again = last if change is None and crossed else None
        if change is not None:
            state = self._whole(change.state)
        elif again is not None:
            state = again.state
            change = Change(stamp, again.onset, state, again.change, CORRECTION)
        else:
            return None
        try:
            found = self._decode(state)
        except Exception:  # of the engine: the next sample is judged again, nothing is lost
            self.detector.reset()
            raise
        before = "" if last is None else last.text
        unsure = not found.text and change.reason != FIRST and again is None
        is_event = last is None or unsure or found.text != before
        corrects = self._sequence
        if is_event:
            self._sequence += 1
            self._previous_text = before
        reason = change.reason
        if last is not None and (reason == FIRST or not last.is_event):
            reason = CHANGE  # the detector was reset, or there is no event to correct
        self.last = SceneUpdate(
            is_event=is_event,
            reason=reason,
            sequence=self._sequence,
            corrects=corrects if is_event and reason == CORRECTION else self._sequence,
            stamp=change.stamp,
            onset=change.onset if is_event or last is None else last.onset,
            text=found.text,
            previous_text=self._previous_text,
            decoded=found.decoded,
            confidence=found.confidence,
            change=change.distance,
            state=state,
        )
        return self.last

    @property
    def present(self) -> NDArray[np.float32] | None:
        """[D] float32, L2 norm 1: the present state; None before the first embedding."""
        present = self.detector.present
        return None if present is None else self._whole(present)

    def describe(self, stamp: float, embedding: NDArray[np.float32]) -> SceneUpdate:
        """Decode the state at `stamp` seconds, whether it has changed or not; no event."""
        found = self._decode(embedding)
        return SceneUpdate(
            is_event=False,
            reason=REQUEST,
            sequence=max(self._sequence, 0),
            corrects=max(self._sequence, 0),
            stamp=stamp,
            onset=stamp,
            text=found.text,
            previous_text="" if self.last is None else self.last.text,
            decoded=found.decoded,
            confidence=found.confidence,
            change=self.detector.drift,
            state=embedding,
        )

    def _weighed(self, embedding: NDArray[np.float32]) -> NDArray[np.float32]:
        fits = embedding.size == self._weights.size  # others are refused by the detector
        return embedding * self._weights if fits else embedding

    def _whole(self, state: NDArray[np.float32]) -> NDArray[np.float32]:
        """A state of the detector as an embedding, L2 norm 1."""
        return unit(state / self._weights) if state.size == self._weights.size else state

    def _decode(self, state: NDArray[np.float32]) -> Generated:
        """Text of one state, [D] float32."""
        if not self._in_domain:
            return _UNSURE
        self.decodes += 1
        (generated,) = self._generate(state[None])
        return generated if generated.confidence >= self.min_confidence else _UNSURE
