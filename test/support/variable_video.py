"""A video whose frames are not equally long: 60 in two seconds, then one a second."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

VARIABLE = [k / 30 for k in range(60)] + [2.0 + k for k in range(6)]
"""When each frame is shown, seconds."""


def level_of(index: int) -> int:
    """Grey level of a frame."""
    return 40 + 3 * index


def write_video(path: Path, times: Sequence[float]) -> Path:
    av = pytest.importorskip("av", reason="needs the lab's extra train")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        for index, time in enumerate(times):
            image = np.full((48, 64, 3), level_of(index), np.uint8)
            frame = av.VideoFrame.from_ndarray(image, "rgb24")
            frame.pts, frame.time_base = round(1000 * time), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
