"""A bounded cache of arrays by text: the least recently used one goes first."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray


class TextCache:
    """Text -> float32 array; at most `capacity` entries. One thread at a time."""

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"capacity must be at least 1, not {capacity}")
        self._capacity = capacity
        self._entries: OrderedDict[str, NDArray[np.float32]] = OrderedDict()
        self.hits = 0
        self.misses = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, text: str) -> NDArray[np.float32] | None:
        """The entry, now the most recently used one, or None."""
        found = self._entries.get(text)
        if found is None:
            self.misses += 1
            return None
        self._entries.move_to_end(text)
        self.hits += 1
        return found

    def put(self, text: str, value: NDArray[np.float32]) -> None:
        """Keep `value`, which must not be changed afterwards."""
        self._entries[text] = value
        self._entries.move_to_end(text)
        while len(self._entries) > self._capacity:
            self._entries.popitem(last=False)

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
