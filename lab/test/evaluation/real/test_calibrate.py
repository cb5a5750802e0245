from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("torch")

from vljepa_lab.evaluation.real.calibrate import draw_sets


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 3), st.integers(2, 40), st.integers(0, 9))
def test_a_set_has_one_right_label_or_none(right: int, wrong: int, seed: int) -> None:
    of_right = [1.0 + i for i in range(right)]
    of_wrong = [-1.0 - i for i in range(wrong)]
    sets = draw_sets(of_right, of_wrong, random.Random(seed))
    for one in sets:
        positive = [i for i, value in enumerate(one.similarities) if value > 0]
        assert positive == ([one.right] if one.right >= 0 else [])
        assert 2 <= len(one.similarities) - len(positive) <= wrong
        assert len(set(one.similarities.tolist())) == len(one.similarities)
    assert right or all(one.right == -1 for one in sets)
