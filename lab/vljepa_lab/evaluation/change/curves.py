"""Rate against quality: curves over a detector's knob, compared at equal rate or equal quality."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vljepa_lab.evaluation.change.measures import StreamScore

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """Sums [K, S, 4] for K settings and S streams: event share, events, decodes, minutes."""

    sums: Floats

    @staticmethod
    def of(settings: Sequence[Sequence[StreamScore]]) -> Curve:
        """From the scores of all streams at each setting."""
        return Curve(
            np.array(
                [
                    [(s.event_share, s.events, s.decodes, s.seconds / 60.0) for s in scores]
                    for scores in settings
                ]
            )
        )

    def points(self, weights: Floats | None = None) -> tuple[Floats, Floats]:
        """Decodes per minute [K] and event_right_share [K], streams counted `weights` [S] times."""
        ones = np.ones(self.sums.shape[1]) if weights is None else weights
        total = np.einsum("ksf,s->kf", self.sums, ones)
        return total[:, 2] / total[:, 3], total[:, 0] / np.maximum(total[:, 1], 1e-9)


def share_at(rates: Floats, shares: Floats, rate: float) -> float:
    """Quality at a rate, linear in its logarithm; beyond the curve its last point.

    The best setting that decodes no more than that counts: more decodes are never held against a
    detector that could have been set to fewer.
    """
    order = np.argsort(rates)
    best = np.maximum.accumulate(shares[order])
    return float(np.interp(np.log(rate), np.log(rates[order]), best))


def rate_for(rates: Floats, shares: Floats, share: float) -> tuple[float, bool]:
    """The least rate with a quality, and whether it is reached (else the rate of the best)."""
    order = np.argsort(rates)
    logs, best = np.log(rates[order]), np.maximum.accumulate(shares[order])
    if share > best[-1]:
        return float(rates[order[-1]]), False
    above = int(np.argmax(best >= share))
    if above == 0:
        return float(np.exp(logs[0])), True
    low, high = best[above - 1], best[above]
    part = (share - low) / (high - low)
    return float(np.exp(logs[above - 1] + part * (logs[above] - logs[above - 1]))), True


def interval(
    statistic: Callable[[Floats], float], streams: int, draws: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """95 % interval of a statistic of stream weights, by resampling whole streams."""
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(streams, np.full(streams, 1.0 / streams), size=draws)
    values = [statistic(weights) for weights in counts.astype(np.float64)]
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)
