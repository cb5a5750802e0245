"""Clips by stamp: nearest frames, waiting, repeats, gaps, jumps, bad images, bounded memory."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vljepa_ros.perception.image_encodings import FrameError
from vljepa_ros.perception.ring import ClipRing

SECOND = 1_000_000_000


class Decoder:
    """Turns a number into a picture of that number; refuses negative ones; remembers its calls."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def __call__(self, message: int) -> np.ndarray:
        self.calls.append(message)
        if message < 0:
            raise FrameError(f"picture {message} is broken")
        return np.full((2, 2, 3), message % 256, np.uint8)


def ring(frames: int = 4, interval: float = 0.5) -> tuple[ClipRing[int], Decoder]:
    decoder = Decoder()
    return ClipRing(frames, interval, decoder), decoder


def fill(clips: ClipRing[int], stamps, start: int = 0) -> None:
    for i, stamp in enumerate(stamps):
        clips.push(round(stamp * SECOND), start + i, f"frame{start + i}", float(stamp))


def seconds(taken) -> list[float]:
    return [stamp / SECOND for stamp in taken.clip.stamps]


def test_frames_are_taken_at_the_interval_and_oldest_first() -> None:
    clips, decoder = ring()
    fill(clips, np.arange(31) / 10)
    taken = clips.take(3.0)
    assert seconds(taken) == [1.5, 2.0, 2.5, 3.0]
    assert [frame[0, 0, 0] for frame in taken.clip.frames] == [15, 20, 25, 30]
    assert taken.tag == "frame30"
    assert sorted(decoder.calls) == [15, 20, 25, 30], "only what is used is decoded"


def test_a_frame_is_decoded_once() -> None:
    clips, decoder = ring()
    fill(clips, np.arange(31) / 10)
    clips.take(3.0)
    fill(clips, [3.1, 3.2, 3.3, 3.4, 3.5], start=31)
    assert seconds(clips.take(3.5)) == [2.0, 2.5, 3.0, 3.5]
    assert sorted(decoder.calls) == [15, 20, 25, 30, 35]


@given(
    st.lists(st.floats(0.01, 0.4), min_size=10, max_size=80),
    st.integers(1, 5),
    st.floats(0.2, 0.8),
)
@settings(max_examples=40, deadline=None)
def test_every_frame_is_near_its_time_and_the_clip_ends_now(steps, frames, interval) -> None:
    clips, _ = ring(frames, interval)
    stamps = np.cumsum(steps)
    fill(clips, stamps)
    taken = clips.take(math.inf)
    got = seconds(taken)
    assert got[-1] == pytest.approx(stamps[-1])
    assert got == sorted(got)
    for back, stamp in enumerate(reversed(got)):
        wanted = stamps[-1] - back * interval
        nearest = np.abs(stamps - wanted).min()
        assert abs(stamp - wanted) <= nearest + interval / 8 + 1e-6 or stamp <= wanted


@given(st.floats(5, 240), st.floats(0.05, 1.0))
@settings(max_examples=20, deadline=None)
def test_memory_does_not_grow_with_the_rate(rate, interval) -> None:
    clips, _ = ring(4, interval)
    count = int(rate * interval * 12)
    fill(clips, np.arange(count) / rate)
    held = clips.counts.received - clips.counts.dropped
    assert clips.counts.received == count
    assert held <= 4 * 8 + 3


def test_it_waits_for_a_clips_length_then_repeats_the_oldest_of_a_still_stream() -> None:
    clips, _ = ring()
    clips.push(10 * SECOND, 7, "still", now=100.0)
    assert clips.take(101.0) is None
    assert seconds(clips.take(101.5)) == [10.0] * 4


def test_a_growing_stream_has_its_first_clip_when_it_spans_one() -> None:
    clips, _ = ring()
    fill(clips, np.arange(13) / 10)
    assert clips.take(0.0) is None
    fill(clips, [1.3], start=13)
    assert clips.take(0.0) is not None


