"""Text embeddings are made once: least recently used first out, in pieces that can be
interrupted."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.engines.protocol import Engine

__all__ = ["TextCache"]

_PIECE = 32


class TextCache:
    """Of one engine, in its thread. `capacity`: texts kept."""

    def __init__(self, engine: Engine, capacity: int = 16384) -> None:
        self._engine = engine
        self._capacity = capacity
        self._kept: OrderedDict[str, NDArray[np.float32]] = OrderedDict()

    def encode(
        self, texts: Sequence[str], go_on: Callable[[], None] = lambda: None
    ) -> NDArray[np.float32]:
        """Y-Encoder with memory.

        :param go_on: called between pieces of a few dozen texts; it raises to interrupt. What was
            encoded until then is kept.
        :return: [len(texts), D] float32, L2 norm 1.
        """
        found: dict[str, NDArray[np.float32]] = {}
        missing = []
        for text in dict.fromkeys(texts):
            if text in self._kept:
                self._kept.move_to_end(text)
                found[text] = self._kept[text]
            else:
                missing.append(text)
        for start in range(0, len(missing), _PIECE):
            go_on()
            piece = missing[start : start + _PIECE]
            for text, vector in zip(piece, self._engine.encode_text(piece), strict=True):
                found[text] = self._kept[text] = vector
            while len(self._kept) > self._capacity:
                self._kept.popitem(last=False)
        if not texts:
            return np.zeros((0, self._engine.config.dim), np.float32)
        return np.stack([found[text] for text in texts])
