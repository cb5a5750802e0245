"""Calibration of stated probabilities, and the gain of abstaining."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def reliability_bins(
    stated: ArrayLike, correct: ArrayLike, bins: int = 10
) -> tuple[Floats, Floats, Floats]:
    """Bins of equal mass, lowest probability first; with few samples fewer than `bins`.

    Args:
        stated: [n] probability of the answer given, 0..1.
        correct: [n] 1 where the answer was right.
        bins: at most.

    Returns:
        Of each of the B bins of a reliability diagram: mean stated probability [B], share that was
        right [B], samples [B].

    Raises:
        ValueError: no samples, lengths that differ, a probability outside 0..1.
    """
    stated, right = _outcomes(stated, correct)
    if not (np.isfinite(stated).all() and stated.min() >= 0.0 and stated.max() <= 1.0 + 1e-6):
        raise ValueError(
            f"probabilities lie in {stated.min():.3g}..{stated.max():.3g}, allowed 0..1"
        )
    order = np.argsort(stated, kind="stable")
    parts = np.array_split(order, min(bins, stated.size))
    rows = [(stated[part].mean(), right[part].mean(), len(part)) for part in parts]
    confidence, accuracy, counts = np.array(rows, dtype=np.float64).T
    return confidence, accuracy, counts


def expected_calibration_error(
    stated: ArrayLike, correct: ArrayLike, bins: int = 10, debiased: bool = False
) -> float:
    """Mean over equal-mass bins of |share right - stated probability|, weighted by samples.

    The plain estimate is biased upwards: even a perfect calibrator shows the sampling noise of its
    bins. With `debiased` each bin's expected noise, the folded normal mean minus |difference|, is
    taken off (Kumar, Liang, Ma 2019, "Verified uncertainty calibration", section 5, for the L1
    error).
    """
    confidence, accuracy, counts = reliability_bins(stated, correct, bins)
    gaps = np.abs(accuracy - confidence)
    if debiased:
        deviations = np.sqrt(accuracy * (1 - accuracy) / counts)
        gaps = 2 * gaps - [
            _folded_normal_mean(*pair) for pair in zip(gaps, deviations, strict=True)
        ]
    return max(float(counts @ gaps) / float(counts.sum()), 0.0)


@dataclass(frozen=True)
class Coverage:
    """A point of the curve of accuracy over coverage.

    Attributes:
        share: of the questions that were answered, 0..1.
        accuracy: of those.
        threshold: least stated probability among them.
    """

    share: float
    accuracy: float
    threshold: float


def accuracy_coverage(stated: ArrayLike, correct: ArrayLike, points: int = 20) -> list[Coverage]:
    """The curve, from the surest answers to all of them, in `points` equal steps.

    Args:
        stated: [n] probability of each answer, n > 0.
        correct: [n] 1 where it was right.
        points: of the curve, at most.

    Raises:
        ValueError: no answers, or lengths that differ.
    """
    stated, right = _outcomes(stated, correct)
    order = np.argsort(-stated, kind="stable")
    means = np.cumsum(right[order]) / np.arange(1, stated.size + 1)
    counts = sorted({max(1, round(stated.size * (i + 1) / points)) for i in range(points)})
    return [
        Coverage(count / stated.size, float(means[count - 1]), float(stated[order[count - 1]]))
        for count in counts
    ]


def at_threshold(stated: ArrayLike, correct: ArrayLike, threshold: float) -> Coverage:
    """Share answered and accuracy where answers below `threshold` are withheld.

    The accuracy of no answers at all is 1: nothing wrong was said.
    """
    stated, right = _outcomes(stated, correct)
    given = stated >= threshold
    accuracy = float(right[given].mean()) if given.any() else 1.0
    return Coverage(float(given.mean()), accuracy, threshold)


def _outcomes(stated: ArrayLike, correct: ArrayLike) -> tuple[Floats, Floats]:
    """Both as [n] float64; ValueError where the lengths differ or are 0."""
    values = np.asarray(stated, dtype=np.float64).reshape(-1)
    right = np.asarray(correct, dtype=np.float64).reshape(-1)
    if values.size == 0 or values.size != right.size:
        raise ValueError(f"{values.size} probabilities and {right.size} outcomes: equal and > 0")
    return values, right


def _folded_normal_mean(mean: float, deviation: float) -> float:
    """E|X| for X ~ N(mean, deviation^2)."""
    if deviation == 0.0:
        return abs(mean)
    ratio = mean / deviation
    return deviation * math.sqrt(2 / math.pi) * math.exp(-0.5 * ratio * ratio) + mean * math.erf(
        ratio / math.sqrt(2)
    )
