from __future__ import annotations

import subprocess
import sys

import pytest

from vljepa_ros.allocator import keep_freed_blocks, return_freed_blocks


def test_the_user_s_choice_of_allocation_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "1000000")
    assert keep_freed_blocks() is False
    monkeypatch.delenv("MALLOC_TRIM_THRESHOLD_")
    for name in ("GLIBC_TUNABLES", "MALLOC_MMAP_THRESHOLD_"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.confstr", lambda name: "musl 1.2")
    assert keep_freed_blocks() is False
    assert return_freed_blocks() is False


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_freed_blocks_are_returned_on_demand() -> None:
    code = (
        "from vljepa_ros.allocator import keep_freed_blocks, return_freed_blocks\n"
        "resident = lambda: int(open('/proc/self/statm').read().split()[1]) * 4096\n"
        "keep_freed_blocks()\n"
        "blocks = [bytearray(2**20) for _ in range(60)]\n"
        "del blocks\n"
        "before = resident()\n"
        "return_freed_blocks()\n"
        "print(before - resident() > 50 * 2**20)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"
