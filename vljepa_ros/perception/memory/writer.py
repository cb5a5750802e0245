"""Writes rows in batches in its own thread, so that no callback waits for a disk."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vljepa_ros.perception.memory.row import Row, one_line

FIRST_RETRY = 1.0  # seconds from a failed write to the next attempt
LAST_RETRY = 60.0  # seconds, at most; it doubles with each attempt


@dataclass(frozen=True)
class WriterStatus:
    """Numbers of rows, and why the last write failed (empty: it did not)."""

    written: int
    dropped: int
    pending: int
    problem: str


class BatchWriter:
    """Writes a batch when `batch_rows` are pending or the oldest is `batch_seconds` old.

    A failed write is repeated after 1, 2, 4 ... 60 s; meanwhile at most `max_pending` rows are
    kept, beyond which the oldest are dropped and counted.
    """

    def __init__(
        self,
        append: Callable[[Sequence[Row]], None],
        *,
        batch_rows: int = 128,
        batch_seconds: float = 10.0,
        max_pending: int = 4096,
        on_problem: Callable[[str], None] | None = None,
    ) -> None:
        """Start the thread.

        Args:
            append: writes rows, in the thread; any exception is a failed write.
            batch_rows: rows of a batch.
            batch_seconds: seconds.
            max_pending: maximum number of pending rows, not fewer than `batch_rows`.
            on_problem: called in the thread with the reason when writing starts to fail or fails
                for another reason, and with an empty text when it works again.
        """
        self._append = append
        self._batch_rows = batch_rows
        self._batch_seconds = batch_seconds
        self._max_pending = max_pending
        self._on_problem = on_problem
        self._rows: deque[tuple[float, Row]] = deque()
        self._changed = threading.Condition()
        self._flush = False
        self._stop = False
        self._flying: list[Row] = []
        self._failures = 0
        self._written = 0
        self._dropped = 0
        self._problem = ""
        self._thread = threading.Thread(target=self._run, name="memory-writer", daemon=True)
        self._thread.start()

    def put(self, row: Row) -> None:
        """Add a row, without waiting for the disk."""
        with self._changed:
            self._rows.append((time.monotonic(), row))
            self._drop_surplus()
            # Waking the thread for every row would double its cost.
            if len(self._rows) >= self._batch_rows or len(self._rows) == 1:
                self._changed.notify_all()

    def status(self) -> WriterStatus:
        """Present counts and problem."""
        with self._changed:
            return WriterStatus(
                self._written, self._dropped, len(self._rows) + len(self._flying), self._problem
            )

    def pending(self) -> list[Row]:
        """The rows that are not on the disk yet, oldest first."""
        with self._changed:
            return [*self._flying, *(row for _, row in self._rows)]

    def flush(self, timeout: float = 10.0) -> bool:
        """Write pending rows now; returns False if that failed or took too long."""
        with self._changed:
            failures = self._failures
            self._flush = True
            self._changed.notify_all()
            self._changed.wait_for(
                lambda: self._failures > failures or not (self._rows or self._flying), timeout
            )
            return not (self._rows or self._flying)

    def close(self, timeout: float = 10.0) -> bool:
        """Try once to write pending rows, and end the thread; True: all are on the disk."""
        with self._changed:
            self._stop = True
            self._changed.notify_all()
        self._thread.join(timeout)
        with self._changed:
            return not self._rows and not self._thread.is_alive()

    def _run(self) -> None:
        retry = FIRST_RETRY
        while True:
            with self._changed:
                self._wait_for_batch()
                self._flying = [row for _, row in self._rows]
                self._rows.clear()
                stop, self._flush = self._stop, False
            problem, lost = self._try(self._flying)
            with self._changed:
                batch, self._flying = self._flying, []
                if lost:
                    self._dropped += len(batch)
                elif problem:
                    now = time.monotonic()
                    self._rows.extendleft((now, row) for row in reversed(batch))
                    self._drop_surplus()
                else:
                    self._written += len(batch)
                    retry = FIRST_RETRY
                news = problem != self._problem
                self._problem = problem
                self._failures += bool(problem)
                self._changed.notify_all()
            if news and self._on_problem is not None:
                self._on_problem(problem)
            if stop:
                return
            if problem and not lost:
                with self._changed:
                    self._changed.wait_for(lambda: self._stop or self._flush, timeout=retry)
                retry = min(2 * retry, LAST_RETRY)

    def _wait_for_batch(self) -> None:
        """Wait, with the lock held, until a batch is due or the thread shall end."""
        while not (self._stop or self._flush or len(self._rows) >= self._batch_rows):
            left = None
            if self._rows:
                left = self._rows[0][0] + self._batch_seconds - time.monotonic()
                if left <= 0:
                    return
            self._changed.wait(left)

    def _try(self, batch: list[Row]) -> tuple[str, bool]:
        """Write rows; returns the problem, and whether these rows can never be written."""
        if not batch:
            return self._problem, False
        try:
            self._append(batch)
        except ValueError as error:
            return str(error), True
        except Exception as error:  # a disk may fail in any way; the robot continues
            return one_line(error), False
        return "", False

    def _drop_surplus(self) -> None:
        while len(self._rows) + len(self._flying) > self._max_pending and self._rows:
            self._rows.popleft()
            self._dropped += 1
