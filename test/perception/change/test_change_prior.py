"""Changes that must wait: returns, and those in a stream that has long been quiet."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vljepa_ros.perception.change.anchor_drift import AnchorDrift, AnchorDriftConfig
from vljepa_ros.perception.change.change_prior import MAX_QUIET_FACTOR, RETURN_FACTOR, ChangePrior
from vljepa_ros.perception.change.detector import CHANGE

DIM = 24
RATE = 2.0
HOME, AWAY, ELSEWHERE = np.linalg.qr(np.random.default_rng(4).normal(size=(DIM, 3)))[0].T.astype(
    np.float32
)


def detected(detector: AnchorDrift, samples: np.ndarray, start: float = 0.0) -> list[float]:
    """Seconds after `start` at which a change is detected."""
    found = [detector.observe(start + i / RATE, sample) for i, sample in enumerate(samples)]
    return [c.stamp - start for c in found if c is not None and c.reason == CHANGE]


def stay(state: np.ndarray, seconds: float) -> np.ndarray:
    return np.tile(state, (round(seconds * RATE), 1))


def test_a_return_is_published_later_than_something_new() -> None:
    back, on = (AnchorDrift(AnchorDriftConfig()) for _ in range(2))
    begin = np.concatenate([stay(HOME, 10), stay(AWAY, 8)])
    ends_back = detected(back, np.concatenate([begin, stay(HOME, 8)]))
    goes_on = detected(on, np.concatenate([begin, stay(ELSEWHERE, 8)]))
    assert len(ends_back) == len(goes_on) == 2
    assert ends_back[0] == goes_on[0]
    assert ends_back[1] >= goes_on[1] + 1.0 / RATE
    assert ends_back[1] - 18.0 <= 2.0, "but it is detected"


def test_a_change_that_comes_in_a_wait_for_a_return_is_not_kept_waiting() -> None:
    detector = AnchorDrift(AnchorDriftConfig())
    stream = [stay(HOME, 10), stay(AWAY, 8), stay(HOME, 0.5), stay(ELSEWHERE, 8)]
    found = detected(detector, np.concatenate(stream))
    assert len(found) == 2
    assert found[1] - 18.5 <= 1.0


@pytest.mark.parametrize("quiet", [True, False])
def test_three_odd_samples_are_an_event_in_a_busy_stream_and_none_in_a_quiet_one(
    quiet: bool,
) -> None:
    detector = AnchorDrift(AnchorDriftConfig())
    if quiet:
        detected(detector, stay(HOME, 1800.0))
    else:
        for lap in range(90):
            detected(detector, np.concatenate([stay(ELSEWHERE, 10), stay(HOME, 10)]), 20.0 * lap)
    odd = np.concatenate([stay(AWAY, 1.0), stay(HOME, 10)])
    found = detected(detector, odd, 1800.0)
    assert bool(found) != quiet


def test_one_mistake_in_an_hour_does_not_end_the_patience_and_many_changes_do() -> None:
    prior = ChangePrior()
    prior.advance(0.0)
    assert prior.evidence_factor(0.0, HOME, 1.0) == 1.0
    assert prior.evidence_factor(3600.0, HOME, 1.0) == MAX_QUIET_FACTOR
    for stamp in (3600.0, 3603.0):
        prior.record_change(stamp, None)
    assert prior.evidence_factor(3610.0, HOME, 1.0) > 1.4
    for stamp in range(3610, 3700, 3):
        prior.record_change(float(stamp), None)
    assert prior.evidence_factor(3700.0, HOME, 1.0) == 1.0


def test_a_return_waits_on_top_of_the_patience() -> None:
    prior = ChangePrior()
    prior.record_change(0.0, HOME)
    near, far = 0.9 * HOME + 0.1 * AWAY, 0.1 * HOME + 0.9 * AWAY
    assert prior.evidence_factor(1.0, near, 1.0) == RETURN_FACTOR
    assert prior.evidence_factor(1.0, far, 1.0) == 1.0
    prior.record_change(2.0, None)
    assert prior.evidence_factor(3.0, near, 1.0) == 1.0


@given(steps=st.lists(st.floats(-1e5, 1e5), min_size=1, max_size=40), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_whatever_the_stamps_the_factor_keeps_its_bounds(steps: list[float], seed: int) -> None:
    rng = np.random.default_rng(seed)
    prior = ChangePrior()
    stamp = 0.0
    for step in steps:
        stamp += step
        if rng.random() < 0.3:
            prior.record_change(stamp, HOME if rng.random() < 0.5 else None)
        assert 1.0 <= prior.evidence_factor(stamp, AWAY, 0.5) <= RETURN_FACTOR * MAX_QUIET_FACTOR


def test_a_change_that_is_going_back_is_not_published() -> None:
    """One odd picture in overlapping clips: sure of an event, then half sure, then nothing."""
    detector = AnchorDrift(AnchorDriftConfig())
    rng = np.random.default_rng(1)
    shake = (0.12 * rng.normal(size=(60, DIM)) / DIM**0.5).astype(np.float32)

    def mixed(share: float) -> np.ndarray:
        return np.tile((1.0 - share) * HOME + share * AWAY, (1, 1))

    odd = np.concatenate([mixed(0.64), mixed(0.42), mixed(0.4)])
    growing = np.concatenate([mixed(0.42), mixed(0.64), mixed(0.64)])
    assert (
        detected(detector, np.concatenate([stay(HOME, 20), odd, stay(HOME, 5)]) + shake[:53]) == []
    )
    detector.reset()
    stream = np.concatenate([stay(HOME, 20), growing, stay(HOME, 5)]) + shake[:53]
    assert detected(detector, stream) != []


@pytest.mark.parametrize("quiet", [True, False])
def test_one_odd_sample_is_an_event_where_changes_are_expected_and_none_in_a_quiet_stream(
    quiet: bool,
) -> None:
    detector = AnchorDrift(AnchorDriftConfig())
    calm = 1800.0 if quiet else 10.0
    detected(detector, stay(HOME, calm))
    odd = np.concatenate([stay(AWAY, 0.5), stay(HOME, 10)])
    found = detected(detector, odd, calm)
    assert (found[:1] == [0.0]) is not quiet
