from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from memory_endurance import soak

from vljepa_lab.bench.memory import bench_memory, robot_queries, robot_vectors

pytest.importorskip("lancedb", reason="the memory needs the extra [memory]")


def test_vectors_come_in_stays_and_queries_are_near_some() -> None:
    block, meanings = robot_vectors(2000, 64)
    vectors = block(0, 2000)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    assert np.array_equal(vectors, block(0, 2000))
    cosines = vectors @ vectors.T
    within = np.mean([cosines[i, i + 1] for i in range(0, 2000, 20)])
    assert within > 0.8
    assert abs(np.median(cosines)) < 0.2
    best = (robot_queries(meanings, 50) @ _unit(meanings).T).max(axis=1)
    assert 0.5 < best.mean() < 0.95


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_report_has_what_is_promised(capsys: pytest.CaptureFixture[str]) -> None:
    result = bench_memory([(1000, 32)], 20, trickle=0.5)
    figures = result["1000x32"]
    assert figures["recall_at_10"] > 0.97  # exact search: only fp16 ties differ
    assert figures["index_seconds"] is None
    assert 64 < figures["bytes_per_row"] < 2000
    assert figures["query_ms"]["p50"] <= figures["query_ms"]["p99"]
    assert figures["rows_per_second"] > 0
    assert figures["exact_to_query"] > 0
    assert 0.0 <= result["trickle"]["share_of_a_core"] < 1.5
    assert "1000 rows of 32-d" in capsys.readouterr().err


def test_soak_tells_of_the_process_and_loses_nothing(tmp_path: Path) -> None:
    result = soak(tmp_path / "memory", 4.0)
    assert result["rows"] >= 1000
    assert result["dropped"] == 0
    assert result["closed"]
    assert result["problems"] == []
    assert 10 < result["resident_mib"][0] <= result["resident_mib_max"]
    assert result["find_ms"]["n"] >= 1
