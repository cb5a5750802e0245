"""Searches the memory: finds moments for the embedding of a text.

Neighbouring rows of a camera that fit a text are one result: hits are merged to moments.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.models.calibration import independent_probabilities
from vljepa_ros.models.config import Calibration
from vljepa_ros.perception.memory.row import Pose, Row
from vljepa_ros.perception.memory.store import Filter, Hit, MemoryStore, QueryError

MAX_LIMIT = 1000
MAX_TEXT = 512  # characters
HITS_PER_MOMENT = 16
"""Rows to search at first per moment: a segment and its samples are one moment."""
MAX_HITS = 8192
MERGE_SHARE = 0.5
"""Share of the best score that a neighbour needs to belong to a moment: otherwise everything around
a good hit would be a part of it."""


class UnknownMomentError(QueryError):
    """The memory has nothing about the moment that a query names."""

    code = "UNKNOWN_ID"


@dataclass(frozen=True)
class MomentQuery:
    """A query.

    Attributes:
        text: text to search for; empty: search by another moment.
        cameras: names; empty: all.
        source: name of a bag; empty: all.
        start: nanoseconds; None: no bound.
        end: nanoseconds; None: no bound.
        limit: maximum number of moments.
        min_score: calibrated, 0..1.
        gap: nanoseconds, see `merge_hits`.
        longest: nanoseconds, see `merge_hits`.
    """

    text: str
    cameras: tuple[str, ...] = ()
    source: str = ""
    start: int | None = None
    end: int | None = None
    limit: int = 10
    min_score: float = 0.0
    gap: int = 2_000_000_000
    longest: int = 120_000_000_000


@dataclass(frozen=True)
class Moment:
    """A span of time that fits a query.

    Attributes:
        camera: name of the camera.
        source: name of the bag; empty: a live camera.
        start: nanoseconds, start of the first merged row.
        end: nanoseconds, end of the last merged row.
        stamp: nanoseconds, of the best row.
        similarity: cosine, -1..1, of the best row.
        score: of the best row: calibrated, 0..1; the cosine, -1..1, for a query by another moment.
        text: text of the best row that has one.
        pose: pose of the best row that has one.
        best: the best row itself.
        thumbnail: JPEG of the best row that has one, as in `Row`; None: none was read.
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
    thumbnail: bytes | None


def check_query(query: MomentQuery, by_moment: bool = False) -> None:
    """Check a query before any text is embedded.

    Args:
        query: the query.
        by_moment: whether it searches by another moment, without a text.

    Raises:
        QueryError: it is invalid.
    """
    if not by_moment and not query.text.strip():
        raise QueryError("the text is empty: say what to look for")
    if len(query.text) > MAX_TEXT:
        raise QueryError(f"the text has {len(query.text)} characters, allowed: 1 to {MAX_TEXT}")
    if not 1 <= query.limit <= MAX_LIMIT:
        raise QueryError(f"limit is {query.limit}, allowed: 1 to {MAX_LIMIT}")
    if not (math.isfinite(query.min_score) and 0.0 <= query.min_score <= 1.0):
        raise QueryError(f"min_score is {query.min_score}, allowed: 0 to 1")
    if query.start is not None and query.end is not None and query.end < query.start:
        raise QueryError(
            f"end ({query.end / 1e9:.3f} s) is before start ({query.start / 1e9:.3f} s)"
        )


def find_moments(
    store: MemoryStore | None,
    query: MomentQuery,
    vector: NDArray[np.float32],
    calibration: Calibration | None,
    *,
    thumbnails: bool = False,
    recent: Sequence[Row] = (),
) -> list[Moment]:
    """Find at most `query.limit` moments, best first.

    Args:
        store: the store; None: nothing is on the disk yet.
        query: the query.
        vector: [D] float32, L2 norm 1: `query.text` encoded by the store's model, or the vector of
            another moment.
        calibration: calibration of the model; None: search by moment, scores are cosines.
        thumbnails: whether to read the stored images.
        recent: rows that are not on the disk yet; they are searched, too.

    Raises:
        QueryError: see `check_query`; the camera or source is unknown; or `min_score` is set
        although
            the model cannot judge a text alone (all scores are 0 then, the order is right).
        MemoryStoreError: the store cannot be read.
    """
    check_query(query, calibration is None)
    if query.min_score > 0.0 and calibration is not None and not calibration.judges_presence:
        raise QueryError(
            f"min_score is {query.min_score:g}, allowed: 0: this model cannot judge one text alone"
        )
    _check_known(store, query, recent)
    which = Filter(query.cameras, query.source, start=query.start, end=query.end)
    fresh = _hits_among([row for row in recent if which.means(row)], vector)
    wanted = query.limit * HITS_PER_MOMENT
    while True:
        wanted = min(wanted, MAX_HITS)
        kept = [] if store is None else store.nearest(vector, wanted, which, thumbnails=thumbnails)
        hits = heapq.nlargest(wanted, (*kept, *fresh), key=lambda hit: hit.similarity)
        fitting = [hit for hit in hits if _score(hit, calibration) >= query.min_score]
        moments = merge_hits(fitting, calibration, gap=query.gap, longest=query.longest)
        # Many hits can be one long moment: search deeper until there are enough moments, or no
        # further row fits.
        exhausted = len(hits) < wanted or len(fitting) < len(hits) or wanted >= MAX_HITS
        if len(moments) >= query.limit or exhausted:
            return moments[: query.limit]
        wanted *= 4


