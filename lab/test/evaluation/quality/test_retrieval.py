from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from vljepa_lab.evaluation.quality.retrieval import (
    first_of_each,
    late_similarity,
    most_different,
    ranks,
)


def test_known_ranks():
    moments = np.eye(3, dtype=np.float32)
    assert ranks(moments @ moments.T).tolist() == [1, 1, 1]
    texts = np.array([[1, 0, 0], [1, 0.5, 0], [0.2, 0.4, 0.1]], np.float32)
    assert ranks(texts @ moments.T).tolist() == [1, 2, 3]


def test_a_collapsed_model_ranks_last():
    same = np.ones((5, 4), np.float32) / 2
    assert ranks(same @ same.T).tolist() == [5] * 5


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 20), st.integers(0, 1000))
def test_agrees_with_sorting(n: int, seed: int):
    rng = np.random.default_rng(seed)
    texts, moments = rng.standard_normal((2, n, 8)).astype(np.float32)
    expected = [
        1 + int(np.flatnonzero(np.argsort(-(moments @ t)) == i)[0]) for i, t in enumerate(texts)
    ]
    assert ranks(texts @ moments.T).tolist() == expected


def test_one_moment_for_each_key():
    assert first_of_each(["a", "b", "a", "c"], [2, 0, 1, 3]) == [1, 2, 3]


def test_moments_of_all_events_come_before_further_ones_of_the_same_event():
    events = ["roll", "roll", "drop", "roll"]
    keys = ["roll open", "roll shut", "drop open", "roll open"]
    assert most_different(events, keys, [0, 1, 2, 3], 2) == [0, 2]
    assert most_different(events, keys, [0, 1, 2, 3], 9) == [0, 1, 2]


def test_each_statement_meets_the_answer_that_it_fits():
    east, north, up = np.eye(3, dtype=np.float32)
    statements = np.stack([np.stack([east, north]), np.stack([east, up])])
    moments = np.stack([np.stack([north, east]), np.stack([up, east])])
    similarity = late_similarity(statements, moments)
    assert similarity.tolist() == [[2.0, 1.0], [1.0, 2.0]]
    assert ranks(similarity).tolist() == [1, 1]


def test_what_happens_counts_as_much_as_all_that_is_true_beside_it():
    east, north, up = np.eye(3, dtype=np.float32)
    text = np.stack([east, north, up])[None]
    same_event = np.stack([east, east])
    same_states = np.stack([north, up])
    similarity = late_similarity(text, np.stack([same_event, same_states]))
    assert similarity.tolist() == [[1.0, 1.0]]
