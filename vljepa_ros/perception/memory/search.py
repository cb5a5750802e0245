"""Search: a text's embedding and some limits in, moments out."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.models.config import Calibration
from vljepa_ros.perception.memory.failure import QueryError
from vljepa_ros.perception.memory.moments import Moment, calibrated, merge_hits
from vljepa_ros.perception.memory.store import Filter, MemoryStore

__all__ = ["MAX_LIMIT", "MAX_TEXT", "MomentQuery", "check_query", "find_moments"]

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
    store: MemoryStore,
    query: MomentQuery,
    vector: NDArray[np.float32],
    calibration: Calibration,
    *,
    thumbnails: bool = False,
) -> list[Moment]:
    """At most `query.limit` moments, best first.

    :param vector: [D] float32, L2 norm 1: `query.text` through the Y-Encoder of the store's model.
    :raises QueryError: see `check_query`; or the memory knows no such camera or source.
    :raises MemoryStoreError: the store cannot be read.
    """
    check_query(query)
    _known("camera", query.camera, store.cameras() if query.camera else [])
    _known("source", query.source, store.distinct("source") if query.source else [])
    which = Filter(camera=query.camera, source=query.source, start=query.start, end=query.end)
    wanted = query.limit * HITS_PER_MOMENT
    while True:
        wanted = min(wanted, MAX_HITS)
        found = store.nearest(vector, wanted, which, thumbnails=thumbnails)
        fitting = [
            hit for hit in found if calibrated(hit.similarity, calibration) >= query.min_score
        ]
        moments = merge_hits(fitting, calibration, gap=query.gap, longest=query.longest)
        # Many hits can be one long moment: look deeper until there are enough moments, or no more
        # rows that fit.
        exhausted = len(found) < wanted or len(fitting) < len(found) or wanted >= MAX_HITS
        if len(moments) >= query.limit or exhausted:
            return moments[: query.limit]
        wanted *= 4


def _known(what: str, name: str, known: list[str]) -> None:
    if name and name not in known:
        raise QueryError(
            f"the memory knows no {what} '{name}'; it has: {', '.join(known) or 'none yet'}"
        )
