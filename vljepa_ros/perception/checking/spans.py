"""Spans of time, as arrays [N, 2] of begin and end in seconds: disjoint, ascending."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

Spans = NDArray[np.float64]
Mask = NDArray[np.bool_]


def spans(pairs: Iterable[tuple[float, float]]) -> Spans:
    """Make spans [N, 2] of pairs of begin and end, which may overlap, in any order."""
    raw = np.array(list(pairs), np.float64).reshape(-1, 2)
    return combine(raw, raw, np.logical_or)


def combine(one: Spans, other: Spans, keep: Callable[[Mask, Mask], Mask]) -> Spans:
    """[N, 2] the spans in which `keep` holds, given whether a time is in one and in the other.

    `np.logical_and`: in both; `np.logical_or`: in any; `np.greater`: only in the first.
    """
    edges = np.unique(np.concatenate([one.ravel(), other.ravel()]))
    middles = (edges[:-1] + edges[1:]) / 2
    return runs(edges, keep(_inside(one, middles), _inside(other, middles)))


def runs(edges: NDArray[np.float64], kept: Mask) -> Spans:
    """Make spans [M, 2] of N + 1 ascending times and [N] flags for the time between two."""
    if not len(kept):
        return np.zeros((0, 2))
    steps = np.diff(np.concatenate([[False], kept, [False]]).astype(np.int8))
    return np.stack([edges[steps == 1], edges[steps == -1]], axis=1)


def seconds(of: Spans) -> float:
    """Total length of spans [N, 2]."""
    return float((of[:, 1] - of[:, 0]).sum())


def _inside(of: Spans, times: NDArray[np.float64]) -> Mask:
    begun, ended = (np.searchsorted(np.sort(edge), times, "right") for edge in of.T)
    return begun > ended
