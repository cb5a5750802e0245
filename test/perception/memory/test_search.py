from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_rows import DIM, MODEL, SECOND, row, unit, vector

from vljepa_ros.models.config import Calibration
from vljepa_ros.perception.memory.row import SEGMENT, Pose
from vljepa_ros.perception.memory.search import MomentQuery, find_moments, merge_hits
from vljepa_ros.perception.memory.store import Hit, MemoryStore, QueryError, open_store

CALIBRATION = Calibration(logit_scale=10.0, none_similarity=0.5)


def hit(start: float, end: float, similarity: float, **changes: object) -> Hit:
    times = {
        "start": round(start * SECOND),
        "end": round(end * SECOND),
        "stamp": round(end * SECOND),
    }
    return Hit(row(end, seed=0, **{**times, **changes}), similarity)


def spans(hits: list[Hit], gap: float = 2.0, longest: float = 60.0) -> list[tuple[float, float]]:
    moments = merge_hits(
        hits, CALIBRATION, gap=round(gap * SECOND), longest=round(longest * SECOND)
    )
    return [(m.start / SECOND, m.end / SECOND) for m in moments]


def test_neighbours_become_one_moment_best_first() -> None:
    hits = [hit(1, 2, 0.6), hit(3, 4, 0.8), hit(20, 21, 0.9), hit(5, 6, 0.7)]
    assert spans(hits) == [(20.0, 21.0), (1.0, 6.0)]


def test_best_row_gives_stamp_score_and_the_best_row_that_has_one_text_and_pose() -> None:
    pose = Pose((1.0, 2.0, 0.0), (0.0, 0.0, 0.0, 1.0), "map")
    hits = [hit(1, 2, 0.9), hit(2, 3, 0.7, text="the door opens"), hit(3, 4, 0.6, pose=pose)]
    (moment,) = merge_hits(hits, CALIBRATION, gap=SECOND, longest=60 * SECOND)
    assert moment.stamp == 2 * SECOND
    assert moment.score == pytest.approx(1.0 / (1.0 + np.exp(-10.0 * 0.4)))
    assert (moment.text, moment.pose) == ("the door opens", pose)


def test_cameras_and_bags_are_not_mixed() -> None:
    hits = [hit(1, 2, 0.9), hit(1, 2, 0.8, camera="rear"), hit(1, 2, 0.7, source="bag")]
    assert len(spans(hits)) == 3


def test_a_quiet_hour_is_not_one_moment() -> None:
    found = spans([hit(i, i + 1, 0.5) for i in range(3600)], longest=60.0)
    assert len(found) >= 50
    assert max(end - start for start, end in found) <= 60.0


def test_what_fits_much_less_is_no_part_of_the_moment() -> None:
    hits = [hit(4, 5, 0.9), hit(2, 3, 0.2), hit(6, 7, 0.1)]
    assert spans(hits)[0] == (4.0, 5.0)


def test_weak_hit_between_two_strong_ones_bridges_them() -> None:
    assert spans([hit(1, 2, 0.9), hit(6, 7, 0.8), hit(3, 5, 0.55)], gap=1.0) == [(1.0, 7.0)]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 20), st.floats(-1, 1)), max_size=40))
def test_every_hit_lies_in_one_moment_of_bounded_length(
    parts: list[tuple[int, int, float]],
) -> None:
    hits = [hit(start, start + length, score) for start, length, score in parts]
    found = sorted(spans(hits, gap=2.0, longest=60.0))
    for one in hits:
        start, end = one.row.start / SECOND, one.row.end / SECOND
        assert any(low <= start and end <= high for low, high in found)
    assert all(high - low <= 60.0 for low, high in found)
    assert len(found) <= len(hits)


