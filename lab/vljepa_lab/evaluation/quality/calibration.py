"""Does a stated probability come true as often as it says? Expected calibration error (ECE)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class ReliabilityBin:
    """One bin of a reliability diagram: mean stated probability, share that was right, samples."""

    confidence: float
    accuracy: float
    count: int


def reliability_bins(
    probabilities: ArrayLike, correct: ArrayLike, bins: int = 10
) -> list[ReliabilityBin]:
    """Bins of equal mass, lowest probability first; fewer than `bins` where there are fewer
    samples.

    :param probabilities: [n] stated probability of the answer given, 0..1.
    :param correct: [n] 1 where the answer was right.
    :raises ValueError: no samples, lengths that differ, a probability outside 0..1.
    """
    stated = np.asarray(probabilities, dtype=np.float64).reshape(-1)
    right = np.asarray(correct, dtype=np.float64).reshape(-1)
    if stated.size == 0 or stated.size != right.size:
        raise ValueError(f"{stated.size} probabilities and {right.size} outcomes: equal and > 0")
    if not (np.isfinite(stated).all() and stated.min() >= 0.0 and stated.max() <= 1.0 + 1e-6):
        raise ValueError(
            f"probabilities lie in {stated.min():.3g}..{stated.max():.3g}, allowed 0..1"
        )
    order = np.argsort(stated, kind="stable")
    parts = np.array_split(order, min(bins, stated.size))
    return [
        ReliabilityBin(float(stated[part].mean()), float(right[part].mean()), len(part))
        for part in parts
    ]


def expected_calibration_error(
    probabilities: ArrayLike, correct: ArrayLike, bins: int = 10, debiased: bool = False
) -> float:
    """Mean over equal-mass bins of |share right - stated probability|, weighted by samples.

    The plain estimate is biased upwards: even a perfect calibrator shows the sampling noise of its
    bins. With `debiased` each bin's expected noise, the folded normal mean minus |difference|, is
    taken off (Kumar, Liang, Ma 2019, "Verified uncertainty calibration", section 5, for the L1
    error).
    """
    parts = reliability_bins(probabilities, correct, bins)
    total = sum(part.count for part in parts)
    error = 0.0
    for part in parts:
        gap = abs(part.accuracy - part.confidence)
        if debiased:
            deviation = math.sqrt(max(part.accuracy * (1 - part.accuracy), 0.0) / part.count)
            gap -= _folded_normal_mean(gap, deviation) - gap
        error += part.count / total * gap
    return max(error, 0.0)


def _folded_normal_mean(mean: float, deviation: float) -> float:
    """E|X| for X ~ N(mean, deviation^2)."""
    if deviation == 0.0:
        return abs(mean)
    ratio = mean / deviation
    return deviation * math.sqrt(2 / math.pi) * math.exp(-0.5 * ratio * ratio) + mean * math.erf(
        ratio / math.sqrt(2)
    )
