"""Many texts through the Y-Encoder, in slices between which frames and other requests come."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.engines.protocol import Engine

SLICE_SECONDS = 0.01  # of work between two pauses: what a frame may wait for a text
_LEAST = 4  # texts at once: one at a time takes twice as long for each
_MOST = 32  # those after known ones, which cost nothing, are as slow as ever


def encode_texts(
    engine: Engine, texts: Sequence[str]
) -> Generator[None, None, NDArray[np.float32]]:
    """Y-Encoder, as steps: each lasts about SLICE_SECONDS; texts that are known cost none.

    :return: [len(texts), D] float32, L2 norm 1.
    """
    pieces = [np.zeros((0, engine.config.dim), np.float32)]
    start, size = 0, _LEAST
    begun = before = time.perf_counter()
    while start < len(texts):
        if before - begun >= SLICE_SECONDS:
            yield
            begun = before = time.perf_counter()
        pieces.append(engine.encode_text(texts[start : start + size]))
        start += size
        now = time.perf_counter()
        fitting = SLICE_SECONDS * size / max(now - before, 1e-9)
        size = int(max(_LEAST, min(fitting, 2 * size, _MOST)))
        before = now
    return np.concatenate(pieces)
