from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vljepa_lab.bench.samples import drift_per_minute, measure_ms, quantiles, resident_mib


def test_quantiles_of_known_values():
    assert quantiles(list(range(101))) == {"median": 50.0, "p99": 99.0, "n": 101}
    with pytest.raises(ValueError, match="nothing was measured"):
        quantiles([])


@settings(max_examples=25, deadline=None)
@given(st.floats(-20, 20), st.integers(0, 1000))
def test_slope_is_found_in_spite_of_late_samples(slope: float, seed: int):
    rng = np.random.default_rng(seed)
    seconds = np.arange(600) / 10
    values = 40 + slope * seconds / 60 + rng.normal(0, 0.3, 600)
    values[rng.choice(600, 12, replace=False)] += 500
    assert drift_per_minute(list(seconds), list(values)) == pytest.approx(slope, abs=0.6)


def test_too_little_has_no_slope():
    assert drift_per_minute([0.0, 1.0], [1.0, 9.0]) == 0.0


def test_warm_up_does_not_count():
    calls: list[int] = []
    assert len(measure_ms(lambda: calls.append(1), samples=3, warm_up=2)) == 3
    assert len(calls) == 5


def test_resident_memory():
    assert 5 < resident_mib() < 100_000
