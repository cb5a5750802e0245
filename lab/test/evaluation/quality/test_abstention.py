from __future__ import annotations

import pytest

from vljepa_lab.evaluation.quality.calibration import accuracy_coverage, at_threshold


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
