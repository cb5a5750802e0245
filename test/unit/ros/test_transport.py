from __future__ import annotations

import pytest

from vljepa_ros.ros.transport_bench import measure


@pytest.mark.parametrize("options", [[], ["--reliable"]])
def test_images_between_two_processes(domain: int, options: list[str]) -> None:
    """A shared machine may be busy: a bound is held here, not the documented figure."""
    report = measure(["--seconds", "2", "--fps", "15", *options], domain)
    assert report["sent"] == 30
    assert report["received"] >= 28
    assert report["latency_ms"]["median"] < 60
    assert report["latency_ms"]["median"] <= report["latency_ms"]["p99"]
