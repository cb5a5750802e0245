"""From hits to moments: neighbouring rows of one camera that fit a text are one answer, not ten."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vljepa_ros.models.calibration import independent_probabilities
from vljepa_ros.models.config import Calibration
from vljepa_ros.perception.memory.row import Pose, Row
from vljepa_ros.perception.memory.store import Hit

MERGE_SHARE = 0.5
"""A neighbour belongs to a moment only if its score is at least this share of the best one's: else
everything around a good hit, fitting or not, would be a part of it."""


@dataclass(frozen=True)
class Moment:
    """A stretch of time that fits a text.

    start, end: nanoseconds, from the first to the last of the merged rows. stamp: nanoseconds, the
    best row's. similarity: cosine, -1..1; score: calibrated, 0..1; both of the best row. best: the
    best row itself (its thumbnail too, where one was read). text, pose: of the best row that has
    one.
    """

    camera: str
    source: str
    start: int
    end: int
    stamp: int
    similarity: float
    score: float
    text: str
    pose: Pose | None
    best: Row


def calibrated(similarity: float, calibration: Calibration) -> float:
    """Probability that a text fits, from its cosine."""
    return float(independent_probabilities(similarity, calibration))


@dataclass
class _Group:
    """Hits that belong together, best first."""

    start: int
    end: int
    score: float
    hits: list[Hit]

    def joined(self, start: int, end: int, score: float, gap: int, longest: int) -> bool:
        """Widen by [start, end] if that is near, fits as well, and the whole stays short."""
        if min(score, self.score) < MERGE_SHARE * max(score, self.score):
            return False
        if start > self.end + gap or end < self.start - gap:
            return False
        low, high = min(start, self.start), max(end, self.end)
        inside = low == self.start and high == self.end
        if not inside and high - low > longest:
            return False
        self.start, self.end = low, high
        return True


def merge_hits(
    hits: Sequence[Hit], calibration: Calibration, *, gap: int, longest: int
) -> list[Moment]:
    """Merge neighbouring hits of one camera and source, best moment first.

    Greedy from the best hit: a hit joins a moment that it overlaps or neighbours within `gap`
    nanoseconds and fits about as well (MERGE_SHARE), unless the moment would become longer than
    `longest` nanoseconds: an hour of a quiet room fits "a quiet room" at every second and is still
    not one moment.
    """
    groups: dict[tuple[str, str], list[_Group]] = {}
    for hit in sorted(hits, key=lambda h: -h.similarity):
        row = hit.row
        score = calibrated(hit.similarity, calibration)
        neighbours = groups.setdefault((row.camera, row.source), [])
        for group in neighbours:
            if group.joined(row.start, row.end, score, gap, longest):
                group.hits.append(hit)
                break
        else:
            neighbours.append(_Group(row.start, row.end, score, [hit]))
    moments = [
        _moment(group, calibration)
        for neighbours in groups.values()
        for group in _bridged(neighbours, gap, longest)
    ]
    return sorted(moments, key=lambda m: (-m.similarity, m.start))


def _bridged(groups: list[_Group], gap: int, longest: int) -> list[_Group]:
    """Join groups that a later, weaker hit has connected."""
    kept: list[_Group] = []
    for group in sorted(groups, key=lambda g: g.start):
        if kept and kept[-1].joined(group.start, group.end, group.score, gap, longest):
            kept[-1].score = max(kept[-1].score, group.score)
            kept[-1].hits = sorted(kept[-1].hits + group.hits, key=lambda h: -h.similarity)
        else:
            kept.append(group)
    return kept


def _moment(group: _Group, calibration: Calibration) -> Moment:
    best = group.hits[0]
    return Moment(
        camera=best.row.camera,
        source=best.row.source,
        start=group.start,
        end=group.end,
        stamp=best.row.stamp,
        similarity=best.similarity,
        score=calibrated(best.similarity, calibration),
        text=next((hit.row.text for hit in group.hits if hit.row.text), ""),
        pose=next((hit.row.pose for hit in group.hits if hit.row.pose is not None), None),
        best=best.row,
    )
