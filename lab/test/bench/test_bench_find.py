from __future__ import annotations

import itertools
from types import SimpleNamespace

import pytest
from bench_find import filtered_search, fresh_texts, nonsense_scores, stream_figures

from vljepa_lab.bench.harness import EmbeddingStream
from vljepa_ros.cli.processes import ProcessFailed
from vljepa_ros.engines.load import load_engine
from vljepa_ros.resources import model_dir

SECOND = 1_000_000_000


def stream(stamps: list[float]) -> EmbeddingStream:
    made = EmbeddingStream()
    for stamp in stamps:
        time = SimpleNamespace(sec=int(stamp), nanosec=round(stamp % 1 * SECOND))
        made.on_embedding(SimpleNamespace(header=SimpleNamespace(stamp=time), latency=0.05))
    return made


def test_rate_counts_images_by_their_stamps_not_by_their_arrival() -> None:
    seen = stream([i / 10 for i in range(100)])  # all arrive at once, as after a blocked second
    figures = stream_figures(seen, [(0, 2 * SECOND), (5 * SECOND, 8 * SECOND)])
    assert figures["fps"] == 10.0
    assert figures["fps_each"] == [10.0, 10.0]
    assert figures["embedding_latency_ms"]["n"] == 50
    half = stream([i / 10 for i in range(100) if i < 50 or i % 2])
    assert stream_figures(half, [(5 * SECOND, 10 * SECOND)])["fps"] == 5.0


def test_a_stream_that_ended_is_reported() -> None:
    with pytest.raises(ProcessFailed, match="the stream of embeddings ended"):
        stream_figures(stream([0.0, 0.1]), [(SECOND, 2 * SECOND)])


def test_no_text_is_asked_twice() -> None:
    texts = list(itertools.islice(fresh_texts(), 2500))
    assert len(set(texts)) == 2500


def test_filtered_search_is_compared_with_exact_search() -> None:
    figures = filtered_search(3000, 5)
    assert set(figures) == {
        f"{kind}_{share}" for kind in ("window", "camera") for share in ("0.001", "0.01", "0.1")
    }
    assert all(one["recall_at_10"] == 1.0 for one in figures.values()), "too few for an index"


def test_nonsense_stays_below_the_threshold_and_known_words_keep_their_scores() -> None:
    engine = load_engine(
        model_dir("nano"), threads=1, parts=frozenset({"vision", "predictor", "text"})
    )
    figures = nonsense_scores(engine, 10)
    for name in ("letters", "languages"):
        assert figures[name]["now"] <= 0.05 < figures[name]["before"]
    for name in ("known_words", "vocabulary"):
        assert 0.2 < figures[name]["now"] <= figures[name]["before"]
