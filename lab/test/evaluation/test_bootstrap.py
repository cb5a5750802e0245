from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vljepa_lab.evaluation.bootstrap import scene_bootstrap

rows = st.lists(st.tuples(st.integers(0, 8), st.floats(-5, 5)), min_size=1, max_size=60)


@settings(max_examples=50, deadline=None)
@given(rows)
def test_interval_lies_within_the_scene_means_and_is_reproducible(rows: list[tuple[int, float]]):
    scenes = [scene for scene, _ in rows]
    values = [value for _, value in rows]
    first = scene_bootstrap(values, scenes, resamples=200)
    means = [np.mean([v for s, v in rows if s == scene]) for scene in set(scenes)]
    assert min(means) - 1e-9 <= first.low <= first.high <= max(means) + 1e-9
    assert first.value == pytest.approx(np.mean(values))
    assert (first.n, first.scenes) == (len(rows), len(set(scenes)))
    assert scene_bootstrap(values, scenes, resamples=200) == first


def test_equal_values_have_an_interval_of_no_width():
    estimate = scene_bootstrap([1.0] * 20, list(range(20)))
    assert (estimate.low, estimate.value, estimate.high) == (1.0, 1.0, 1.0)


def test_samples_that_repeat_a_scene_do_not_narrow_the_interval():
    rng = np.random.default_rng(3)
    truth = (rng.random(50) < 0.5).astype(float)
    single = scene_bootstrap(truth, list(range(50)))
    repeated = scene_bootstrap(np.repeat(truth, 30), np.repeat(np.arange(50), 30))
    assert repeated.high - repeated.low == pytest.approx(single.high - single.low, rel=1e-6)
    pretended = scene_bootstrap(np.repeat(truth, 30), list(range(1500)))
    assert pretended.high - pretended.low < 0.4 * (single.high - single.low)


def test_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = 0
    for trial in range(200):
        chance = rng.beta(4, 4, 60)  # each scene has its own difficulty
        values = rng.random((60, 5)) < chance[:, None]
        estimate = scene_bootstrap(
            values.reshape(-1), np.repeat(np.arange(60), 5), resamples=300, seed=trial
        )
        hits += estimate.low <= 0.5 <= estimate.high
    assert 0.88 <= hits / 200 <= 0.99


@pytest.mark.parametrize(("values", "scenes"), [([], []), ([1.0], [1, 2])])
def test_bad_input_is_named(values: list[float], scenes: list[int]):
    with pytest.raises(ValueError, match=f"{len(values)} values of {len(scenes)} scenes"):
        scene_bootstrap(values, scenes)
