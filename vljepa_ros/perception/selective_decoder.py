"""Selective decoding: one decode for each detected change, repeated texts suppressed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.engines.protocol import Generated
from vljepa_ros.perception.change.detector import CHANGE, FIRST, ChangeDetector

HEARTBEAT = "heartbeat"


@dataclass(frozen=True)
class SceneUpdate:
    """What is happening, in words.

    Attributes:
        is_event: the text differs from the one before; False if only state and confidence changed,
            or nothing did (a heartbeat).
        is_first: the first text of this stream.
        sequence: number of the event, from 0; of the last event if this is none.
        stamp: seconds, of the sample at which this is published.
        onset: seconds, when what is published began.
        text: what is happening now.
        previous_text: the text of the event before; empty for the first.
        decoded: True: by the Y-Decoder; False: the nearest known text.
        confidence: 0..1.
        change: cosine distance, 0..2, between this state and the one before.
        state: [D] float32, L2 norm 1.
        is_heartbeat: nothing has changed, the state is repeated because it is time to.
    """

    is_event: bool
    is_first: bool
    sequence: int
    stamp: float
    onset: float
    text: str
    previous_text: str
    decoded: bool
    confidence: float
    change: float
    state: NDArray[np.float32]
    is_heartbeat: bool = False

    @property
    def reason(self) -> str:
        """FIRST, CHANGE or HEARTBEAT."""
        if self.is_heartbeat:
            return HEARTBEAT
        return FIRST if self.is_first else CHANGE


class SelectiveDecoder:
    """Turns the embeddings of one camera into scene updates."""

    def __init__(
        self,
        detector: ChangeDetector,
        generate: Callable[[NDArray[np.float32]], list[Generated]],
        heartbeat: float = 0.0,
    ) -> None:
        """Start with an empty stream.

        Args:
            detector: says when the state has changed.
            generate: Y-Decoder: texts for [B, D] float32 embeddings.
            heartbeat: seconds of stamps after which an unchanged state is repeated; 0: never. May
                be changed at any time.
        """
        self.detector = detector
        self.heartbeat = heartbeat
        self.decodes = 0
        self.last: SceneUpdate | None = None
        self._generate = generate
        self._sequence = -1
        self._previous_text = ""
        self._last_output_stamp = -math.inf  # seconds

    def restore(self, last: SceneUpdate) -> None:
        """Go on where another decoder ended: its last update is not published again as an event.

        Raises:
            TypeError: the detector cannot be restored.
            ValueError: the state of `last` is zero or not finite.
        """
        self.detector.restore(last.state)
        self.last = last
        self._sequence, self._previous_text = last.sequence, last.previous_text
        self._last_output_stamp = -math.inf

    def observe(self, stamp: float, embedding: NDArray[np.float32]) -> SceneUpdate | None:
        """Take one embedding; an update if the scene changed or a heartbeat is due.

        Args:
            stamp: seconds, of the image.
            embedding: [D] float32.
        """
        refused = self.detector.refused
        change = self.detector.observe(stamp, embedding)
        if change is None:
            return self._heartbeat(stamp) if self.detector.refused == refused else None
        last, generated = self.last, self._decode(change.state)
        before = "" if last is None else last.text
        is_event = last is None or generated.text != before
        if is_event:
            self._sequence += 1
            self._previous_text = before
        self._last_output_stamp = stamp
        self.last = SceneUpdate(
            is_event=is_event,
            is_first=last is None and change.reason == FIRST,
            sequence=self._sequence,
            stamp=change.stamp,
            onset=change.onset if is_event or last is None else last.onset,
            previous_text=self._previous_text,
            change=change.distance,
            state=change.state,
            **asdict(generated),
        )
        return self.last

    def describe(self, stamp: float, embedding: NDArray[np.float32]) -> SceneUpdate:
        """Decode what is seen at `stamp` seconds, changed or not; it is not an event."""
        return SceneUpdate(
            is_event=False,
            is_first=False,
            sequence=max(self._sequence, 0),
            stamp=stamp,
            onset=stamp,
            previous_text="" if self.last is None else self.last.text,
            change=self.detector.drift,
            state=embedding,
            **asdict(self._decode(embedding)),
        )

    def _heartbeat(self, stamp: float) -> SceneUpdate | None:
        self._last_output_stamp = min(self._last_output_stamp, stamp)  # time may jump back
        waited = stamp - self._last_output_stamp
        if self.last is None or not self.heartbeat or waited < self.heartbeat:
            return None
        self._last_output_stamp = stamp
        return replace(self.last, is_event=False, is_first=False, stamp=stamp, is_heartbeat=True)

    def _decode(self, state: NDArray[np.float32]) -> Generated:
        """Text of one state, [D] float32."""
        self.decodes += 1
        (generated,) = self._generate(state[None])
        return generated
