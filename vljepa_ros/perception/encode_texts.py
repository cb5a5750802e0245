"""Many texts through the Y-Encoder, in pieces, so that a deadline or a frame can come between.

The engine keeps what it has encoded, so work that was interrupted is not lost.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.engines.protocol import Engine

__all__ = ["PIECE", "encode_texts"]

PIECE = 32


def encode_texts(
    engine: Engine, texts: Sequence[str], check: Callable[[], None]
) -> NDArray[np.float32]:
    """Y-Encoder.

    :param check: called before each piece; it raises to give up.
    :return: [len(texts), D] float32, L2 norm 1.
    """
    pieces = [np.zeros((0, engine.config.dim), np.float32)]
    for start in range(0, len(texts), PIECE):
        check()
        pieces.append(engine.encode_text(texts[start : start + PIECE]))
    return np.concatenate(pieces)
