"""Text to moment: is the moment that a text tells of among the nearest ones?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["first_of_each", "ranks"]


def ranks(texts: NDArray[np.float32], moments: NDArray[np.float32]) -> NDArray[np.int64]:
    """Rank of the one relevant moment of each text, 1 for the best.

    Equal similarities count against it, so that a collapsed model does not look perfect.

    :param texts: [n, D] float32, L2 norm 1; text i tells of moment i.
    :param moments: [n, D] float32, L2 norm 1.
    :return: [n] ranks, 1..n.
    :raises ValueError: shapes that differ, or nothing to rank.
    """
    if texts.shape != moments.shape or texts.ndim != 2 or len(texts) == 0:
        raise ValueError(f"texts {texts.shape} and moments {moments.shape}: equal [n, D], n > 0")
    similarity = texts @ moments.T
    own = np.diagonal(similarity)[:, None]
    return np.asarray((similarity >= own).sum(axis=1), dtype=np.int64)


def first_of_each(keys: Sequence[str], order: Sequence[int]) -> list[int]:
    """Indices of one entry for each different key, the first in `order`."""
    chosen: dict[str, int] = {}
    for index in order:
        chosen.setdefault(keys[index], index)
    return sorted(chosen.values())
