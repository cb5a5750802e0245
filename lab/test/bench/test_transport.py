from __future__ import annotations

import pytest

from vljepa_lab.bench.transport import measure


@pytest.mark.parametrize("options", [[], ["--reliable"]])
def test_images_between_two_processes(domain: int, options: list[str]) -> None:
    """That they arrive: how many, and how soon, says `bench graph` on a machine that is quiet."""
    report = measure(["--seconds", "3", "--fps", "15", *options], domain)
    assert report["sent"] == 45
    assert 10 < report["received"] <= 45
    assert 0 < report["latency_ms"]["median"] <= report["latency_ms"]["p99"]
