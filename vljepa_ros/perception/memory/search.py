"""Search: a text's embedding and some limits in, moments out."""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.models.config import Calibration
from vljepa_ros.perception.memory.failure import QueryError
from vljepa_ros.perception.memory.moments import Moment, calibrated, merge_hits
from vljepa_ros.perception.memory.row import Row
from vljepa_ros.perception.memory.store import Filter, Hit, MemoryStore

MAX_LIMIT = 1000
MAX_TEXT = 512
HITS_PER_MOMENT = 16
"""Rows looked for at first: a segment and its samples are one moment."""
MAX_HITS = 8192


@dataclass(frozen=True)
class MomentQuery:
    """What to look for.

    camera, source: empty for all. start, end: nanoseconds, None for no bound. min_score:
    calibrated, 0..1. gap, longest: nanoseconds, see `merge_hits`.
    """

    text: str
    camera: str = ""
    source: str = ""
    start: int | None = None
    end: int | None = None
    limit: int = 10
    min_score: float = 0.0
    gap: int = 2_000_000_000
    longest: int = 120_000_000_000


def check_query(query: MomentQuery) -> None:
    """:raises QueryError: the query makes no sense; before any text is embedded."""
    if not query.text.strip():
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
    calibration: Calibration,
    *,
    thumbnails: bool = False,
    recent: Sequence[Row] = (),
) -> list[Moment]:
    """At most `query.limit` moments, best first.

    :param store: None: nothing is on the disk yet.
    :param vector: [D] float32, L2 norm 1: `query.text` through the Y-Encoder of the store's model.
    :param recent: rows that are on the way to the disk; they are found as well.
    :raises QueryError: see `check_query`; or the memory knows no such camera or source.
    :raises MemoryStoreError: the store cannot be read.
    """
    check_query(query)
    _check_known(store, query, recent)
    which = Filter(camera=query.camera, source=query.source, start=query.start, end=query.end)
    fresh = _hits_among([row for row in recent if which.means(row)], vector)
    wanted = query.limit * HITS_PER_MOMENT
    while True:
        wanted = min(wanted, MAX_HITS)
        found = [] if store is None else store.nearest(vector, wanted, which, thumbnails=thumbnails)
        hits = heapq.nlargest(wanted, (*found, *fresh), key=lambda hit: hit.similarity)
        fitting = [
            hit for hit in hits if calibrated(hit.similarity, calibration) >= query.min_score
        ]
        moments = merge_hits(fitting, calibration, gap=query.gap, longest=query.longest)
        # Many hits can be one long moment: look deeper until there are enough moments, or no more
        # rows that fit.
        exhausted = len(hits) < wanted or len(fitting) < len(hits) or wanted >= MAX_HITS
        if len(moments) >= query.limit or exhausted:
            return moments[: query.limit]
        wanted *= 4


def _hits_among(rows: Sequence[Row], vector: NDArray[np.float32]) -> list[Hit]:
    if not rows:
        return []
    vectors = np.stack([row.vector for row in rows])
    similarities = (vectors @ np.asarray(vector, np.float32)) / np.linalg.norm(vectors, axis=1)
    return [Hit(row, float(value)) for row, value in zip(rows, similarities, strict=True)]


def _check_known(store: MemoryStore | None, query: MomentQuery, recent: Sequence[Row]) -> None:
    if query.camera and all(row.camera != query.camera for row in recent):
        _known("camera", query.camera, store.cameras() if store else [], recent)
    if query.source and all(row.source != query.source for row in recent):
        _known("source", query.source, store.distinct("source") if store else [], recent)


def _known(what: str, name: str, kept: Sequence[str], recent: Sequence[Row]) -> None:
    if name not in kept:
        known = sorted({*kept, *(getattr(row, what) for row in recent)})
        raise QueryError(
            f"the memory knows no {what} '{name}'; it has: {', '.join(known) or 'none yet'}"
        )
