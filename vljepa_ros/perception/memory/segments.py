"""From a camera's stream of embeddings and events to rows: one for each segment, some samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.perception.memory.row import SAMPLE, SEGMENT, Pose, Row

MAX_KEPT = 512
"""Samples of an open segment kept for its mean; when full, every second one is dropped."""


@dataclass(frozen=True)
class RecorderSettings:
    """What is kept of a stream.

    sample_interval: seconds between two samples that are kept, 0: segments only. longest: seconds
    after which a segment is written though nothing changed (a crash must not lose an hour). gap:
    seconds without an embedding that end a segment.
    """

    sample_interval: float = 1.0
    longest: float = 60.0
    gap: float = 5.0

    def __post_init__(self) -> None:
        if not self.sample_interval >= 0.0:
            raise ValueError(f"sample_interval is {self.sample_interval} s, allowed: 0 or above")
        if not (self.longest > 0.0 and self.gap > 0.0):
            raise ValueError(f"longest ({self.longest} s) and gap ({self.gap} s) must be above 0")


@dataclass(frozen=True)
class _Seen:
    start: int
    stamp: int
    vector: NDArray[np.float32]
    pose: Pose | None
    thumbnail: bytes | None
    frames: int


def segment_row(
    camera: str,
    seen: list[_Seen],
    *,
    text: str = "",
    label: str = "",
    label_score: float = 0.0,
    source: str = "",
) -> Row:
    """One row for a stretch: the mean of its embeddings, and the sample that is nearest to it."""
    vectors = np.stack([one.vector for one in seen])
    mean = vectors.mean(axis=0)
    norm = float(np.linalg.norm(mean))
    if norm < 1e-3:  # samples that cancel out have no mean direction
        mean, norm = vectors[len(seen) // 2], 1.0
    mean = (mean / norm).astype(np.float32)
    best = seen[int(np.argmax(vectors @ mean))]
    return Row(
        SEGMENT,
        camera,
        start=seen[0].stamp if len(seen) > 1 else seen[0].start,
        end=seen[-1].stamp,
        stamp=best.stamp,
        vector=mean,
        text=text,
        label=label,
        label_score=label_score,
        source=source,
        pose=best.pose,
        thumbnail=best.thumbnail,
        thumbnail_frames=best.frames,
    )


class SegmentRecorder:
    """One camera's stream. Reads no clock; constant memory."""

    def __init__(self, camera: str, settings: RecorderSettings, source: str = "") -> None:
        self._camera = camera
        self.settings = settings
        self._source = source
        self._seen: list[_Seen] = []
        self._stride = 1
        self._count = 0
        self._text = ""
        self._label = ""
        self._label_score = 0.0
        self._last: int | None = None
        self._last_sample: int | None = None

    def sample_due(self, stamp: int) -> bool:
        """Whether a sample at `stamp` nanoseconds would be kept: make its thumbnail only then."""
        if self.settings.sample_interval <= 0.0:
            return False
        last = self._last_sample
        return (
            last is None
            or stamp < last
            or (stamp - last) / 1e9 >= (self.settings.sample_interval - 1e-6)
        )

    def observe(
        self,
        start: int,
        stamp: int,
        vector: NDArray[np.float32],
        pose: Pose | None = None,
        thumbnail: bytes | None = None,
        thumbnail_frames: int = 0,
    ) -> list[Row]:
        """Take one embedding; returns the rows that are complete now.

        :param start, stamp: nanoseconds; oldest and newest image of the clip. A stamp that jumps
            back, or a long gap, ends the segment.
        :param vector: [D] float32, L2 norm 1.
        """
        rows: list[Row] = []
        step = 0.0 if self._last is None else (stamp - self._last) / 1e9
        if self._last is not None and step == 0.0:
            return rows
        self._last = stamp
        length = (stamp - self._seen[0].stamp) / 1e9 if self._seen else 0.0
        if step < 0.0 or step > self.settings.gap or length > self.settings.longest:
            rows += self.finish()
        one = _Seen(min(start, stamp), stamp, vector, pose, thumbnail, thumbnail_frames)
        if self.sample_due(stamp):
            self._last_sample = stamp
            rows.append(self._sample(one))
        self._count += 1
        if self._count % self._stride == 0 or not self._seen:
            self._seen.append(one)
        if len(self._seen) > MAX_KEPT:
            self._seen = self._seen[::2]
            self._stride *= 2
        return rows

    def change(self, onset: int, text: str, label: str = "", label_score: float = 0.0) -> list[Row]:
        """The meaning changed at `onset` nanoseconds; returns the row of the segment before it."""
        before = [one for one in self._seen if one.stamp < onset]
        after = [one for one in self._seen if one.stamp >= onset]
        self._seen = before
        rows = self.finish()
        self._seen = after
        self._text, self._label, self._label_score = text, label, label_score
        return rows

    def finish(self) -> list[Row]:
        """End the open segment; its row, or none where nothing was seen since the last."""
        seen, self._seen = self._seen, []
        self._stride, self._count = 1, 0
        if not seen:
            return []
        return [
            segment_row(
                self._camera,
                seen,
                text=self._text,
                label=self._label,
                label_score=self._label_score,
                source=self._source,
            )
        ]

    def _sample(self, one: _Seen) -> Row:
        return Row(
            SAMPLE,
            self._camera,
            start=one.start,
            end=one.stamp,
            stamp=one.stamp,
            vector=one.vector,
            text=self._text,
            label=self._label,
            label_score=self._label_score,
            source=self._source,
            pose=one.pose,
            thumbnail=one.thumbnail,
            thumbnail_frames=one.frames,
        )
