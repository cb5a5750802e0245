"""Figures with standard errors, where pictures of one group (frames of a clip) count once."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

DRAWS = 400

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Figure:
    """A share or an AUC, 0..1, with its standard error; `n`: groups. NaN where there are none."""

    value: float
    error: float
    n: int

    def as_json(self) -> dict[str, float | int | None]:
        """Plain JSON types."""
        value, error = (round(x, 4) if np.isfinite(x) else None for x in (self.value, self.error))
        return {"value": value, "standard_error": error, "n": self.n}


def share(right: ArrayLike, groups: Sequence[Hashable]) -> Figure:
    """Mean over groups of the share that is right in each; its error is that of a mean.

    Args:
        right: [N] bool.
        groups: [N].
    """
    values = np.asarray(right, np.float64)
    if not len(values):
        return Figure(float("nan"), float("nan"), 0)
    index = _numbers(groups)
    means = np.bincount(index, values) / np.bincount(index)
    error = means.std(ddof=1) / np.sqrt(len(means)) if len(means) > 1 else float("nan")
    return Figure(float(means.mean()), float(error), len(means))


def auc(scores: ArrayLike, positive: ArrayLike, groups: Sequence[Hashable]) -> Figure:
    """Area under the ROC curve, each group counting once; its error by a bootstrap over groups.

    Args:
        scores: [N] numbers.
        positive: [N] bool.
        groups: [N].
    """
    values, shown = np.asarray(scores, np.float64), np.asarray(positive, bool)
    if not shown.any() or shown.all():
        return Figure(float("nan"), float("nan"), 0)
    index = _numbers(groups)
    weights = 1.0 / np.bincount(index)[index]
    order = np.argsort(values, kind="stable")
    ranked, shown, index, weights = values[order], shown[order], index[order], weights[order]
    _, tied = np.unique(ranked, return_inverse=True)
    count = int(index.max()) + 1
    draws = np.random.default_rng(0).multinomial(count, np.full(count, 1.0 / count), DRAWS)
    drawn = [_area(tied, shown, weights * draw[index]) for draw in draws]
    return Figure(_area(tied, shown, weights), float(np.nanstd(drawn)), count)


def _area(tied: NDArray[np.intp], shown: NDArray[np.bool_], weights: Floats) -> float:
    """Weighted AUC of sorted samples; `tied`: number of each one's score among the different."""
    size = int(tied[-1]) + 1
    yes = np.bincount(tied, weights * shown, size)
    no = np.bincount(tied, weights * ~shown, size)
    below = np.cumsum(no) - no
    total = yes.sum() * no.sum()
    return float((yes * (below + no / 2)).sum() / total) if total else float("nan")


def _numbers(groups: Sequence[Hashable]) -> NDArray[np.intp]:
    known: dict[Hashable, int] = {}
    return np.array([known.setdefault(group, len(known)) for group in groups], np.intp)
