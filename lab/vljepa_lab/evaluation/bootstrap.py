"""Confidence intervals by resampling whole scenes.

Samples of one scene share its textures, light and objects, so they are not independent: resampling
samples would give intervals that are far too narrow (Efron and Tibshirani 1993, chapter 8).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class Estimate:
    """A mean over samples with its interval.

    value: the mean; low, high: percentile interval; n: samples; scenes: distinct scenes.
    """

    value: float
    low: float
    high: float
    n: int
    scenes: int


def scene_bootstrap(
    values: ArrayLike,
    scenes: Sequence[Hashable] | NDArray[np.generic],
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Estimate:
    """Mean of `values` with the percentile interval over resampled scenes.

    Scenes are drawn with replacement; each draw's statistic is the mean over all of its samples (a
    ratio of sums, since scenes differ in size).

    :param values: [n] numbers, for accuracies 0 or 1.
    :param scenes: [n] the scene each value belongs to.
    :param level: coverage, 0..1.
    :param seed: the interval is the same for the same input.
    :raises ValueError: no values, lengths that differ, a level outside 0..1.
    """
    data = np.asarray(values, dtype=np.float64).reshape(-1)
    if data.size == 0:
        raise ValueError("a mean of no values does not exist: give at least one")
    if len(scenes) != data.size:
        raise ValueError(f"{data.size} values but {len(scenes)} scenes: one scene for each value")
    if not 0.0 < level < 1.0:
        raise ValueError(f"level is {level}, allowed: between 0 and 1")
    index: dict[Hashable, int] = {}
    groups = np.array([index.setdefault(scene, len(index)) for scene in scenes])
    sums = np.bincount(groups, weights=data, minlength=len(index))
    counts = np.bincount(groups, minlength=len(index)).astype(np.float64)
    rng = np.random.default_rng(seed)
    draws = rng.multinomial(len(index), np.full(len(index), 1.0 / len(index)), size=resamples)
    means = (draws @ sums) / (draws @ counts)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Estimate(float(data.mean()), float(low), float(high), int(data.size), len(index))
