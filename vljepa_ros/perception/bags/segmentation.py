"""Offline segmentation of a stream by Ward's method along time: only neighbours are merged.

Ward, J. H. (1963), Hierarchical grouping to optimize an objective function, JASA 58: merging two
clusters of n1 and n2 samples with means m1 and m2 costs n1 n2 / (n1 + n2) |m1 - m2|^2.
"""

from __future__ import annotations

import heapq
import itertools

import numpy as np
from numpy.typing import NDArray


def segment_stream(
    stamps: NDArray[np.int64],
    vectors: NDArray[np.float32],
    *,
    threshold: float = 0.8,
    gap: float = 5.0,
    shortest: float = 1.0,
) -> list[tuple[int, int]]:
    """Stretches of constant meaning, as half-open ranges of samples.

    :param stamps: [N] int64 nanoseconds, ascending. vectors: [N, D] float32, L2 norm 1.
    :param threshold: cost at which merging ends, above 0.
    :param gap: seconds without a sample that always separate.
    :param shortest: seconds; a shorter stretch joins the neighbour it is cheaper to merge with.
    """
    count = len(stamps)
    if count == 0:
        return []
    breaks = np.flatnonzero(np.diff(stamps) > gap * 1e9) + 1
    edges = [0, *breaks.tolist(), count]
    ranges: list[tuple[int, int]] = []
    for first, last in itertools.pairwise(edges):
        cuts = ward_boundaries(
            vectors[first:last], threshold, stamps[first:last], round(shortest * 1e9)
        )
        inner = [first, *(first + cut for cut in cuts), last]
        ranges += list(itertools.pairwise(inner))
    return ranges


def ward_boundaries(
    vectors: NDArray[np.float32],
    threshold: float,
    stamps: NDArray[np.int64] | None = None,
    shortest: int = 0,
) -> list[int]:
    """Indices at which a new segment begins, ascending, 0 not among them. O(N log N).

    Clusters that span less than `shortest` (in the unit of `stamps`) merge whatever it costs.
    """
    count = len(vectors)
    sums = vectors.astype(np.float64)
    sizes = np.ones(count)
    before = np.arange(count) - 1
    after = np.arange(count) + 1
    ends = np.arange(count)
    version = np.zeros(count, np.int64)

    def cost(left: int, right: int) -> float:
        n1, n2 = sizes[left], sizes[right]
        difference = sums[left] / n1 - sums[right] / n2
        return float(n1 * n2 / (n1 + n2) * (difference @ difference))

    def short(cluster: int) -> bool:
        if stamps is None or shortest <= 0:
            return False
        return int(stamps[ends[cluster]] - stamps[cluster]) < shortest

    heap = [(cost(i, i + 1), i, i + 1, 0, 0) for i in range(count - 1)]
    heapq.heapify(heap)
    alive = np.ones(count, bool)
    while heap:
        price, left, right, seen_left, seen_right = heapq.heappop(heap)
        stale = version[left] != seen_left or version[right] != seen_right
        if stale or not (alive[left] and alive[right]):
            continue
        if price > threshold and not (short(left) or short(right)):
            continue
        alive[right] = False
        sums[left] += sums[right]
        sizes[left] += sizes[right]
        ends[left] = ends[right]
        after[left] = after[right]
        version[left] += 1
        if after[right] < count:
            before[after[right]] = left
        for one, two in ((before[left], left), (left, after[left])):
            if one >= 0 and two < count:
                heapq.heappush(
                    heap, (cost(one, two), int(one), int(two), version[one], version[two])
                )
    return [int(i) for i in np.flatnonzero(alive) if i > 0]
