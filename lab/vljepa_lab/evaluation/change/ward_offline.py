"""Offline Ward segmentation of a recorded stream: what VL-JEPA evaluates as selective decoding.

Agglomerative clustering with Ward's criterion in which only neighbours in time may merge, cut into
a given number of segments; each is decoded once, from the mean of its embeddings (arXiv 2512.10942,
section 4.6). It sees the future: for recorded streams only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.perception.change.detector import unit


@dataclass(frozen=True)
class WardTree:
    """All segmentations of a stream, from one segment for each sample to a single one.

    embeddings: [T, D] float32. merges: [T-1, 2] clusters merged, in order of cost; cluster T + i
    is the result of merge i.
    """

    embeddings: NDArray[np.float32]
    merges: NDArray[np.intp]

    def starts(self, segments: int) -> NDArray[np.intp]:
        """[segments] index of the first sample of each segment, ascending.

        Raises:
            ValueError: `segments` is not in 1..T.
        """
        count = len(self.embeddings)
        if not 1 <= segments <= count:
            raise ValueError(f"segments is {segments}, allowed: 1 to {count}")
        first = np.arange(2 * count - 1)
        begins = np.ones(count, dtype=bool)
        for merge, (one, other) in enumerate(self.merges[: count - segments]):
            low, high = sorted((int(first[one]), int(first[other])))
            first[count + merge] = low
            begins[high] = False
        return np.flatnonzero(begins)

    def states(self, segments: int) -> NDArray[np.float32]:
        """[segments, D] float32, L2 norm 1: the mean of each segment.

        Raises:
            ValueError: `segments` is not in 1..T.
        """
        starts = self.starts(segments)
        stops = np.append(starts[1:], len(self.embeddings))
        return np.stack(
            [unit(self.embeddings[a:b].mean(axis=0)) for a, b in zip(starts, stops, strict=True)]
        )

    def middles(self, segments: int) -> NDArray[np.intp]:
        """[segments] index of the sample in the middle of each segment.

        Raises:
            ValueError: `segments` is not in 1..T.
        """
        starts = self.starts(segments)
        stops = np.append(starts[1:], len(self.embeddings))
        return np.asarray((starts + stops - 1) // 2)


def ward_tree(embeddings: NDArray[np.float32]) -> WardTree:
    """Cluster a stream, [T, D] float32 with T of at least 1, once for all numbers of segments.

    Raises:
        ValueError: `embeddings` is empty, not two-dimensional or not finite.
        ImportError: scikit-learn is missing.
    """
    if embeddings.ndim != 2 or len(embeddings) < 1 or not np.isfinite(embeddings).all():
        raise ValueError(f"embeddings of shape {embeddings.shape}: wanted [T, D], finite, T >= 1")
    count = len(embeddings)
    if count == 1:
        return WardTree(embeddings, np.zeros((0, 2), dtype=np.intp))
    try:
        from scipy.sparse import diags
        from sklearn.cluster import ward_tree as sklearn_ward_tree
    except ImportError as error:
        raise ImportError(
            "offline Ward segmentation needs scikit-learn: pip install 'vljepa_lab[eval]'"
        ) from error
    neighbours = diags([1, 1], [-1, 1], shape=(count, count), dtype=np.float64)
    merges = sklearn_ward_tree(embeddings.astype(np.float64), connectivity=neighbours)[0]
    return WardTree(embeddings, np.asarray(merges, dtype=np.intp))
