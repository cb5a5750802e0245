"""Turns a camera's embeddings and events into rows: one for each segment, and samples."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.perception.memory.row import SAMPLE, SEGMENT, Pose, Row, mean_direction

MAX_KEPT = 512
"""Maximum number of samples for the mean of a segment; at the limit every second one is dropped."""


@dataclass(frozen=True)
class RecorderSettings:
    """Which rows are made of a stream.

    Attributes:
        sample_interval: seconds between two samples; 0: segments only.
        longest: seconds after which a segment is written although nothing changed, so that a crash
            does not lose an hour.
        gap: seconds without an embedding that end a segment.
    """

    sample_interval: float = 1.0
    longest: float = 60.0
    gap: float = 5.0


class SegmentRecorder:
    """Makes rows of one camera's stream, in constant memory and without a clock."""

    def __init__(self, camera: str, settings: RecorderSettings) -> None:
        self._camera = camera
        self.settings = settings
        self._open: list[Row] = []  # samples of the open segment
        self._stride = 1
        self._count = 0
        self._text = ""  # in force
        self._last: int | None = None
        self._last_sample: int | None = None

    def sample_due(self, stamp: int) -> bool:
        """Whether a sample at `stamp` nanoseconds would be stored and so needs a thumbnail."""
        if self.settings.sample_interval <= 0.0:
            return False
        last, least = self._last_sample, self.settings.sample_interval - 1e-6
        return last is None or stamp < last or (stamp - last) / 1e9 >= least

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

        Args:
            start: nanoseconds, oldest image of the clip.
            stamp: nanoseconds, newest image of the clip. One that jumps back, or a long gap, ends
                the segment.
            vector: [D] float32, L2 norm 1.
            pose: pose of the robot.
            thumbnail: see `Row`.
            thumbnail_frames: see `Row`.
        """
        rows: list[Row] = []
        step = 0.0 if self._last is None else (stamp - self._last) / 1e9
        if self._last is not None and step == 0.0:
            return rows
        self._last = stamp
        length = (stamp - self._open[0].stamp) / 1e9 if self._open else 0.0
        if step < 0.0 or step > self.settings.gap or length > self.settings.longest:
            rows += self.finish()
        sample = Row(
            SAMPLE,
            self._camera,
            start=min(start, stamp),
            end=stamp,
            stamp=stamp,
            vector=vector,
            pose=pose,
            thumbnail=thumbnail,
            thumbnail_frames=thumbnail_frames,
            text=self._text,
        )
        if self.sample_due(stamp):
            self._last_sample = stamp
            rows.append(sample)
        self._count += 1
        if self._count % self._stride == 0 or not self._open:
            self._open.append(sample)
        if len(self._open) > MAX_KEPT:
            self._open = self._open[::2]
            self._stride *= 2
        return rows

    def change(self, onset: int, text: str) -> list[Row]:
        """Start a new segment at `onset` nanoseconds; returns the row of the one before."""
        after = [sample for sample in self._open if sample.stamp >= onset]
        self._open = [sample for sample in self._open if sample.stamp < onset]
        rows = self.finish()
        self._open = after
        self._text = text
        return rows

    def correct(self, text: str) -> list[Row]:
        """Replace the text of the present segment; returns no rows."""
        self._text = text
        return []

    def finish(self) -> list[Row]:
        """End the present segment; returns its row, or none if it has no samples.

        The row has the mean of the embeddings, and everything else of the sample nearest to it.
        """
        samples, self._open = self._open, []
        self._stride, self._count = 1, 0
        if not samples:
            return []
        vectors = np.stack([sample.vector for sample in samples])
        mean = mean_direction(vectors)
        first, best = samples[0], samples[int(np.argmax(vectors @ mean))]
        start = first.stamp if len(samples) > 1 else first.start
        end = samples[-1].stamp
        return [replace(best, kind=SEGMENT, start=start, end=end, vector=mean, text=self._text)]
