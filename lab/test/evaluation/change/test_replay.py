"""Offline Ward against merging by hand, and its cuts."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("sklearn", reason="offline Ward needs the extra [eval]")

from vljepa_lab.evaluation.change.replay import ward_tree


def by_hand(samples: np.ndarray, segments: int) -> list[int]:
    """Merge the neighbours whose union costs least until so many are left."""
    parts = [[i] for i in range(len(samples))]
    while len(parts) > segments:
        costs = []
        for one, other in pairwise(parts):
            a, b = samples[one], samples[other]
            apart = ((a.mean(axis=0) - b.mean(axis=0)) ** 2).sum()
            costs.append(len(a) * len(b) / (len(a) + len(b)) * apart)
        best = int(np.argmin(costs))
        parts[best : best + 2] = [parts[best] + parts[best + 1]]
    return [part[0] for part in parts]


@given(seed=st.integers(0, 10_000), count=st.integers(2, 14), data=st.data())
@settings(max_examples=40, deadline=None)
def test_segments_are_those_of_merging_by_hand(seed: int, count: int, data: st.DataObject) -> None:
    samples = np.random.default_rng(seed).normal(size=(count, 5)).astype(np.float32)
    segments = data.draw(st.integers(1, count))
    assert ward_tree(samples).starts(segments).tolist() == by_hand(samples, segments)


def test_steps_are_found_and_states_are_means() -> None:
    states = np.eye(4, dtype=np.float32)
    stream = np.repeat(states, [10, 7, 12, 5], axis=0)
    tree = ward_tree(stream)
    assert tree.starts(4).tolist() == [0, 10, 17, 29]
    assert tree.middles(4).tolist() == [4, 13, 22, 31]
    assert np.allclose(tree.states(4), states)
    assert np.allclose(np.linalg.norm(tree.states(2), axis=1), 1.0, atol=1e-6)


def test_one_sample_is_one_segment_and_wrong_counts_are_refused() -> None:
    tree = ward_tree(np.ones((1, 3), np.float32))
    assert tree.starts(1).tolist() == [0]
    with pytest.raises(ValueError, match="segments is 2, allowed: 1 to 1"):
        tree.starts(2)
    with pytest.raises(ValueError, match="finite"):
        ward_tree(np.full((3, 2), np.nan, np.float32))
