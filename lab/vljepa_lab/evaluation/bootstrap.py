"""Confidence intervals by resampling whole scenes, or whole streams.

Samples of one scene share its textures, light and objects, so they are not independent: resampling
samples would give intervals that are far too narrow (Efron and Tibshirani 1993, chapter 8).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A mean over samples with its interval.

    Attributes:
        value: the mean.
        low, high: percentile interval.
        n: samples.
        scenes: distinct scenes.
    """

    value: float
    low: float
    high: float
    n: int
    scenes: int


def percentile_interval(
    statistic: Callable[[Floats], float],
    units: int,
    draws: int,
    seed: int = 0,
) -> tuple[float, float]:
    """95% percentile interval of a statistic over units drawn with replacement.

    Args:
        statistic: its value where the units count with weights [units]: how often each was drawn.
        units: how many there are.
        draws: resamples.
        seed: the interval is the same for the same input.
    """
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(units, np.full(units, 1.0 / units), size=draws)
    values = [statistic(weights) for weights in counts.astype(np.float64)]
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)


def scene_bootstrap(
    values: ArrayLike,
    scenes: Sequence[Hashable] | NDArray[np.generic],
    resamples: int = 2000,
    seed: int = 0,
) -> Estimate:
    """Mean of `values` with the 95% percentile interval over resampled scenes.

    Each draw's statistic is the mean over all of its samples (a ratio of sums, since scenes differ
    in size).

    Args:
        values: [n] numbers, for accuracies 0 or 1.
        scenes: [n] the scene each value belongs to.
        resamples: draws of the bootstrap.
        seed: the interval is the same for the same input.

    Raises:
        ValueError: no values, or not a scene for each.
    """
    data = np.asarray(values, dtype=np.float64).reshape(-1)
    if data.size == 0 or len(scenes) != data.size:
        raise ValueError(f"{data.size} values of {len(scenes)} scenes, allowed: a scene for each")
    index: dict[Hashable, int] = {}
    groups = np.array([index.setdefault(scene, len(index)) for scene in scenes])
    sums = np.bincount(groups, weights=data, minlength=len(index))
    counts = np.bincount(groups, minlength=len(index)).astype(np.float64)
    low, high = percentile_interval(
        lambda weights: float((weights @ sums) / (weights @ counts)),
        len(index),
        resamples,
        seed,
    )
    return Estimate(float(data.mean()), low, high, int(data.size), len(index))
