"""The default detector over hours, after restarts, in slow drift, in turns, in sudden noise."""

from __future__ import annotations

import numpy as np
import pytest

from vljepa_ros.perception.change.anchor_drift import (
    AnchorDrift,
    AnchorDriftConfig,
    threshold_multiplier,
)
from vljepa_ros.perception.change.change_prior import TurnGuard, TurnGuardConfig
from vljepa_ros.perception.change.detector import CHANGE, FIRST
from vljepa_ros.perception.change.noise_floor import NoiseFloor

DIM = 24


def unit(seed: int) -> np.ndarray:
    vector = np.random.default_rng(seed).normal(size=DIM)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def noise(seed: int, count: int, level: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (level * rng.normal(size=(count, DIM)) / DIM**0.5).astype(np.float32)


def test_ten_hours_without_a_wandering_threshold() -> None:
    """An accelerated stream: a sample every two seconds, a change every ten minutes."""
    detector = AnchorDrift(AnchorDriftConfig())
    shake = noise(1, 18_000, 0.3)
    published, levels = [], []
    states = [unit(seed) for seed in range(60)]
    for second in range(0, 36_000, 2):
        change = detector.observe(float(second), states[second // 600] + shake[second // 2])
        if change is not None:
            published.append(change)
        if second % 600 == 598:
            levels.append(detector.threshold)
    changes = [c for c in published if c.reason == CHANGE]
    assert len({int(c.stamp // 600) for c in changes}) == 59, "every change is published"
    assert len(changes) <= 62, "and hardly anything else"
    early, late = np.mean(levels[:10]), np.mean(levels[-10:])
    assert late == pytest.approx(early, rel=0.2)


def test_a_restart_does_not_tell_the_last_event_again() -> None:
    before = AnchorDrift(AnchorDriftConfig())
    stream = np.concatenate([np.tile(unit(1), (40, 1)), np.tile(unit(2), (40, 1))])
    stream = stream + noise(3, 80, 0.2)
    for i, sample in enumerate(stream):
        before.observe(i / 4, sample)
    assert before.published is not None
    after = AnchorDrift(AnchorDriftConfig())
    after.restore(before.published)
    same = unit(2) + noise(4, 200, 0.2)
    assert [c for i, x in enumerate(same) if (c := after.observe(100 + i / 4, x))] == []
    other = unit(5) + noise(5, 40, 0.2)
    found = [c for i, x in enumerate(other) if (c := after.observe(150 + i / 4, x))]
    assert [c.reason for c in found] == [CHANGE]


def test_what_cannot_be_restored_is_refused_and_another_size_starts_anew() -> None:
    detector = AnchorDrift(AnchorDriftConfig())
    with pytest.raises(ValueError, match="cannot be restored"):
        detector.restore(np.zeros(DIM, np.float32))
    detector.restore(np.ones(DIM + 1, np.float32))
    change = detector.observe(0.0, unit(1))
    assert change is not None
    assert change.reason == FIRST


def test_a_slow_change_is_published_although_no_step_is_seen() -> None:
    start, goal = np.linalg.qr(np.random.default_rng(1).normal(size=(DIM, 2)))[0].T
    detector = AnchorDrift(AnchorDriftConfig())
    found = []
    for i in range(1600):
        angle = 0.5 * np.pi * min(1.0, max(0.0, i - 80) / 1400)
        state = np.cos(angle) * start + np.sin(angle) * goal
        change = detector.observe(i / 4, state.astype(np.float32))
        if change is not None and change.reason == CHANGE:
            found.append(change)
    assert found
    assert float(found[-1].state @ goal) > 0.8


def test_a_turn_with_a_guard_is_no_change_and_without_one_it_is() -> None:
    here, there = np.linalg.qr(np.random.default_rng(2).normal(size=(DIM, 2)))[0].T
    changes = {}
    for guarded in (True, False):
        guard = TurnGuard(TurnGuardConfig(hold=1.5)) if guarded else None
        detector = AnchorDrift(AnchorDriftConfig(), guard)
        count = 0
        for i in range(160):
            turning = 80 <= i < 92
            if turning and guard is not None:
                guard.turn(i / 4, -0.7)
            view = here + 0.6 * np.sin(np.pi * (i - 80) / 12) * there * turning
            change = detector.observe(i / 4, view.astype(np.float32))
            count += change is not None and change.reason == CHANGE
        changes[guarded] = count
    assert changes[True] == 0
    assert changes[False] >= 1


def test_the_guard_forgets_a_turn_from_a_later_time_and_ignores_nan() -> None:
    guard = TurnGuard(TurnGuardConfig(rate=0.1, factor=3.0, hold=1.0))
    guard.turn(100.0, 0.5)
    assert (guard.factor(100.5), guard.factor(101.5), guard.factor(5.0)) == (3.0, 1.0, 1.0)
    guard.turn(6.0, float("nan"))
    guard.turn(6.0, 0.05)
    assert guard.factor(6.0) == 1.0


def test_a_camera_that_becomes_noisy_does_not_alarm_for_ever() -> None:
    detector = AnchorDrift(AnchorDriftConfig())
    calm, wild = unit(1) + noise(1, 400, 0.1), unit(1) + noise(2, 1600, 0.7)
    late = 0
    for i, sample in enumerate(np.concatenate([calm, wild])):
        change = detector.observe(i / 4, sample)
        late += change is not None and i > 800
    assert late <= 2


def test_noise_floor_forgets_its_start_and_ignores_outliers() -> None:
    floor, rng = NoiseFloor(), np.random.default_rng(3)
    state, shake = unit(1), noise(1, 2400, 0.25)
    for i in range(2400):
        sample = state + shake[i]
        floor.observe(i / 4, sample / np.linalg.norm(sample), 0.25)
        outlier = i % 5 == 0
        floor.learn(5.0 if outlier else float(rng.uniform(0.01, 0.03)), 0.25)
    assert 0.01 < floor.level < 0.035


def test_more_sensitive_means_less_strict() -> None:
    values = [threshold_multiplier(s) for s in (0.01, 0.1, 1.0, 10.0, 100.0)]
    assert values == sorted(values, reverse=True)
    assert values[-1] > 1.0


def test_live_settings_keep_what_was_learned() -> None:
    detector = AnchorDrift(AnchorDriftConfig())
    for i, sample in enumerate(unit(1) + noise(1, 400, 0.5)):
        detector.observe(i / 4, sample)
    before = detector.threshold
    detector.configure(AnchorDriftConfig(sensitivity=1e-3))
    detector.observe(100.0, unit(1))
    assert detector.threshold > before
    assert detector.published is not None
