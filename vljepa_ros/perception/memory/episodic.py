"""The robot's episodic memory: stores rows and finds moments, also while a disk fails."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.allocator import return_freed_blocks
from vljepa_ros.models.config import Calibration
from vljepa_ros.perception.memory.row import Row, check_row
from vljepa_ros.perception.memory.store import MemoryMissingError, MemoryStore, open_store
from vljepa_ros.perception.memory.upkeep import Retention, Upkeep, tidy
from vljepa_ros.perception.memory.writer import BatchWriter, WriterStatus

if TYPE_CHECKING:  # loaded with the first search
    from vljepa_ros.perception.memory.search import Moment, MomentQuery


@dataclass(frozen=True)
class MemorySettings:
    """Location and settings of the memory.

    Attributes:
        location: directory or object storage address.
        model_id: id of the model of the embeddings.
        dim: length of the embeddings.
        batch_rows: rows of a batch; a crash loses at most one batch.
        batch_seconds: seconds after which a smaller batch is written.
        max_pending: maximum number of rows that wait while writing fails.
        upkeep_period: seconds between two rounds of deletion and compaction.
        retention: which rows are deleted.
    """

    location: str
    model_id: str
    dim: int
    batch_rows: int = 512
    batch_seconds: float = 30.0
    max_pending: int = 4096
    upkeep_period: float = 600.0
    retention: Retention = field(default_factory=Retention)


class EpisodicMemory:
    """Writes and searches one store; may be used by several threads at once.

    `retention` may be replaced at any time; the next round of upkeep uses it.

    The store is opened in the writer's thread with the first batch, and again after a failure: a
    missing disk may be mounted later.
    """

    def __init__(
        self, settings: MemorySettings, on_problem: Callable[[str], None] | None = None
    ) -> None:
        """Start the threads.

        Args:
            settings: constant, except for `retention`.
            on_problem: called on one of the threads when writing or upkeep begins to fail, and with
                an empty text when it works again.
        """
        self.settings = settings
        self.retention = settings.retention
        self._lock = threading.Lock()
        self._store: MemoryStore | None = None
        self._writer = BatchWriter(
            self._append,
            batch_rows=settings.batch_rows,
            batch_seconds=settings.batch_seconds,
            max_pending=settings.max_pending,
            on_problem=on_problem,
        )
        self._upkeep = Upkeep(self.tidy, settings.upkeep_period, on_problem)

    def remember(self, row: Row) -> str | None:
        """Queue a row for writing; returns why it was refused, or None. Never blocks."""
        wrong = check_row(row, self.settings.dim)
        if wrong is None:
            self._writer.put(row)
        return wrong

    def find(
        self,
        query: MomentQuery,
        vector: NDArray[np.float32],
        calibration: Calibration | None,
        *,
        thumbnails: bool = False,
    ) -> list[Moment]:
        """Moments that fit a vector [D], best first; see `find_moments`.

        Rows that are not on the disk yet are found, too.

        Raises:
            QueryError: the query is invalid.
            MemoryStoreError: the store cannot be read, or nothing was remembered yet.
        """
        from vljepa_ros.perception.memory.search import find_moments

        store, recent = self._all()
        return find_moments(store, query, vector, calibration, thumbnails=thumbnails, recent=recent)

    def find_like(
        self, query: MomentQuery, camera: str, stamp: int, *, thumbnails: bool = False
    ) -> list[Moment]:
        """Moments like the one of a camera that contains a stamp, in nanoseconds, best first.

        Raises:
            UnknownMomentError: there is none.
            QueryError: the query is invalid.
            MemoryStoreError: as in `find`.
        """
        from vljepa_ros.perception.memory.search import find_moments, moment_vector

        store, recent = self._all()
        vector = moment_vector(store, camera, stamp, recent)
        return find_moments(store, query, vector, None, thumbnails=thumbnails, recent=recent)

    def _all(self) -> tuple[MemoryStore | None, list[Row]]:
        """The store (None: there is none yet), and the rows that are not written yet."""
        recent = self._writer.pending()  # first, as rows written meanwhile are found in the store
        try:
            return self._opened(create=False), recent
        except MemoryMissingError:
            if not recent:
                raise
            return None, recent

    def status(self) -> WriterStatus:
        """State of the writer, for diagnostics; the problem may be that of the upkeep."""
        status = self._writer.status()
        return replace(status, problem=status.problem or self._upkeep.problem)

    def check(self) -> None:
        """Check whether the store can be used; it need not exist yet.

        Raises:
            MemoryStoreError: damage, another model's store, no lancedb.
        """
        with contextlib.suppress(MemoryMissingError):
            _search_once(self._opened(create=False))

    def flush(self, timeout: float = 10.0) -> bool:
        """Write pending rows now; returns False if that failed or took longer."""
        return self._writer.flush(timeout)

    def tidy(self) -> None:
        """One round of upkeep now.

        The store is reopened afterwards: its caches grow to 160 MB, mostly for files that no longer
        exist.
        """
        try:
            store = self._opened(create=False)
        except MemoryMissingError:
            return
        tidy(store, self.retention)
        store = self._open(create=False)
        _search_once(store)
        with self._lock:
            self._store = store
        return_freed_blocks()  # a round frees up to 50 MB, and the caches

    def close(self, timeout: float = 10.0) -> bool:
        """Write pending rows and end the threads; False: rows were lost or a thread still runs."""
        written = self._writer.close(timeout)
        return self._upkeep.close(timeout) and written

    def _append(self, rows: Sequence[Row]) -> None:
        store = self._opened(create=True)
        try:
            store.append(rows)
        except Exception:
            with self._lock:
                self._store = None
            raise

    def _opened(self, *, create: bool) -> MemoryStore:
        with self._lock:
            if self._store is None:
                self._store = self._open(create=create)
            return self._store

    def _open(self, *, create: bool) -> MemoryStore:
        of = self.settings
        return open_store(of.location, of.model_id, of.dim, create=create)


def _search_once(store: MemoryStore) -> None:
    """Search once to load the index, which takes seconds, before the first request."""
    store.nearest(np.eye(1, store.dim, dtype=np.float32)[0], 1)
