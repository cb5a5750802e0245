from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vljepa_ros.perception.bags.segmentation import segment_stream, ward_boundaries

SECOND = 1_000_000_000


def stream(lengths: list[int], noise: float = 0.1, dim: int = 16) -> np.ndarray:
    rng = np.random.default_rng(3)
    means = np.eye(dim)[np.arange(len(lengths)) % dim]
    rows = np.repeat(means, lengths, axis=0) + noise * rng.standard_normal((sum(lengths), dim))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def stamps_of(count: int) -> np.ndarray:
    return np.arange(count, dtype=np.int64) * SECOND // 2


def test_changes_are_found_where_they_are() -> None:
    vectors = stream([20, 12, 30, 8])
    found = segment_stream(stamps_of(len(vectors)), vectors)
    assert found == [(0, 20), (20, 32), (32, 62), (62, 70)]


def test_same_as_sklearn_where_it_is_installed() -> None:
    cluster = pytest.importorskip("sklearn.cluster")
    vectors = stream([9, 14, 6, 11], noise=0.1)
    n = len(vectors)
    chain = np.eye(n, k=1) + np.eye(n, k=-1)
    # sklearn's distance is sqrt(2 cost)
    model = cluster.AgglomerativeClustering(
        n_clusters=None, linkage="ward", connectivity=chain, distance_threshold=np.sqrt(2 * 0.8)
    )
    labels = model.fit_predict(vectors)
    assert ward_boundaries(vectors, 0.8) == (np.flatnonzero(np.diff(labels)) + 1).tolist()


def test_short_stretches_join_the_cheaper_neighbour() -> None:
    vectors = stream([20, 1, 20], noise=0.01)
    stamps = stamps_of(len(vectors))
    assert len(segment_stream(stamps, vectors, threshold=0.3, shortest=0.0)) == 3
    assert len(segment_stream(stamps, vectors, threshold=0.3, shortest=1.0)) == 2


def test_gaps_always_separate() -> None:
    vectors = stream([20], noise=0.0)
    stamps = stamps_of(20)
    stamps[10:] += 60 * SECOND
    assert segment_stream(stamps, vectors) == [(0, 10), (10, 20)]


def test_nothing_and_one_sample() -> None:
    assert segment_stream(np.zeros(0, np.int64), np.zeros((0, 4), np.float32)) == []
    assert segment_stream(np.zeros(1, np.int64), np.ones((1, 4), np.float32)) == [(0, 1)]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.floats(0.01, 5.0), st.integers(0, 4), st.integers(0, 99))
def test_segments_cover_the_stream_in_order(
    count: int, threshold: float, shortest: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((count, 8)).astype(np.float32)
    found = segment_stream(stamps_of(count), vectors, threshold=threshold, shortest=shortest)
    assert found[0][0] == 0
    assert found[-1][1] == count
    assert all(a[1] == b[0] for a, b in itertools.pairwise(found))
    if len(found) > 1:
        assert all((last - first - 1) * 0.5 >= shortest for first, last in found)