def test_a_slow_camera_holds_the_last_image_before() -> None:
    clips, _ = ring()
    fill(clips, [0.0, 1.4, 2.8])
    assert seconds(clips.take(0.0)) == [1.4, 1.4, 2.8, 2.8] or seconds(clips.take(0.0)) == [
        1.4,
        1.4,
        1.4,
        2.8,
    ]


def test_the_same_clip_is_not_given_twice() -> None:
    clips, _ = ring()
    fill(clips, np.arange(31) / 10)
    assert clips.take(3.0, after=round(3.0 * SECOND)) is None
    assert clips.take(3.0, after=round(2.9 * SECOND)) is not None


def test_time_jumping_back_empties_the_ring() -> None:
    clips, _ = ring()
    fill(clips, 100 + np.arange(31) / 10)
    fill(clips, np.arange(5) / 10)
    assert clips.newest == round(0.4 * SECOND)
    assert clips.take(0.4) is None, "old images are gone and the new stream is young"
    assert clips.counts.restarts == 1


def test_an_image_out_of_order_is_left_out() -> None:
    clips, _ = ring()
    fill(clips, np.arange(31) / 10)
    assert not clips.push(round(2.95 * SECOND), 99)
    assert not clips.push(3 * SECOND, 99), "a repeated stamp"
    assert clips.newest == 3 * SECOND
    assert clips.counts.restarts == 0


def test_a_gap_longer_than_a_clip_starts_anew() -> None:
    clips, _ = ring()
    fill(clips, np.arange(31) / 10)
    fill(clips, [5.2])
    assert clips.counts.restarts == 1
    assert clips.take(5.2) is None


def test_broken_images_are_left_out_counted_and_explained() -> None:
    clips, _ = ring()
    fill(clips, np.arange(30) / 10)
    clips.push(3 * SECOND, -1, "broken", 3.0)
    assert seconds(clips.take(3.0)) == [1.4, 1.9, 2.4, 2.9]
    assert clips.counts.broken == 1
    assert clips.counts.error == "picture -1 is broken"


def test_times_are_those_of_the_clip_that_would_be_taken_on_demand() -> None:
    clips, _ = ring()
    assert clips.times is None
    clips.push(3 * SECOND, 0, now=3.0, time=50 * SECOND)
    assert clips.times == (50 * SECOND, 50 * SECOND), "a partial clip, filled up"
    for i in range(1, 31):
        clips.push(3 * SECOND + i * SECOND // 10, i, now=3.0, time=50 * SECOND + i * SECOND // 5)
    assert clips.times == (53 * SECOND, 56 * SECOND)
    assert clips.take(math.inf).times == clips.times
    clips.push(7 * SECOND, -1)
    assert clips.times == (55 * SECOND, 7 * SECOND), "the stamp where no other time is known"
    assert clips.take(math.inf).times == clips.times
    assert clips.times[1] == 56 * SECOND, "the newest was broken"
    clips.clear()
    assert clips.times is None


def test_a_stream_of_broken_images_gives_no_clip() -> None:
    clips, _ = ring()
    for i in range(40):
        clips.push(i * SECOND // 10, -1)
    assert clips.take(math.inf) is None
    assert clips.newest is None
    assert clips.take(math.inf) is None


def test_the_counts_add_up() -> None:
    clips, decoder = ring()
    fill(clips, np.arange(101) / 10)
    clips.take(10.0)
    clips.clear()
    assert clips.counts.received == 101
    assert clips.counts.dropped == 101 - len(decoder.calls)


@given(st.integers(1, 15), st.integers(20, 60), st.integers(0, 10))
@settings(max_examples=60, deadline=None)
def test_a_clip_that_ended_a_while_ago_is_what_it_was_then(
    rate: int, count: int, late: int
) -> None:
    """For a second, with images too far apart to be thinned out."""
    stamps = np.arange(count) / rate
    ended = max(0, count - 1 - min(late, rate))
    then, _ = ring()
    fill(then, stamps[: ended + 1])
    now = ClipRing(4, 0.5, Decoder(), history=1.0)
    fill(now, stamps)
    expected = then.take(math.inf)
    found = now.take(math.inf, at=round(stamps[ended] * SECOND))
    assert found.clip.stamps == expected.clip.stamps
