"""The plain detector: one change for one change of meaning, none for noise, bad samples refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vljepa_ros.perception.change.anchor_drift import AnchorDrift, AnchorDriftConfig
from vljepa_ros.perception.change.detector import CHANGE, FIRST, Change

DIM = 32


def direction(seed: int) -> np.ndarray:
    vector = np.random.default_rng(seed).normal(size=DIM).astype(np.float32)
    return vector / np.linalg.norm(vector)


def play(detector: AnchorDrift, samples, start: float = 0.0, rate: float = 5.0) -> list[Change]:
    found = [detector.observe(start + i / rate, sample) for i, sample in enumerate(samples)]
    return [change for change in found if change is not None]


def noisy(state: np.ndarray, count: int, noise: float, seed: int) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    return [
        state + noise * random.normal(size=DIM).astype(np.float32) / DIM**0.5 for _ in range(count)
    ]


def test_first_sample_is_published_at_once() -> None:
    (change,) = play(AnchorDrift(AnchorDriftConfig()), [direction(0)])
    assert change.reason == FIRST
    assert change.distance == 0.0
    assert np.allclose(change.state, direction(0), atol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_a_quiet_noisy_stream_stays_silent(seed: int) -> None:
    changes = play(AnchorDrift(AnchorDriftConfig()), noisy(direction(seed), 500, 0.4, seed))
    assert [change.reason for change in changes] == [FIRST]


def test_a_change_is_published_once_with_its_onset_and_the_state_after_it() -> None:
    before, after = direction(1), direction(2)
    detector = AnchorDrift(AnchorDriftConfig())
    stream = noisy(before, 25, 0.2, 1) + noisy(after, 50, 0.2, 2)
    first, change = play(detector, stream)
    assert (first.reason, change.reason) == (FIRST, CHANGE)
    assert 4.6 <= change.onset <= 5.6
    assert change.onset < change.stamp <= 7.0
    assert float(change.state @ after) > 0.95
    assert change.distance == pytest.approx(1 - float(before @ after), abs=0.15)


def test_an_excursion_shorter_than_settle_is_no_change() -> None:
    a, b = direction(1), direction(2)
    detector = AnchorDrift(AnchorDriftConfig(smoothing=0.0, settle=1.0))
    assert [c.reason for c in play(detector, [a] * 10 + [b] * 4 + [a] * 20)] == [FIRST]


def away(limits: float) -> np.ndarray:
    """A state so many limits of 0.06 away from the first direction."""
    one, other = direction(1), direction(2)
    other = other - (one @ other) * one
    cosine = 1.0 - 0.06 * limits
    return cosine * one + (1.0 - cosine**2) ** 0.5 * other / np.linalg.norm(other)


def delay(stream, rate: float = 2.0, **config: float) -> float:
    """Seconds from the first sample that is not the first direction to the change."""
    detector = AnchorDrift(AnchorDriftConfig(smoothing=0.0, **config))
    begun = next(i for i, sample in enumerate(stream) if sample is not stream[0]) / rate
    (change,) = [c for c in play(detector, stream, rate=rate) if c.reason == CHANGE]
    return change.stamp - begun


def test_a_strong_change_is_published_at_its_first_sample_a_faint_one_when_it_has_lasted() -> None:
    a = direction(1)
    strong, clear, faint = (delay([a] * 40 + [away(x)] * 10) for x in (14.0, 1.5, 1.1))
    assert strong == 0.0
    assert 0.5 <= clear < faint <= 2.0


@given(st.floats(1.0, 30.0), st.floats(0.05, 2.0), st.floats(1.1, 30.0))
@settings(max_examples=30, deadline=None)
def test_however_strong_it_lasts_settle_seconds_of_samples(
    rate: float, settle: float, limits: float
) -> None:
    detector = AnchorDrift(AnchorDriftConfig(smoothing=0.0, settle=settle))
    count = max(0, int(settle * rate - 1e-6))
    samples = [direction(1)] * round(8 * rate) + [away(limits)] * count
    assert [c.reason for c in play(detector, samples, rate=rate)] == [FIRST]


def test_one_sample_after_a_pause_is_no_strong_change() -> None:
    a, b = direction(1), away(6.0)
    detector = AnchorDrift(AnchorDriftConfig())
    play(detector, [a] * 40, rate=2.0)
    assert detector.observe(22.0, b) is None
    assert detector.observe(22.5, b) is not None


def test_min_gap_delays_but_does_not_lose_a_change() -> None:
    a, b = direction(1), direction(2)
    detector = AnchorDrift(AnchorDriftConfig(min_gap=4.0, settle=0.2))
    _, change = play(detector, [a] * 2 + [b] * 40)
    assert change.stamp >= 4.0


def test_time_jumping_back_keeps_what_was_published() -> None:
    a, b = direction(1), direction(2)
    detector = AnchorDrift(AnchorDriftConfig())
    play(detector, [a] * 10, start=100.0)
    assert play(detector, [a] * 10, start=0.0) == []
    assert len(play(detector, [b] * 20, start=2.0)) == 1


def test_a_slow_stream_tells_its_changes_too() -> None:
    a, b = direction(1), direction(2)
    detector = AnchorDrift(AnchorDriftConfig(max_gap=30.0))
    assert len(play(detector, [a] * 3 + [b] * 3, rate=0.1)) == 2


def test_equal_stamps_count_once() -> None:
    detector = AnchorDrift(AnchorDriftConfig())
    detector.observe(1.0, direction(1))
    assert detector.observe(1.0, direction(2)) is None
    assert detector.drift == 0.0


@given(st.sampled_from([np.nan, np.inf, -np.inf, 0.0]), st.integers(0, 40))
@settings(max_examples=20, deadline=None)
def test_unusable_samples_are_refused_and_change_nothing(value: float, at: int) -> None:
    clean, dirty = AnchorDrift(AnchorDriftConfig()), AnchorDrift(AnchorDriftConfig())
    stream = noisy(direction(1), 20, 0.2, 1) + noisy(direction(2), 21, 0.2, 2)
    expected = play(clean, stream)
    got = []
    for i, sample in enumerate(stream):
        if i == at:
            assert dirty.observe(i / 5 - 0.05, np.full(DIM, value, np.float32)) is None
            assert dirty.observe(i / 5 - 0.05, np.ones(DIM + (i > 0), np.float32) * (i > 0)) is None
        got.append(dirty.observe(i / 5, sample))
    assert [c.stamp for c in got if c] == [c.stamp for c in expected]
    assert dirty.refused == 2


def test_reset_starts_anew() -> None:
    detector = AnchorDrift(AnchorDriftConfig())
    play(detector, [direction(1)] * 5)
    detector.reset()
    assert detector.present is None
    assert [c.reason for c in play(detector, [direction(1)] * 5)] == [FIRST]


@pytest.mark.parametrize("wrong", [{"threshold": 2.5}, {"release": -0.1}, {"settle": -1.0}])
def test_settings_out_of_range_are_refused_by_name(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} is .* allowed"):
        AnchorDriftConfig(**wrong)
