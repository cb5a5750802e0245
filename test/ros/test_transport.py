from __future__ import annotations

import pytest

from vljepa_lab.bench.transport import measure

from .conftest import builtin_only


@pytest.mark.parametrize("options", [[], ["--reliable"]])
def test_images_between_two_processes(domain: int, options: list[str]) -> None:
    """That they arrive: how many, and how soon, says `bench graph` on a machine that is quiet."""
    report = measure(["--seconds", "3", "--fps", "15", *options], domain)
    assert report["sent"] == 45
    assert 10 < report["received"] <= 45
    assert 0 < report["latency_ms"]["median"] <= report["latency_ms"]["p99"]


@builtin_only
def test_the_user_s_choice_of_allocation_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    from vljepa_ros.allocator import keep_freed_blocks

    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "1000000")
    assert keep_freed_blocks() is False
    monkeypatch.delenv("MALLOC_TRIM_THRESHOLD_")
    for name in ("GLIBC_TUNABLES", "MALLOC_MMAP_THRESHOLD_"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.confstr", lambda name: "musl 1.2")
    assert keep_freed_blocks() is False
