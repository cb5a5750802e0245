"""Time and progress of training: budgets of phases, what is left, and stopping to go on later."""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from dataclasses import dataclass, field


class Paused(Exception):  # noqa: N818 - no error: what was asked for was done
    """The time of this call is used up; everything is saved, the same command goes on."""


@dataclass
class Clock:
    """Wall time of one call of the trainer, minutes; 0 means as long as it takes.

    later: minutes of the phases after the present one, for the estimate of the time left.
    """

    minutes: float = 0.0
    later: float = 0.0
    _start: float = field(default_factory=time.monotonic)

    @property
    def spent(self) -> float:
        """Minutes since the call began."""
        return (time.monotonic() - self._start) / 60

    @property
    def over(self) -> bool:
        """Whether the call should stop at the next good moment."""
        return 0 < self.minutes <= self.spent

    @property
    def deadline(self) -> float | None:
        """`time.monotonic()` at which the call should stop, or None."""
        return self._start + 60 * self.minutes if self.minutes > 0 else None


@dataclass
class Budget:
    """Wall time of one phase, minutes; `spent_before` counts earlier runs of a resumed phase."""

    minutes: float
    spent_before: float = 0.0
    clock: Clock = field(default_factory=Clock)
    _start: float = field(default_factory=time.monotonic)

    @property
    def spent(self) -> float:
        """Minutes used, earlier runs included."""
        return self.spent_before + (time.monotonic() - self._start) / 60

    @property
    def share(self) -> float:
        """0..1 of the budget."""
        return min(1.0, self.spent / self.minutes) if self.minutes > 0 else 1.0

    @property
    def left(self) -> float:
        """Minutes until the phase ends."""
        return max(0.0, self.minutes - self.spent)


class Progress:
    """Prints a line every `every` seconds."""

    def __init__(
        self, phase: str, budget: Budget, every: float = 20.0, quiet: bool = False
    ) -> None:
        self._phase, self._budget, self._every, self._quiet = phase, budget, every, quiet
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
        if now - self._last < self._every or self._quiet:
            return
        rate = self._samples / (now - self._last)
        means = " ".join(f"{k} {v / self._counts[k]:.3f}" for k, v in self._sums.items())
        budget = self._budget
        print(
            f"{self._phase}: {budget.spent:.1f} min, {budget.left:.1f} left "
            f"(about {budget.left + budget.clock.later:.0f} in all), {self._total} samples, "
            f"{rate:.0f}/s | {means}",
            file=sys.stderr,
            flush=True,
        )
        self._sums.clear()
        self._counts.clear()
        self._last, self._samples = now, 0
