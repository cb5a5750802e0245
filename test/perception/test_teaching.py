"""A label by example: what is learned, what is refused, and what a probability means."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vljepa_ros.models.calibration import independent_probabilities
from vljepa_ros.perception.teaching import (
    LEAST_FRAMES,
    TeachingError,
    balanced_accuracy,
    fit,
    separability,
)


def scene(seed: int, frames: int, apart: float = 0.4, noise: float = 0.05, dim: int = 48):
    """Two states [frames, D] of one scene, and a function for more of them."""
    random = np.random.default_rng(seed)
    place, change = random.normal(size=(2, dim))

    def more(count: int, sign: int) -> np.ndarray:
        rows = place + sign * apart * change + noise * dim**0.5 * random.normal(size=(count, dim))
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)

    return more(frames, 1), more(frames, -1), more


def refusal(state: np.ndarray, other: np.ndarray) -> str:
    try:
        fit(state, other)
    except TeachingError as error:
        return str(error)
    return ""


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 99), st.integers(LEAST_FRAMES, 90), st.sampled_from([0.03, 0.1, 0.3]))
def test_what_was_shown_is_recognised_and_scored_as_a_text_is(seed, frames, noise) -> None:
    state, other, more = scene(seed, frames, noise=noise, apart=1.0)
    label = fit(state, other)
    seen = np.concatenate([more(50, 1), more(50, -1)])
    scores = label.score(seen)
    shows = np.arange(100) < 50
    assert balanced_accuracy(scores > 0.5, shows) >= 0.9
    assert np.linalg.norm(label.vector) == pytest.approx(1.0, abs=1e-5)
    assert -1 < label.calibration.none_similarity < 1
    assert label.calibration.judges_presence
    assert np.array_equal(scores, independent_probabilities(seen @ label.vector, label.calibration))
    assert label.accuracy >= 0.9
    assert not label.across_recordings
    assert 0.8 < np.median(scores[:50]) < 0.999, "hundreds of alike frames make no certainty"


def test_unequal_numbers_do_not_move_the_limit() -> None:
    _, _, more = scene(1, 20)
    label = fit(more(20, 1), more(400, -1))
    assert label.score(more(200, 1)).mean() > 0.85
    assert label.score(more(200, -1)).mean() < 0.15


@pytest.mark.parametrize(("noise", "frames"), [(0.05, 20), (0.3, 60), (0.0, 30)])
def test_two_states_that_are_the_same_are_refused(noise: float, frames: int) -> None:
    reasons = [refusal(*scene(seed, frames, apart=0.0, noise=noise)[:2]) for seed in range(4)]
    assert sum("too alike" in why and "allowed: 0.7 or more" in why for why in reasons) >= 3


def test_too_few_frames_are_refused_with_their_number() -> None:
    state, other, _ = scene(0, 20)
    with pytest.raises(TeachingError, match="5 frames show the other state, allowed: at least 20"):
        fit(state, other[:5])
    with pytest.raises(TeachingError, match="0 frames show the state, allowed: at least 20"):
        fit(state[:0], other)


def test_whole_recordings_are_left_out_where_there_are_several() -> None:
    """What differs between two recordings alone is not taken for what was to be shown."""
    state, other, more = scene(2, 40, apart=0.0, noise=0.05)
    drift = np.random.default_rng(9).normal(size=(4, 48)).astype(np.float32)
    parts = [more(20, 1) + 0.4 * d / np.linalg.norm(d) for d in drift]
    state, other = np.concatenate(parts[:2]), np.concatenate(parts[2:])
    assert fit(state, other).accuracy > 0.9, "one recording each: the light tells them apart"
    recordings = np.repeat([0, 1], 20)
    with pytest.raises(TeachingError, match="too alike"):
        fit(state, other, recordings, recordings)
    good = scene(3, 40)
    assert fit(good[0], good[1], recordings, recordings).across_recordings
    assert not fit(good[0], good[1], recordings).across_recordings


def test_separability_while_states_are_being_shown() -> None:
    state, other, _ = scene(4, 200)
    assert math.isnan(separability(state, other[:0]))
    assert separability(state, other[:6]) > 0.9
    assert separability(state[:100], state[100:]) < 0.75
