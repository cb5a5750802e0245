"""Figures count a group once, whatever it is made of."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vljepa_lab.evaluation.real.measures import auc, share


def test_frames_of_one_clip_count_once() -> None:
    found = share([True, True, True, False], ["clip", "clip", "clip", "picture"])
    assert (found.value, found.n) == (0.5, 2)
    assert found.error == pytest.approx(0.5)


def test_no_pictures_have_no_figure() -> None:
    assert share([], []).as_json() == {"value": None, "standard_error": None, "n": 0}
    assert auc([0.1, 0.2], [True, True], "ab").as_json()["value"] is None


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=30))
def test_the_area_is_the_share_of_pairs_in_order(rows: list[tuple[int, bool]]) -> None:
    scores, shown = zip(*rows, strict=True)
    yes = [score for score, one in rows if one]
    no = [score for score, one in rows if not one]
    found = auc(scores, shown, range(len(rows)))
    if not yes or not no:
        assert math.isnan(found.value)
        return
    wins = [(a > b) + (a == b) / 2 for a in yes for b in no]
    assert found.value == pytest.approx(np.mean(wins))
    assert 0.0 <= found.error < 0.6
