"""Keeps the newest images of one camera, undecoded, and takes clips from them by stamp.

Rules, so that a clip depends only on the stream and not on the speed of the model:

- A clip ends at the newest image; the others are the nearest to 1, 2, ... `interval` seconds before
  it. If none is near (a slow camera), the last one before that time is used: what could be seen
  then.
- Time that jumps back by more than half an interval empties the ring; an image that is less out of
  order is left out. A gap longer than a clip starts a new one.
- A new ring waits until it spans a clip. A stream that does not grow (one still image, a very slow
  camera) has its first clip when a clip's length has passed on the caller's clock: the oldest image
  is repeated.
- Between the newest image and the one before it, images nearer than an eighth of an interval are
  thinned out, so that memory does not grow with the camera's rate.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.engines.protocol import Clip
from vljepa_ros.perception.image_encodings import FrameError

M = TypeVar("M")
_SMOOTHING = 8  # images over which the period is averaged
_THINNING = 8  # parts of an interval: images nearer than one of them are thinned out


@dataclass(frozen=True)
class TakenClip:
    """A clip with the times of its images.

    Attributes:
        clip: Frames and stamps.
        tag: frame_id of the newest image.
        times: Times of the oldest and the newest image, nanoseconds, see `ClipRing.push`.
    """

    clip: Clip
    tag: str
    times: tuple[int, int]


@dataclass
class RingCounts:
    """Counts of a camera's images.

    Attributes:
        received: Images pushed.
        dropped: Images that were never part of a clip.
        broken: Images that could not be decoded.
        restarts: Times the ring was emptied because time jumped back or paused.
        error: Why the most recent decode failed.
        failing: The same, cleared by the next usable image.
    """

    received: int = 0
    dropped: int = 0
    broken: int = 0
    restarts: int = 0
    error: str = ""
    failing: str = ""


@dataclass
class _Entry(Generic[M]):
    stamp: int
    time: int
    message: M | None
    tag: str
    frame: NDArray[np.uint8] | None = None


class ClipRing(Generic[M]):
    """The newest images of one camera. One thread pushes, another takes and decodes clips.

    Args:
        frames: T, images in a clip, at least 1.
        interval: Seconds between two of them, above 0.
        decode: Returns [S, S, 3] uint8 RGB of a message or raises FrameError: a FrameDecoder.
        history: Seconds by which a clip may end before the newest image.

    Attributes:
        counts: Counts of the images.
        arrived: When the newest image was pushed, seconds of the clock of `push`.
        period: Seconds between two pushes, smoothed; 0 until there are two.
    """

    def __init__(
        self,
        frames: int,
        interval: float,
        decode: Callable[[M], NDArray[np.uint8]],
        history: float = 0.0,
    ) -> None:
        self._frames = frames
        self._interval = round(interval * 1e9)
        self._span = self._interval * (frames - 1)
        self._history = round(history * 1e9)
        self._decode = decode
        self._lock = threading.Lock()
        self._entries: list[_Entry[M]] = []
        self._began = 0.0
        self._times: tuple[int, int] | None = None
        self.counts = RingCounts()
        self.arrived = self.period = 0.0

    @property
    def newest(self) -> int | None:
        """Stamp of the newest image, nanoseconds; None if there is none."""
        with self._lock:
            return self._entries[-1].stamp if self._entries else None

    @property
    def times(self) -> tuple[int, int] | None:
        """Times of the oldest and the newest image of the clip that could be taken on demand."""
        with self._lock:
            if self._times is None and self._entries:
                chosen = self._choose(math.inf, None)
                self._times = chosen[0].time, chosen[-1].time
            return self._times

    def push(
        self, stamp: int, message: M, tag: str = "", now: float = 0.0, time: int | None = None
    ) -> bool:
        """Keep one image.

        Args:
            stamp: Nanoseconds, the camera's own.
            message: Passed to `decode` if the image becomes part of a clip.
            tag: Its frame_id.
            now: Seconds of a steady clock, the same as for `take`.
            time: When the image was taken, nanoseconds of the node's clock; None: its stamp.

        Returns:
            False if it was left out (out of order or a repeated stamp).
        """
        with self._lock:
            self.counts.received += 1
            if self._entries:
                step = stamp - self._entries[-1].stamp
                if -self._interval // 2 <= step <= 0:
                    self.counts.dropped += 1
                    return False
                if step < 0 or step > self._span + self._interval:
                    self.counts.restarts += 1
                    self._clear()
            if self._entries:
                gap = now - self.arrived
                self.period += (gap - self.period) / (_SMOOTHING if self.period else 1)
            else:
                self._began = now
            self.arrived = now
            self._entries.append(_Entry(stamp, stamp if time is None else time, message, tag))
            self._times = None
            self._forget()
            return True

    def clear(self) -> None:
        """Forget all images."""
        with self._lock:
            self._clear()

    def take(self, now: float, after: int | None = None, at: int | None = None) -> TakenClip | None:
        """The newest clip; images that cannot be decoded are left out and counted.

        Args:
            now: Seconds, the clock of `push`; infinity: on demand, fill up a partial clip.
            after: Nanoseconds; the clip must end after it.
            at: Nanoseconds; the clip ends at the image nearest to it, instead of the newest.

        Returns:
            None if there is no clip (yet).
        """
        while True:
            with self._lock:
                chosen = self._choose(now, at)
            if not chosen or (after is not None and chosen[-1].stamp <= after):
                return None
            broken = self._decode_all(chosen)
            if broken is None:
                frames = np.stack([entry.frame for entry in chosen if entry.frame is not None])
                stamps = tuple(entry.stamp for entry in chosen)
                times = chosen[0].time, chosen[-1].time
                return TakenClip(Clip(frames, stamps), chosen[-1].tag, times)
            with self._lock:
                self._entries = [entry for entry in self._entries if entry is not broken]
                self._times = None

    def _choose(self, now: float, at: int | None) -> list[_Entry[M]]:
        entries = self._entries
        if not entries:
            return []
        head = entries[-1].stamp if at is None else self._at(at).stamp
        complete = entries[0].stamp <= head - self._span + self._interval // 2
        if not complete and now - self._began < self._span / 1e9:
            return []
        return [self._at(head - back * self._interval) for back in range(self._frames)][::-1]

    def _at(self, wanted: int) -> _Entry[M]:
        near = min(self._entries, key=lambda entry: abs(entry.stamp - wanted))
        if abs(near.stamp - wanted) <= self._interval // 2:
            return near
        before = [entry for entry in self._entries if entry.stamp <= wanted]
        return before[-1] if before else self._entries[0]

    def _decode_all(self, chosen: list[_Entry[M]]) -> _Entry[M] | None:
        """Decode entries, newest first; returns the first that cannot be decoded, or None."""
        for entry in reversed(chosen):
            message = entry.message
            if entry.frame is not None or message is None:
                continue
            try:
                entry.frame = self._decode(message)
            except FrameError as error:
                self.counts.broken += 1
                self.counts.error = self.counts.failing = str(error)
                return entry
            self.counts.failing = ""
            entry.message = None  # frees the full-size image; the small one is enough
        return None

    def _forget(self) -> None:
        """Drop images that no clip can still need."""
        entries = self._entries
        spacing = self._interval // _THINNING
        if len(entries) > 2 and entries[-2].stamp - entries[-3].stamp < spacing:
            self._drop(len(entries) - 2)
        oldest = entries[-1].stamp - self._span - self._history
        while len(entries) > 1 and entries[1].stamp <= oldest - self._interval // 2:
            self._drop(0)

    def _drop(self, index: int) -> None:
        if self._entries.pop(index).frame is None:
            self.counts.dropped += 1

    def _clear(self) -> None:
        self.counts.dropped += sum(entry.frame is None for entry in self._entries)
        self._entries.clear()
        self._times = None
