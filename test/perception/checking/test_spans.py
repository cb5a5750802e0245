"""Stretches of time against counting tenths of a second one by one."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from vljepa_ros.perception.checking.spans import combine, runs, seconds, spans

pairs = st.lists(
    st.tuples(st.integers(0, 40), st.integers(1, 15)).map(lambda p: (p[0], p[0] + p[1])), max_size=6
)
PLACES = np.arange(60) + 0.5


def inside(of: list[tuple[int, int]]) -> np.ndarray:
    return np.array([any(begin < place < end for begin, end in of) for place in PLACES])


@settings(max_examples=60)
@given(pairs, pairs)
def test_sets_of_time_are_as_if_counted(one: list[tuple[int, int]], two: list[tuple[int, int]]):
    for keep in (np.logical_and, np.logical_or, np.greater):
        found = combine(spans(one), spans(two), keep)
        wanted = keep(inside(one), inside(two))
        assert (inside(found.tolist()) == wanted).all()
        assert seconds(found) == wanted.sum()
        assert (found[:, 0] < found[:, 1]).all()
        assert (found[1:, 0] > found[:-1, 1]).all(), "neighbours are one"


def test_runs_of_nothing() -> None:
    assert runs(np.zeros(0), np.zeros(0, bool)).shape == (0, 2)
    assert runs(np.array([0.0, 1.0, 2.0, 5.0]), np.array([True, False, True])).tolist() == [
        [0.0, 1.0],
        [2.0, 5.0],
    ]
