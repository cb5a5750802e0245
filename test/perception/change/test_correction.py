"""A change published too early is corrected, once; one that stays as published is not."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vljepa_ros.perception.change.anchor_drift import AnchorDrift, AnchorDriftConfig, Correction
from vljepa_ros.perception.change.change_prior import TurnGuard, TurnGuardConfig
from vljepa_ros.perception.change.detector import CHANGE, CORRECTION, FIRST, Change

DIM = 24
RATE = 2.0
HOME, EARLY, LATE = np.linalg.qr(np.random.default_rng(5).normal(size=(DIM, 3)))[0].T.astype(
    np.float32
)


def ramp() -> np.ndarray:
    """An event that looks like another one for as long as the clip holds its beginning."""
    begins = [HOME] * 20 + [0.4 * HOME + 0.6 * EARLY, EARLY]
    return np.stack([*begins, 0.75 * EARLY + 0.66 * LATE, *[0.6 * EARLY + 0.8 * LATE] * 10])


def play(detector: AnchorDrift, samples: np.ndarray, start: float = 0.0) -> list[Change]:
    found = [detector.observe(start + i / RATE, sample) for i, sample in enumerate(samples)]
    return [change for change in found if change is not None]


def test_a_change_that_goes_on_is_corrected_once_with_its_onset() -> None:
    first, change, better = play(AnchorDrift(AnchorDriftConfig()), ramp())
    assert (first.reason, change.reason, better.reason) == (FIRST, CHANGE, CORRECTION)
    assert better.onset == change.onset
    assert 1.0 <= better.stamp - change.stamp <= 1.5
    assert float(better.state @ LATE) > float(change.state @ LATE) + 0.3
    assert better.distance == pytest.approx(1.0 - float(better.state @ change.state), abs=1e-5)


def test_a_change_that_stays_is_not_corrected() -> None:
    stream = np.concatenate([np.tile(HOME, (20, 1)), np.tile(EARLY, (20, 1))])
    reasons = [c.reason for c in play(AnchorDrift(AnchorDriftConfig()), stream)]
    assert reasons == [FIRST, CHANGE]


def test_where_the_minimum_gap_is_longer_than_a_clip_nothing_is_corrected() -> None:
    detector = AnchorDrift(AnchorDriftConfig(min_gap=2.0, clip=1.5))
    assert CORRECTION not in [c.reason for c in play(detector, ramp())]


def test_nothing_is_corrected_while_the_robot_turns() -> None:
    guard = TurnGuard(TurnGuardConfig(hold=1.0))
    detector = AnchorDrift(AnchorDriftConfig(), guard)
    found: list[Change] = []
    for i, sample in enumerate(ramp()):
        if found and found[-1].reason == CHANGE:
            guard.turn(i / RATE, 0.5)
        change = detector.observe(i / RATE, sample)
        if change is not None:
            found.append(change)
    assert [c.reason for c in found] == [FIRST, CHANGE]


def test_time_that_jumps_back_leaves_nothing_to_correct() -> None:
    correction = Correction()
    correction.start(10.0, 9.0, HOME, 1.5)
    correction.observe(10.5, EARLY)
    assert correction.due(10.0) is None, "not far enough"
    correction.observe(3.0, LATE)
    assert correction.due(0.01) is None


def test_what_is_published_is_the_mean_of_the_whole_change_and_only_in_time() -> None:
    correction = Correction()
    correction.start(10.0, 9.0, HOME, 1.5)
    assert correction.due(0.0) is None, "nothing has come since"
    correction.observe(10.5, EARLY)
    correction.observe(11.0, LATE)
    better = correction.due(0.1)
    assert better is not None
    assert np.allclose(better, (HOME + EARLY + LATE) / 3.0, atol=1e-6)
    assert correction.due(0.1) is None, "once"
    correction.start(20.0, 19.0, HOME, 1.5)
    correction.observe(21.6, LATE)
    assert correction.due(0.1) is None, "too late"


@given(seed=st.integers(0, 10_000), level=st.floats(0.05, 0.4))
@settings(max_examples=15, deadline=None)
def test_every_correction_follows_a_change_within_a_clip(seed: int, level: float) -> None:
    rng = np.random.default_rng(seed)
    states = np.repeat(rng.normal(size=(25, DIM)) / DIM**0.5, 8, axis=0)
    shake = level * rng.normal(size=(200, DIM)) / DIM**0.5
    found = play(AnchorDrift(AnchorDriftConfig()), (states + shake).astype(np.float32))
    for before, one in pairwise(found):
        if one.reason == CORRECTION:
            assert before.reason == CHANGE
            assert before.onset == one.onset
            assert 1.0 <= one.stamp - before.stamp <= 1.5
