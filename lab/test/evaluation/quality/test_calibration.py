from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vljepa_lab.evaluation.quality.calibration import (
    accuracy_coverage,
    at_threshold,
    expected_calibration_error,
    reliability_bins,
)


def test_known_cases():
    # Stated 0.8, right in 6 of 10: off by 0.2 in the only bin that matters.
    assert expected_calibration_error([0.8] * 10, [1] * 6 + [0] * 4, bins=1) == pytest.approx(0.2)
    assert expected_calibration_error([1.0] * 7, [1] * 7) == 0.0
    assert expected_calibration_error([1.0] * 7, [0] * 7) == pytest.approx(1.0)
    two = expected_calibration_error([0.1] * 5 + [0.9] * 5, [0] * 5 + [1] * 5, bins=2)
    assert two == pytest.approx(0.1)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=200))
def test_bins_have_equal_mass_and_the_error_is_a_share(rows: list[tuple[float, bool]]):
    stated = [p for p, _ in rows]
    right = [r for _, r in rows]
    confidence, _, counts = reliability_bins(stated, right)
    assert sum(counts) == len(rows)
    assert max(counts) - min(counts) <= 1
    assert all(a <= b + 1e-12 for a, b in pairwise(confidence))
    plain = expected_calibration_error(stated, right)
    assert 0.0 <= expected_calibration_error(stated, right, debiased=True) <= plain + 1e-12 <= 1.001


def test_debiasing_brings_a_perfect_calibrator_near_zero():
    rng = np.random.default_rng(1)
    stated = rng.random(500)
    errors = [
        [
            expected_calibration_error(stated, outcome, debiased=False),
            expected_calibration_error(stated, outcome, debiased=True),
        ]
        for outcome in rng.random((40, 500)) < stated
    ]
    plain, debiased = np.mean(errors, axis=0)
    assert debiased < 0.7 * plain


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="allowed"):
        expected_calibration_error([1.4], [1])
    with pytest.raises(ValueError, match="2 outcomes"):
        expected_calibration_error([0.4], [1, 0])


def test_the_surest_answers_come_first():
    stated = [0.9, 0.2, 0.8, 0.4]
    right = [True, False, True, False]
    curve = accuracy_coverage(stated, right, points=4)
    assert [point.share for point in curve] == [0.25, 0.5, 0.75, 1.0]
    assert [point.accuracy for point in curve] == [1.0, 1.0, pytest.approx(2 / 3), 0.5]
    assert [point.threshold for point in curve] == [0.9, 0.8, 0.4, 0.2]
    with pytest.raises(ValueError, match="2 probabilities and 1 outcomes"):
        accuracy_coverage([0.1, 0.2], [True])


def test_answers_below_the_threshold_are_withheld():
    kept = at_threshold([0.9, 0.2, 0.8, 0.4], [True, False, False, True], 0.5)
    assert (kept.share, kept.accuracy) == (0.5, 0.5)
    assert at_threshold([0.1], [False], 0.5).accuracy == 1.0
