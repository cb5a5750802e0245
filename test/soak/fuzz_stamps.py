"""Streams of stamps into the ring of a camera: clips come out in order, or none does."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import numpy as np

from vljepa_ros.perception.frames import FrameError
from vljepa_ros.perception.ring import ClipRing

SECOND = 1_000_000_000
LEAST, MOST = -(2**31) * SECOND, 2**31 * SECOND + 2**32  # of builtin_interfaces/Time


def stamps(random: Random, count: int) -> Iterator[int]:
    """A camera that keeps time for a while, and then does not."""
    now = random.choice((0, 0, 1_700_000_000 * SECOND, -SECOND, MOST, LEAST))
    step = round(SECOND / random.choice((0.5, 5, 10, 30, 240)))
    for _ in range(count):
        yield min(MOST, max(LEAST, now))
        now += random.choice(
            (*(step,) * 12, 0, 0, -step, 5 * SECOND, -5 * SECOND, random.randrange(LEAST, MOST))
        )


def ring(random: Random) -> str:
    frames = random.choice((1, 2, 4, 16))

    def decode(number: int) -> np.ndarray:
        if number % 7 == 3:
            raise FrameError("broken")
        return np.full((2, 2, 3), number % 256, np.uint8)

    clips: ClipRing[int] = ClipRing(frames, random.choice((0.1, 0.5, 2.0)), decode)
    taken = 0
    for number, stamp in enumerate(stamps(random, random.randrange(1, 80))):
        clips.push(stamp, number, "tag", number / 10)
        if random.random() < 0.4 and (clip := clips.take(number / 10)) is not None:
            taken += 1
            found = clip.clip.stamps
            assert len(found) == len(clip.clip.frames) == frames
            assert list(found) == sorted(found)
    counts = clips.counts
    assert 0 <= counts.dropped + counts.broken <= counts.received
    return "clips" if taken else "no clip"


TARGETS = {"stamps": ring}
