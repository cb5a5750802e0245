"""What every detector keeps to, whatever its rule."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vljepa_lab.evaluation.change.detectors import DETECTORS, split_gains
from vljepa_ros.perception.change.detector import CHANGE, FIRST, Change, ChangeDetector

DIM = 24
RATE = 4.0


def make(name: str) -> ChangeDetector:
    detector = DETECTORS[name]
    return detector.make(detector.default, None)


ALL = sorted(DETECTORS)


def walk(seed: int, count: int, noise: float = 0.3, every: int = 40) -> np.ndarray:
    """[count, DIM]: another direction every `every` samples, with noise of that norm."""
    rng = np.random.default_rng(seed)
    states = rng.normal(size=(count // every + 1, DIM))
    states /= np.linalg.norm(states, axis=1, keepdims=True)
    noisy = states[np.arange(count) // every] + noise * rng.normal(size=(count, DIM)) / DIM**0.5
    return noisy.astype(np.float32)


def play(
    detector: ChangeDetector, samples: np.ndarray, start: float = 0.0, rate: float = RATE
) -> list[Change]:
    found = [detector.observe(start + i / rate, sample) for i, sample in enumerate(samples)]
    return [change for change in found if change is not None]


def published(changes: list[Change]) -> list[tuple[float, float, str, bytes]]:
    return [(c.stamp, c.onset, c.reason, c.state.tobytes()) for c in changes]


@pytest.mark.parametrize("name", ALL)
def test_the_same_stream_gives_the_same_changes(name: str) -> None:
    one = make(name)
    first = published(play(one, walk(1, 200)))
    one.reset()
    assert published(play(make(name), walk(1, 200))) == first
    assert published(play(one, walk(1, 200))) == first, "after a reset nothing of before is left"


@pytest.mark.parametrize("name", ALL)
@given(seed=st.integers(0, 10_000), scale=st.floats(1e-3, 1e3))
@settings(max_examples=8, deadline=None)
def test_the_length_of_an_embedding_says_nothing(name: str, seed: int, scale: float) -> None:
    stream = walk(seed, 120)
    scaled = play(make(name), stream * np.float32(scale))
    plain = play(make(name), stream)
    # rounding may decide a tie at a threshold; more than one difference is no tie
    assert len({c.stamp for c in scaled} ^ {c.stamp for c in plain}) <= 1


@pytest.mark.parametrize("name", ALL)
def test_a_constant_stream_is_silent(name: str) -> None:
    changes = play(make(name), np.ones((400, DIM), np.float32))
    assert [c.reason for c in changes] == [FIRST]


@pytest.mark.parametrize("name", ALL)
@given(seed=st.integers(0, 10_000), rate=st.sampled_from([2.0, 4.0, 10.0]))
@settings(max_examples=10, deadline=None)
def test_a_clean_step_is_found_soon(name: str, seed: int, rate: float) -> None:
    rng = np.random.default_rng(seed)
    before, after = np.linalg.qr(rng.normal(size=(DIM, 2)))[0].T.astype(np.float32)
    quiet = int(10 * rate)
    stream = np.concatenate([np.tile(before, (quiet, 1)), np.tile(after, (quiet, 1))])
    changes = play(make(name), stream, rate=rate)
    found = [c for c in changes if c.reason == CHANGE]
    assert found
    step = quiet / rate
    assert step <= found[0].stamp <= step + max(1.5, 3.0 / rate)
    assert step - 2.0 / rate - 0.3 <= found[0].onset <= found[0].stamp
    if name in ("anchor_drift", "ward_gain"):  # the others may tell the transition
        assert float(found[-1].state @ after) > 0.9


@pytest.mark.parametrize("name", ALL)
@given(seed=st.integers(0, 10_000))
@settings(max_examples=8, deadline=None)
def test_the_minimum_gap_is_kept(name: str, seed: int) -> None:
    changes = play(make(name), walk(seed, 300, noise=1.0, every=7))
    stamps = [c.stamp for c in changes]
    assert len(stamps) > 1
    assert min(np.diff(stamps)) >= 1.0 - 1e-9


@pytest.mark.parametrize("name", ALL)
@given(
    at=st.integers(1, 99),
    value=st.sampled_from([math.nan, math.inf, 0.0]),
)
@settings(max_examples=8, deadline=None)
def test_unusable_samples_leave_no_trace(name: str, at: int, value: float) -> None:
    stream = walk(3, 100)
    clean, dirty = make(name), make(name)
    expected = published(play(clean, stream))
    got = []
    for i, sample in enumerate(stream):
        if i == at:
            assert dirty.observe(i / RATE - 0.1, np.full(DIM, value, np.float32)) is None
            assert dirty.observe(math.nan, sample) is None
            assert dirty.observe(i / RATE - 0.1, np.ones(DIM + 1, np.float32)) is None
        got.append(dirty.observe(i / RATE, sample))
    assert published([c for c in got if c is not None]) == expected
    assert (clean.refused, dirty.refused) == (0, 3)


@pytest.mark.parametrize("name", ALL)
def test_time_may_jump_back_and_go_on(name: str) -> None:
    """A bag in a loop: no error, no second FIRST, and changes are still found."""
    detector = make(name)
    stream = walk(5, 160)
    reasons = [c.reason for c in play(detector, stream, start=1000.0)]
    again = play(detector, stream, start=0.0)
    assert reasons[0] == FIRST
    assert FIRST not in [c.reason for c in again]
    assert sum(c.reason == CHANGE for c in again) >= 2
    assert all(c.onset <= c.stamp for c in again)


@pytest.mark.parametrize("name", ALL)
@given(steps=st.lists(st.floats(1e-3, 60.0), min_size=20, max_size=60))
@settings(max_examples=8, deadline=None)
def test_irregular_stamps_are_taken(name: str, steps: list[float]) -> None:
    detector = make(name)
    stamps = np.cumsum(steps)
    changes = [
        detector.observe(float(t), x) for t, x in zip(stamps, walk(7, len(steps)), strict=True)
    ]
    for change in filter(None, changes):
        assert math.isfinite(change.onset)
        assert change.onset <= change.stamp
        assert float(np.linalg.norm(change.state)) == pytest.approx(1.0, abs=1e-4)
        assert 0.0 <= change.distance <= 2.0 + 1e-6


@pytest.mark.parametrize("name", ALL)
def test_memory_does_not_grow(name: str) -> None:
    import tracemalloc

    detector = make(name)
    stream = walk(9, 400)
    play(detector, stream)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for lap in range(5):
        play(detector, stream, start=200.0 * (lap + 1))
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 20_000, "a tenth of the samples that went through"


def test_split_gains_are_the_cost_that_ward_saves() -> None:
    samples = walk(11, 12)
    gains = split_gains(samples)

    def spread(part: np.ndarray) -> float:
        return float(((part - part.mean(axis=0)) ** 2).sum())

    for split in range(1, len(samples)):
        saved = spread(samples) - spread(samples[:split]) - spread(samples[split:])
        assert gains[split - 1] == pytest.approx(saved, rel=1e-3)
