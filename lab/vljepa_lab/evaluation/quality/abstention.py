"""What is gained by answering only when sure: accuracy over the share of questions answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class Coverage:
    """share of the questions that were answered, 0..1; accuracy of those; threshold: least stated
    probability among them."""

    share: float
    accuracy: float
    threshold: float


def accuracy_coverage(
    probabilities: ArrayLike, correct: ArrayLike, points: int = 20
) -> list[Coverage]:
    """The curve, from the surest answers to all of them, in `points` equal steps.

    :param probabilities: [n] stated probability of each answer, n > 0.
    :param correct: [n] 1 where it was right.
    :raises ValueError: no answers, or lengths that differ.
    """
    stated = np.asarray(probabilities, np.float64).reshape(-1)
    right = np.asarray(correct, np.float64).reshape(-1)
    if stated.size == 0 or stated.size != right.size:
        raise ValueError(f"{stated.size} probabilities and {right.size} outcomes: equal and > 0")
    order = np.argsort(-stated, kind="stable")
    means = np.cumsum(right[order]) / np.arange(1, stated.size + 1)
    found: Sequence[int] = sorted({max(1, round(stated.size * (i + 1) / points))
                                   for i in range(points)})  # fmt: skip
    return [
        Coverage(count / stated.size, float(means[count - 1]), float(stated[order[count - 1]]))
        for count in found
    ]


def at_threshold(probabilities: ArrayLike, correct: ArrayLike, threshold: float) -> Coverage:
    """Share answered and accuracy where answers below `threshold` are withheld.

    The accuracy of no answers at all is 1: nothing wrong was said.
    """
    stated = np.asarray(probabilities, np.float64).reshape(-1)
    right = np.asarray(correct, np.float64).reshape(-1)
    given = stated >= threshold
    accuracy = float(right[given].mean()) if given.any() else 1.0
    return Coverage(float(given.mean()), accuracy, threshold)
