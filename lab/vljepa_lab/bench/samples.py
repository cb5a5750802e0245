"""Samples of a figure: how they are taken, and what is said of them. No ROS."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence

import numpy as np


def quantiles(values: Sequence[float], digits: int = 3) -> dict[str, float | int]:
    """Return median, p99 and n.

    Raises:
        ValueError: Nothing was measured.
    """
    if len(values) == 0:
        raise ValueError("nothing was measured: no median")
    return {
        "median": round(float(np.median(values)), digits),
        "p99": round(float(np.quantile(values, 0.99)), digits),
        "n": len(values),
    }


def drift_per_minute(seconds: Sequence[float], values: Sequence[float]) -> float:
    """Slope of `values` over time, per minute: the Theil-Sen estimator on 30 equal stretches.

    The median of a stretch and the median of the slopes between stretches: single late samples, of
    which a shared machine has many, do not move it. 0 where there is too little to tell.
    """
    from scipy.stats import theilslopes

    if len(seconds) < 6:
        return 0.0
    parts = np.array_split(np.arange(len(seconds)), min(30, len(seconds) // 2))
    at = np.array([np.mean(np.asarray(seconds)[part]) for part in parts])
    level = np.array([np.median(np.asarray(values)[part]) for part in parts])
    return float(theilslopes(level, at).slope * 60.0)


def measure_ms(work: Callable[[], object], samples: int, warm_up: int = 0) -> list[float]:
    """Milliseconds that each of `samples` calls took, after `warm_up` calls that do not count."""
    for _ in range(warm_up):
        work()
    return [time_ms(work) for _ in range(samples)]


def time_ms(work: Callable[[], object]) -> float:
    """Milliseconds that one call took."""
    begin = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - begin)


def resident_mib(pid: int | None = None) -> float:
    """Resident memory of a process (default: this one) in MiB."""
    import psutil

    return float(psutil.Process(pid).memory_info().rss) / 2**20


def note(text: str) -> None:
    """Progress, on standard error."""
    print(text, file=sys.stderr, flush=True)
