"""The detectors that are judged: the shipped one and four simpler rules, each with its one knob.

- *Consecutive difference* publishes when a sample differs from the one before it. The usual first
  idea. Clips overlap, so a change is a ramp of small steps, and noise is as large as they are.
- *Window variance* publishes when the embeddings of a short window differ among themselves: the one
  sentence of VL-JEPA (arXiv 2512.10942, section 4.6) on online decoding: smooth the stream, decode
  when the variance of the local window passes a threshold.
- *Online Ward gain* publishes when splitting the newest samples in two explains them much better.
  The gain of a split into n1 and n2 samples with means m1 and m2 is n1 n2 / (n1 + n2) |m1 - m2|^2:
  the merge cost of Ward (1963), and the generalised likelihood ratio of a change of mean under
  white noise (Basseville and Nikiforov 1993, section 2.4.3).
- *CUSUM* publishes when the distance from the segment, summed beyond an allowance, is too large:
  Page's test (Biometrika 1954) on the cosine distance between the smoothed embedding and the mean
  of the segment, S = max(0, S + distance - allowance).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.perception.change.anchor_drift import AnchorDrift, AnchorDriftConfig
from vljepa_ros.perception.change.change_prior import TurnGuard
from vljepa_ros.perception.change.detector import (
    BREAK,
    Change,
    ChangeDetector,
    unit,
)

Vector = NDArray[np.float32]

MIN_GAP_S, MAX_GAP_S = 1.0, 5.0  # between publications; without a sample, before a break
VARIANCE_WINDOW, WARD_WINDOW = 8, 16  # samples
WARD_NEW_STATE = 2  # samples that a new state needs
CUSUM_THRESHOLD = 0.1  # sum in cosine distance * seconds
CUSUM_SMOOTHING_S, CUSUM_MEMORY_S = 0.3, 2.0  # time constant; length of the segment's running mean
CUSUM_FIRST_SAMPLE_S = 0.25  # that the first sample of the segment is worth


class Rule(ChangeDetector):
    """A detector that publishes when `drift` passes the threshold and `MIN_GAP_S` is over."""

    def __init__(self, threshold: float) -> None:
        super().__init__(MAX_GAP_S, threshold)

    def _is_due(self, stamp: float) -> bool:
        return self.drift > self.threshold and self._published.gap_passed(stamp, MIN_GAP_S)


class ConsecutiveDifference(Rule):
    """`drift` is the cosine distance from the sample before; see the module."""

    present: Vector | None = None

    def _reset_rule(self) -> None:
        self.present = None

    def _update(self, stamp: float, sample: Vector, step: float) -> Change | None:
        before, self.present = self.present, sample
        if before is None:
            return self._published.publish(stamp, stamp, sample)
        self.drift = 0.0 if step == BREAK else 1.0 - float(sample @ before)
        return self._published.publish(stamp, stamp, sample) if self._is_due(stamp) else None


class WindowVariance(Rule):
    """`drift` is the variance of the window; see the module."""

    @property
    def present(self) -> Vector | None:
        """[D]: the newest sample."""
        return self._samples[-1] if self._samples else None

    def _reset_rule(self) -> None:
        self._samples: list[Vector] = []

    def _update(self, stamp: float, sample: Vector, step: float) -> Change | None:
        kept = [] if step == BREAK else self._samples[1 - VARIANCE_WINDOW :]
        self._samples = [*kept, sample]
        if self._published.state is None:
            return self._published.publish(stamp, stamp, sample)
        mean = np.mean(self._samples, axis=0)
        self.drift = 1.0 - float(mean @ mean)  # the samples have norm 1
        if not self._is_due(stamp):
            return None
        newer = self._samples[len(self._samples) // 2 :]
        return self._published.publish(stamp, stamp, np.mean(newer, axis=0))


def split_gains(samples: Vector) -> Vector:
    """[n-1] gain of each split of [n, D] samples; entry i has i + 1 samples before the split."""
    count = len(samples)
    before = np.cumsum(samples, axis=0)[:-1]
    first = np.arange(1, count, dtype=np.float32)
    # |m1 - m2| with m2 from the total; n1 n2 / n |m1 - m2|^2 = |n s1 - n1 s|^2 / (n n1 n2)
    spread = count * before - first[:, None] * (before[-1] + samples[-1])
    return np.einsum("nd,nd->n", spread, spread) / (count * first * (count - first))


class WardGain(Rule):
    """`drift` is the best gain of a split; see the module."""

    @property
    def present(self) -> Vector | None:
        """[D]: mean of the newest samples."""
        return unit(np.mean(self._samples[-WARD_NEW_STATE:], axis=0)) if self._samples else None

    def _reset_rule(self) -> None:
        self._samples: list[Vector] = []
        self._stamps: list[float] = []

    def _update(self, stamp: float, sample: Vector, step: float) -> Change | None:
        if step == BREAK:
            self._samples, self._stamps = [], []
        self._samples = [*self._samples[1 - WARD_WINDOW :], sample]
        self._stamps = [*self._stamps[1 - WARD_WINDOW :], stamp]
        if self._published.state is None:
            return self._published.publish(stamp, stamp, sample)
        self.drift = 0.0
        if len(self._samples) <= WARD_NEW_STATE:
            return None
        gains = split_gains(np.stack(self._samples))[: len(self._samples) - WARD_NEW_STATE]
        split = int(gains.argmax()) + 1
        self.drift = float(gains[split - 1])
        if not self._is_due(stamp):
            return None
        onset = self._stamps[split]
        self._samples, self._stamps = self._samples[split:], self._stamps[split:]
        return self._published.publish(stamp, onset, np.mean(self._samples, axis=0))


class Cusum(Rule):
    """`drift` is the sum; see the module."""

    def __init__(self, allowance: float) -> None:
        """`allowance`: cosine distance, 0..2, that counts as none."""
        self.allowance = allowance
        super().__init__(CUSUM_THRESHOLD)

    @property
    def present(self) -> Vector | None:
        """[D]: the smoothed state."""
        return None if self._smooth is None else unit(self._smooth)

    def _reset_rule(self) -> None:
        self._smooth: Vector | None = None
        self._mean: Vector | None = None
        self._seconds = 0.0  # of samples in the mean
        self._onset: float | None = None

    def _update(self, stamp: float, sample: Vector, step: float) -> Change | None:
        if self._smooth is None or self._mean is None:
            self._smooth = self._mean = sample
            return self._published.publish(stamp, stamp, sample)
        if step == BREAK:
            self._smooth, self.drift, step = sample, 0.0, 0.0
        else:
            weight = np.float32(1.0 - math.exp(-step / CUSUM_SMOOTHING_S))
            self._smooth = self._smooth + weight * (sample - self._smooth)
        distance = 1.0 - float(unit(self._smooth) @ unit(self._mean))
        self.drift = max(0.0, self.drift + (distance - self.allowance) * step)
        if self.drift == 0.0:
            self._onset = None
        elif self._onset is None:
            self._onset = stamp
        if self._is_due(stamp):
            onset = stamp if self._onset is None else self._onset
            change = self._published.publish(stamp, onset, self._smooth)
            self._mean, self._seconds, self.drift, self._onset = self._smooth, 0.0, 0.0, None
            return change
        self._seconds = min(self._seconds + step, CUSUM_MEMORY_S)
        if self._seconds > 0.0:
            weight = np.float32(min(1.0, step / (self._seconds + CUSUM_FIRST_SAMPLE_S)))
            self._mean = self._mean + weight * (sample - self._mean)
        return None


@dataclass(frozen=True)
class DetectorKind:
    """A kind of detector.

    Attributes:
        make: builds one with a value of the knob that trades publications against misses; the
            guard is used where the detector knows how.
        default: value of the knob.
        sweep: values from many publications to few.
    """

    make: Callable[[float, TurnGuard | None], ChangeDetector]
    default: float
    sweep: tuple[float, ...]


def anchor_drift(threshold: float = AnchorDriftConfig().threshold) -> DetectorKind:
    """The default with a model's `change_threshold`.

    Up and down from it go the threshold and, with it, the strictness towards noise.
    """

    def settings(value: float) -> AnchorDriftConfig:
        sensitivity = AnchorDriftConfig().sensitivity * (threshold / value) ** 3
        sensitivity = min(max(sensitivity, 1e-3), 1e3)
        return AnchorDriftConfig(threshold=value, sensitivity=sensitivity)

    return DetectorKind(
        lambda value, guard: AnchorDrift(settings(value), guard),
        threshold,
        tuple(round(threshold * factor, 4) for factor in _FACTORS),
    )


_FACTORS = (1 / 3, 1 / 2, 3 / 4, 1, 3 / 2, 13 / 6, 10 / 3, 5)
DEFAULT = "anchor_drift"
DETECTORS: dict[str, DetectorKind] = {
    DEFAULT: anchor_drift(),
    "ward_gain": DetectorKind(
        lambda value, _: WardGain(value), 0.8, (0.35, 0.5, 0.8, 1.1, 1.5, 2.0, 3.0)
    ),
    "cusum": DetectorKind(
        lambda value, _: Cusum(value), 0.08, (0.02, 0.04, 0.06, 0.08, 0.11, 0.16, 0.25, 0.4)
    ),
    "window_variance": DetectorKind(
        lambda value, _: WindowVariance(value),
        0.12,
        (0.03, 0.06, 0.09, 0.12, 0.15, 0.2, 0.3, 0.4, 0.5),
    ),
    "consecutive_difference": DetectorKind(
        lambda value, _: ConsecutiveDifference(value),
        0.1,
        (0.02, 0.04, 0.07, 0.1, 0.14, 0.2, 0.3, 0.5),
    ),
}
