from __future__ import annotations

import pytest

from vljepa_lab.bench.transport import measure
from vljepa_ros.cli.client import GraphClient
from vljepa_ros.perception.image_source import demo_clip


@pytest.mark.parametrize("reliable", [False, True])
def test_images_between_two_processes(domain: int, reliable: bool) -> None:
    """That they arrive: how many, and how soon, says `bench graph` on a machine that is quiet."""
    with GraphClient("bench", domain) as client:
        report = measure(client, demo_clip(), domain, seconds=3.0, fps=15.0, reliable=reliable)
    assert report["reliable"] == reliable
    assert report["sent"] == 45
    assert 10 < report["received"] <= 45
    assert 0 < report["latency_ms"]["median"] <= report["latency_ms"]["p99"]