def stream(folder: Path) -> MemoryStore:
    """300 s at 2 Hz: noise, from 100 to 110 s what `vector(7)` means, at 200 s a little of it."""
    rng = np.random.default_rng(0)
    store = open_store(folder, MODEL, DIM, create=True)
    rows = []
    for i in range(600):
        second = i / 2
        share = 1.0 if 100 <= second <= 110 else (0.6 if second == 200 else 0.0)
        values = share * vector(7) + 0.6 * unit(rng.standard_normal(DIM))
        rows.append(row(second, vector=unit(values), text=f"at {second:g}"))
    store.append(rows)
    return store


def test_the_moment_is_found_and_merged(tmp_path: Path) -> None:
    moments = find_moments(stream(tmp_path), MomentQuery("x", limit=3), vector(7), CALIBRATION)
    best = moments[0]
    assert 98.0 <= best.start / SECOND <= 100.0
    assert 110.0 <= best.end / SECOND <= 112.5
    assert 100.0 <= best.stamp / SECOND <= 110.0
    assert best.text == f"at {best.stamp / SECOND:g}"
    assert [m.score for m in moments] == sorted((m.score for m in moments), reverse=True)


def test_time_range_and_score_leave_out_the_rest(tmp_path: Path) -> None:
    store = stream(tmp_path)
    late = MomentQuery("x", start=150 * SECOND, end=250 * SECOND, limit=1)
    assert find_moments(store, late, vector(7), CALIBRATION)[0].stamp == 200 * SECOND
    sure = MomentQuery("x", min_score=0.97)
    assert len(find_moments(store, sure, vector(7), CALIBRATION)) == 1
    assert find_moments(store, MomentQuery("x", min_score=1.0), vector(7), CALIBRATION) == []


def test_deeper_search_until_there_are_enough_moments(tmp_path: Path) -> None:
    """A minute of near-equal rows fills the first round of hits; there are other moments."""
    store = open_store(tmp_path, MODEL, DIM, create=True)
    same = [row(i / 10, vector=vector(7)) for i in range(600)]
    other = [row(1000.0 + 100 * i, seed=i) for i in range(5)]
    store.append(same + other)
    moments = find_moments(store, MomentQuery("x", limit=4), vector(7), CALIBRATION)
    assert len(moments) == 4
    assert moments[0].end - moments[0].start >= 59 * SECOND


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"text": "  "}, "the text is empty"),
        ({"text": "x" * 600}, "600 characters, allowed: 1 to 512"),
        ({"cameras": ("front", "left")}, "knows no camera 'left'; it has: front"),
        ({"source": "day1"}, "knows no source 'day1'"),
        ({"start": 5 * SECOND, "end": 4 * SECOND}, r"end \(4.000 s\) is before start \(5.000 s\)"),
        ({"limit": 0}, "limit is 0, allowed: 1 to 1000"),
        ({"limit": 5000}, "limit is 5000"),
        ({"min_score": 1.5}, "min_score is 1.5, allowed: 0 to 1"),
        ({"min_score": float("nan")}, "min_score is nan"),
    ],
)
def test_senseless_query(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    store = open_store(tmp_path, MODEL, DIM, create=True)
    store.append([row(1.0, kind=SEGMENT)])
    query = MomentQuery(**{"text": "a door", **changes})  # type: ignore[arg-type]
    with pytest.raises(QueryError, match=message):
        find_moments(store, query, vector(7), CALIBRATION)


def test_a_model_that_only_chooses_orders_moments_but_gives_no_scores(tmp_path: Path) -> None:
    """CLIP: with nothing to compare with, every row scored 1.000 and passed any least score."""
    chooses, recent = Calibration(logit_scale=100.0), [row(1.0), row(50.0)]
    found = find_moments(None, MomentQuery("x"), recent[1].vector, chooses, recent=recent)
    assert [moment.score for moment in found] == [0.0, 0.0]
    assert found[0].best is recent[1]
    with pytest.raises(QueryError, match=r"min_score is 0\.5, allowed: 0: this model cannot judge"):
        find_moments(None, MomentQuery("x", min_score=0.5), recent[1].vector, chooses)
