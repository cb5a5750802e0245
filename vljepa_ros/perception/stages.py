"""How long each stage of the work takes: the newest samples of each, and their median and p99."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


class StageTimes:
    """Thread-safe. `kept`: samples of each stage that count."""

    def __init__(self, kept: int = 500) -> None:
        self._kept = kept
        self._lock = threading.Lock()
        self._samples: dict[str, deque[float]] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time what stands in the block."""
        begin = time.perf_counter()
        yield
        self.add(name, time.perf_counter() - begin)

    def add(self, name: str, seconds: float) -> None:
        """Add one sample."""
        with self._lock:
            self._samples.setdefault(name, deque(maxlen=self._kept)).append(seconds)

    def clear(self) -> None:
        """Begin anew."""
        with self._lock:
            self._samples.clear()

    def milliseconds(self) -> dict[str, tuple[float, float]]:
        """stage: (median, 99th percentile), in milliseconds."""
        with self._lock:
            samples = {name: np.asarray(taken) * 1e3 for name, taken in self._samples.items()}
        return {
            name: (float(np.median(taken)), float(np.percentile(taken, 99)))
            for name, taken in samples.items()
        }
