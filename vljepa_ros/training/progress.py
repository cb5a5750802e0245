"""Progress of a training phase: means of what was logged, windows per second, time left."""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from dataclasses import dataclass, field

__all__ = ["Budget", "Progress"]


@dataclass
class Budget:
    """Wall time of one phase, minutes; `spent_before` counts earlier runs of a resumed phase."""

    minutes: float
    spent_before: float = 0.0
    _start: float = field(default_factory=time.monotonic)

    @property
    def spent(self) -> float:
        """Minutes used, earlier runs included."""
        return self.spent_before + (time.monotonic() - self._start) / 60

    @property
    def share(self) -> float:
        """0..1 of the budget."""
        return min(1.0, self.spent / self.minutes) if self.minutes > 0 else 1.0


class Progress:
    """Prints a line every `every` seconds."""

    def __init__(self, phase: str, budget: Budget, every: float = 20.0) -> None:
        self._phase, self._budget, self._every = phase, budget, every
        self._sums: dict[str, float] = defaultdict(float)
        self._counts: dict[str, int] = defaultdict(int)
        self._last, self._samples, self._total = time.monotonic(), 0, 0

    def add(self, samples: int, values: dict[str, float]) -> None:
        """Count a step of `samples` windows or frames."""
        self._samples += samples
        self._total += samples
        for name, value in values.items():
            self._sums[name] += value
            self._counts[name] += 1
        now = time.monotonic()
        if now - self._last < self._every:
            return
        rate = self._samples / (now - self._last)
        means = " ".join(f"{k} {v / self._counts[k]:.3f}" for k, v in self._sums.items())
        left = max(0.0, self._budget.minutes - self._budget.spent)
        print(
            f"{self._phase}: {self._budget.spent:.1f} min, {left:.1f} left, {self._total} samples, "
            f"{rate:.0f}/s | {means}",
            file=sys.stderr,
            flush=True,
        )
        self._sums.clear()
        self._counts.clear()
        self._last, self._samples = now, 0