def moment_vector(
    store: MemoryStore | None, camera: str, stamp: int, recent: Sequence[Row] = ()
) -> NDArray[np.float32]:
    """Vector of the shortest row that contains a stamp: [D] float32, L2 norm 1.

    Args:
        store: the store; None: nothing is on the disk yet.
        camera: name of the camera.
        stamp: nanoseconds.
        recent: rows that are not on the disk yet.

    Raises:
        UnknownMomentError: no row contains the stamp.
    """
    which = Filter((camera,), start=stamp, end=stamp)
    found = [row for row in recent if which.means(row)]
    found += [] if store is None else store.rows(which)
    if not found:
        raise UnknownMomentError(
            f"nothing is remembered of camera '{camera}' at {stamp / 1e9:.3f} s"
        )
    return min(found, key=lambda row: row.end - row.start).vector


def _score(hit: Hit, calibration: Calibration | None) -> float:
    if calibration is None:
        return hit.similarity
    return float(independent_probabilities(hit.similarity, calibration))


def _hits_among(rows: Sequence[Row], vector: NDArray[np.float32]) -> list[Hit]:
    if not rows:
        return []
    vectors = np.stack([row.vector for row in rows])
    similarities = (vectors @ np.asarray(vector, np.float32)) / np.linalg.norm(vectors, axis=1)
    return [Hit(row, float(value)) for row, value in zip(rows, similarities, strict=True)]


def _check_known(store: MemoryStore | None, query: MomentQuery, recent: Sequence[Row]) -> None:
    wanted = [("camera", name) for name in query.cameras]
    for what, name in (*wanted, ("source", query.source)):
        names = {getattr(row, what) for row in recent}
        if not name or name in names:
            continue
        if store is not None:
            names.update(store.cameras() if what == "camera" else store.distinct(what))
        if name not in names:
            known = ", ".join(sorted(names)) or "none yet"
            raise QueryError(f"the memory knows no {what} '{name}'; it has: {known}")


@dataclass
class _Group:
    """Hits that belong together, best first."""

    start: int
    end: int
    score: float
    hits: list[Hit]

    def joined(self, start: int, end: int, score: float, gap: int, longest: int) -> bool:
        """Extend by [start, end] if that is near, scores alike, and the result is not too long."""
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
    hits: Sequence[Hit], calibration: Calibration | None, *, gap: int, longest: int
) -> list[Moment]:
    """Merge neighbouring hits of one camera and source, best moment first.

    Greedy from the best hit: a hit joins a moment if it overlaps it or is within `gap` nanoseconds,
    and scores about as well (MERGE_SHARE), unless the moment would become longer than `longest`
    nanoseconds: an hour of a quiet room fits "a quiet room" all the time, but is not one moment.
    """
    groups: dict[tuple[str, str], list[_Group]] = {}
    for hit in sorted(hits, key=lambda h: -h.similarity):
        row = hit.row
        score = _score(hit, calibration)
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


def _moment(group: _Group, calibration: Calibration | None) -> Moment:
    best = group.hits[0]
    return Moment(
        camera=best.row.camera,
        source=best.row.source,
        start=group.start,
        end=group.end,
        stamp=best.row.stamp,
        similarity=best.similarity,
        score=_score(best, calibration),
        text=next((hit.row.text for hit in group.hits if hit.row.text), ""),
        pose=next((hit.row.pose for hit in group.hits if hit.row.pose is not None), None),
        best=best.row,
        thumbnail=next((hit.row.thumbnail for hit in group.hits if hit.row.thumbnail), None),
    )
