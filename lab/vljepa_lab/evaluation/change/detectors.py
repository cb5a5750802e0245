"""Detectors by name, each with the one setting that trades publications against misses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from vljepa_lab.evaluation.change.consecutive_difference import (
    ConsecutiveDifference,
    ConsecutiveDifferenceConfig,
)
from vljepa_lab.evaluation.change.cusum import Cusum, CusumConfig
from vljepa_lab.evaluation.change.ward_gain import WardGain, WardGainConfig
from vljepa_lab.evaluation.change.window_variance import WindowVariance, WindowVarianceConfig
from vljepa_ros.perception.change.anchor_drift import AnchorDrift, AnchorDriftConfig
from vljepa_ros.perception.change.change_prior import TurnGuard
from vljepa_ros.perception.change.detector import ChangeDetector


@dataclass(frozen=True)
class Detector:
    """A kind of detector.

    make: builds one with a value of the knob; the guard is used where the detector knows how.
    default: value of the knob. sweep: values from many publications to few.
    """

    make: Callable[[float, TurnGuard | None], ChangeDetector]
    knob: str
    default: float
    sweep: tuple[float, ...]

    def maker(self, value: float) -> Callable[[TurnGuard | None], ChangeDetector]:
        """What builds fresh detectors with this value of the knob."""
        return lambda guard: self.make(value, guard)


def _scaled(threshold: float) -> AnchorDriftConfig:
    """Settings with this threshold and, up or down with it, the strictness towards noise."""
    default = AnchorDriftConfig()
    sensitivity = default.sensitivity * (default.threshold / threshold) ** 3
    return replace(default, threshold=threshold, sensitivity=min(max(sensitivity, 1e-3), 1e3))


DETECTORS: dict[str, Detector] = {
    "anchor_drift": Detector(
        lambda value, guard: AnchorDrift(_scaled(value), guard),
        "threshold",
        AnchorDriftConfig().threshold,
        (0.02, 0.03, 0.045, 0.06, 0.09, 0.13, 0.2, 0.3),
    ),
    "ward_gain": Detector(
        lambda value, _: WardGain(WardGainConfig(threshold=value)),
        "threshold",
        WardGainConfig().threshold,
        (0.35, 0.5, 0.8, 1.1, 1.5, 2.0, 3.0),
    ),
    "cusum": Detector(
        lambda value, _: Cusum(CusumConfig(allowance=value)),
        "allowance",
        CusumConfig().allowance,
        (0.02, 0.04, 0.06, 0.08, 0.11, 0.16, 0.25, 0.4),
    ),
    "window_variance": Detector(
        lambda value, _: WindowVariance(WindowVarianceConfig(threshold=value)),
        "threshold",
        WindowVarianceConfig().threshold,
        (0.03, 0.06, 0.09, 0.12, 0.15, 0.2, 0.3, 0.4, 0.5),
    ),
    "consecutive_difference": Detector(
        lambda value, _: ConsecutiveDifference(ConsecutiveDifferenceConfig(threshold=value)),
        "threshold",
        ConsecutiveDifferenceConfig().threshold,
        (0.02, 0.04, 0.07, 0.1, 0.14, 0.2, 0.3, 0.5),
    ),
}
DEFAULT = "anchor_drift"
