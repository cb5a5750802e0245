from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import pytest
from memory_rows import row

from vljepa_ros.perception.memory import writer as writer_module
from vljepa_ros.perception.memory.row import Row
from vljepa_ros.perception.memory.writer import BatchWriter


class Disk:
    """Takes batches; fails while `error` is set."""

    def __init__(self) -> None:
        self.batches: list[list[float]] = []
        self.error: Exception | None = None
        self.called = threading.Event()
        self.problems: list[str] = []

    def append(self, rows: Sequence[Row]) -> None:
        self.called.set()
        if self.error is not None:
            raise self.error
        self.batches.append([r.stamp / 1e9 for r in rows])


def wait_until(condition: object, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.005)


def test_full_batch_is_written_at_once_and_the_rest_at_close() -> None:
    disk = Disk()
    writer = BatchWriter(disk.append, batch_rows=4, batch_seconds=600.0)
    for i in range(4):
        writer.put(row(float(i)))
    wait_until(lambda: disk.batches)
    writer.put(row(9.0))
    assert writer.close(60.0)
    assert disk.batches == [[0.0, 1.0, 2.0, 3.0], [9.0]]
    assert writer.status().written == 5


def test_old_rows_are_written_though_the_batch_is_small() -> None:
    disk = Disk()
    writer = BatchWriter(disk.append, batch_rows=100, batch_seconds=0.05)
    writer.put(row(1.0))
    wait_until(lambda: disk.batches == [[1.0]])
    writer.close(60.0)


def test_flush_writes_now() -> None:
    disk = Disk()
    writer = BatchWriter(disk.append, batch_rows=100, batch_seconds=600.0)
    writer.put(row(1.0))
    assert writer.flush(60.0)
    assert disk.batches == [[1.0]]
    assert writer.flush(60.0)  # nothing to write is no failure
    writer.close(60.0)


def test_failing_disk_keeps_rows_in_order_tells_once_and_recovers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(writer_module, "FIRST_RETRY", 0.01)
    disk = Disk()
    disk.error = OSError(28, "No space left on device")
    writer = BatchWriter(
        disk.append, batch_rows=2, batch_seconds=0.01, on_problem=disk.problems.append
    )
    for i in range(3):
        writer.put(row(float(i)))
    wait_until(lambda: disk.problems)
    assert not writer.flush(5.0)
    assert writer.status().pending == 3
    assert "No space left" in writer.status().problem
    disk.error = None
    wait_until(lambda: writer.status().written == 3)
    assert [stamp for batch in disk.batches for stamp in batch] == [0.0, 1.0, 2.0]
    wait_until(lambda: len(disk.problems) == 2)
    assert disk.problems[1] == ""
    writer.close(60.0)


def test_pending_rows_are_bounded_and_the_oldest_go_first() -> None:
    disk = Disk()
    disk.error = OSError("broken")
    writer = BatchWriter(disk.append, batch_rows=2, batch_seconds=600.0, max_pending=5)
    for i in range(12):
        writer.put(row(float(i)))
    wait_until(lambda: writer.status().problem)
    status = writer.status()
    assert status.pending <= 5
    assert status.dropped == 12 - status.pending
    disk.error = None
    assert writer.close(60.0)
    assert disk.batches[-1][-1] == 11.0


def test_impossible_rows_do_not_block_the_ones_after() -> None:
    disk = Disk()
    disk.error = ValueError("row 0 of 1: no name")
    writer = BatchWriter(disk.append, batch_rows=1, batch_seconds=600.0)
    writer.put(row(1.0))
    wait_until(lambda: writer.status().dropped == 1)
    disk.error = None
    writer.put(row(2.0))
    assert writer.flush(60.0)
    assert disk.batches == [[2.0]]
    assert writer.status().problem == ""
    writer.close(60.0)


def test_put_never_waits_for_the_disk() -> None:
    release = threading.Event()
    writer = BatchWriter(lambda rows: release.wait(60) and None, batch_rows=1, max_pending=50)
    for i in range(200):
        writer.put(row(float(i)))
    assert writer.status().pending <= 50 + 1
    release.set()
    assert writer.close(60.0)
