from __future__ import annotations

import pytest

from vljepa_ros.allocator import keep_freed_blocks


def test_the_user_s_choice_of_allocation_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "1000000")
    assert keep_freed_blocks() is False
    monkeypatch.delenv("MALLOC_TRIM_THRESHOLD_")
    for name in ("GLIBC_TUNABLES", "MALLOC_MMAP_THRESHOLD_"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.confstr", lambda name: "musl 1.2")
    assert keep_freed_blocks() is False
