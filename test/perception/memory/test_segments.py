from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_rows import DIM, SECOND, vector

from vljepa_ros.perception.memory.row import SAMPLE, SEGMENT, Row, check_row
from vljepa_ros.perception.memory.segments import MAX_KEPT, RecorderSettings, SegmentRecorder


def feed(recorder: SegmentRecorder, seconds: list[float], seed: int = 1) -> list[Row]:
    rows: list[Row] = []
    for second in seconds:
        stamp = round(second * SECOND)
        rows += recorder.observe(stamp - SECOND, stamp, vector(seed))
    return rows


def test_one_row_for_each_segment_with_the_text_of_its_event() -> None:
    recorder = SegmentRecorder("front", RecorderSettings(sample_interval=0.0))
    rows = recorder.change(0, "the room is empty")
    rows += feed(recorder, [1.0, 1.5, 2.0, 2.5], seed=1)
    rows += feed(recorder, [3.0, 3.5], seed=2)
    # confirmed at 3.5 s, begun at 3 s: the last two samples belong to what comes
    rows += recorder.change(3 * SECOND, "a person enters")
    rows += feed(recorder, [4.0], seed=2)
    rows += recorder.finish()
    assert [(r.kind, r.text, r.start / 1e9, r.end / 1e9) for r in rows] == [
        (SEGMENT, "the room is empty", 1.0, 2.5),
        (SEGMENT, "a person enters", 3.0, 4.0),
    ]
    assert rows[0].vector @ vector(1) == pytest.approx(1.0, abs=1e-5)
    assert rows[1].vector @ vector(2) == pytest.approx(1.0, abs=1e-5)


def test_stamp_is_of_the_sample_nearest_to_the_mean() -> None:
    recorder = SegmentRecorder("front", RecorderSettings(sample_interval=0.0))
    near, far = np.eye(DIM, dtype=np.float32)[:2]
    for i, one in enumerate([far, near, near, near]):
        recorder.observe(i * SECOND, i * SECOND, one)
    assert recorder.finish()[0].stamp == SECOND


def test_samples_at_a_limited_rate() -> None:
    recorder = SegmentRecorder("front", RecorderSettings(sample_interval=1.0))
    rows = feed(recorder, [i * 0.2 for i in range(1, 51)])
    samples = [r for r in rows if r.kind == SAMPLE]
    assert len(samples) == 10
    assert samples[0].start == samples[0].stamp - SECOND


def test_gap_back_jump_and_length_end_a_segment() -> None:
    settings = RecorderSettings(sample_interval=0.0, longest=10.0, gap=3.0)
    recorder = SegmentRecorder("front", settings)
    rows = feed(recorder, [1, 2, 3, 8, 9, 4, 5])  # 3 -> 8: a gap; 9 -> 4: the bag begins again
    assert [(r.start // SECOND, r.end // SECOND) for r in rows] == [(1, 3), (8, 9)]
    rows = feed(recorder, list(range(6, 30)))
    assert all((r.end - r.start) / 1e9 <= 10.0 for r in rows)
    assert len(rows) == 2


def test_long_segment_keeps_bounded_memory() -> None:
    recorder = SegmentRecorder("front", RecorderSettings(0.0, longest=1e9))
    feed(recorder, [i * 0.1 for i in range(3 * MAX_KEPT)])
    assert len(recorder._open) <= MAX_KEPT
    row = recorder.finish()[0]
    assert row.end - row.start > 0.95 * 0.1 * 3 * MAX_KEPT * SECOND


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 200), st.booleans(), st.integers(0, 5)), min_size=1, max_size=60
    )
)
def test_whatever_comes_every_row_is_valid(steps: list[tuple[int, bool, int]]) -> None:
    recorder = SegmentRecorder("front", RecorderSettings(0.5, longest=5.0, gap=3.0))
    rows: list[Row] = []
    for tenth, event, seed in steps:
        stamp = tenth * SECOND // 10
        rows += recorder.observe(max(0, stamp - SECOND), stamp, vector(seed))
        if event:
            rows += recorder.change(max(0, stamp - SECOND // 2), f"event {seed}")
    rows += recorder.finish()
    assert rows
    assert [wrong for r in rows if (wrong := check_row(r, DIM))] == []
