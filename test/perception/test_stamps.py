"""Which stamp an image counts with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vljepa_ros.perception.ring import ClipRing
from vljepa_ros.perception.stamps import TRUSTED, ImageStamps

SECOND = 1_000_000_000
NOW = 1_700_000_000 * SECOND
STEP = SECOND // 10


def read(own: Sequence[int]) -> tuple[ImageStamps, list[int | None]]:
    """A camera of ten images a second, which arrive on time."""
    stamps = ImageStamps(0.25)
    return stamps, [stamps.read(stamp, NOW + n * STEP) for n, stamp in enumerate(own)]


def clips(used: Sequence[int | None]) -> int:
    """How many different clips the images make."""
    ring: ClipRing[int] = ClipRing(4, 0.25, lambda number: np.zeros((2, 2, 3), np.uint8))
    ends = set()
    for number, stamp in enumerate(used):
        if stamp is not None:
            ring.push(stamp, number, now=number / 10)
        if taken := ring.take(number / 10):
            ends.add(taken.clip.stamps[-1])
    return len(ends)


def steady(count: int, first: int = 5 * SECOND) -> list[int]:
    return [first + n * STEP for n in range(count)]


@pytest.mark.parametrize(
    ("own", "trouble"),
    [
        ([3 * SECOND] * 100, "the same stamp again and again (3.000 s)"),
        ([3 * SECOND, 8 * SECOND] * 50, "stamps that jump back (5.000 s)"),
        ([0] * 100, "no stamp"),
        ([-SECOND] * 100, "a negative stamp (-1.000 s)"),
    ],
)
def test_the_time_of_arrival_takes_over(own: list[int], trouble: str) -> None:
    stamps, used = read(own)
    assert f"images have {trouble}, the time of arrival is taken; set header" in stamps.trouble
    assert used[10:] == [NOW + n * STEP for n in range(10, 100)]
    assert clips(used) > 80
    assert stamps.refused <= 3


def test_a_driver_that_is_mended_is_believed_again() -> None:
    stamps, used = read([3 * SECOND] * 20 + steady(TRUSTED + 5))
    assert not stamps.trouble
    assert used[-5:] == steady(TRUSTED + 5)[-5:]


@pytest.mark.parametrize(
    "own",
    [
        steady(30) + steady(30) + steady(30),  # a bag that begins again
        [stamp for stamp in steady(40) for _ in range(2)],  # two publishers
        [stamp for n in range(0, 40, 2) for stamp in steady(40)[n : n + 2][::-1]],  # out of order
        [*steady(20), 9000 * SECOND, *steady(20, 8 * SECOND)],  # one from the future
    ],
)
def test_what_happens_once_or_does_no_harm_changes_nothing(own: list[int]) -> None:
    stamps, used = read(own)
    assert used == own
    assert not stamps.trouble


def test_only_an_image_with_a_negative_stamp_is_left_out() -> None:
    own = steady(20)
    own[10] = -5 * SECOND
    stamps, used = read(own[:11])
    assert stamps.trouble == "an image is left out, it has a negative stamp (-5.000 s)"
    stamps, used = read(own)
    assert used == [*own[:10], None, *own[11:]]
    assert (stamps.refused, stamps.trouble) == (1, "")


@given(
    st.lists(
        st.one_of(
            st.integers(-(2**31) * SECOND, 2**31 * SECOND + 2**32),
            st.sampled_from([0, SECOND, 6 * SECOND]),
        ),
        max_size=60,
    )
)
@settings(max_examples=100, deadline=None)
def test_whatever_comes_a_stamp_can_be_published_or_the_image_is_counted(own: list[int]) -> None:
    stamps, used = read(own)
    assert stamps.refused == used.count(None)
    assert all(stamp is None or stamp > 0 for stamp in used)
