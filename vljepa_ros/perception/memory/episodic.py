"""The robot's episodic memory: rows in, moments out; a failing disk does not stop either."""

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

if TYPE_CHECKING:  # searched seldom, and late
    from vljepa_ros.perception.memory.search import Moment, MomentQuery


@dataclass(frozen=True)
class MemorySettings:
    """Where and how the memory is kept.

    Attributes:
        location: directory or object storage address.
        model_id: of the model whose embeddings are kept.
        dim: length of its embeddings.
        batch_rows: a batch is written when so many rows wait; a crash loses at most these.
        batch_seconds: or when the oldest row has waited for so many seconds.
        max_pending: rows that may wait while the disk refuses.
        upkeep_period: seconds between two rounds of forgetting and compaction.
        retention: what is forgotten.
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

    The store is opened on the writer's thread with the first batch, and again after a failure: a
    disk that is missing at start may be mounted later.
    """

    def __init__(
        self, settings: MemorySettings, on_problem: Callable[[str], None] | None = None
    ) -> None:
        """Start the threads.

        Args:
            settings: do not change, but for `retention`.
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
        """Hand over a row; returns why it was refused, None where it was taken. Never blocks."""
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

        What is not on the disk yet is found too, so that a batch may take its time.

        Raises:
            QueryError: the query makes no sense.
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
            QueryError: the query makes no sense.
            MemoryStoreError: as in `find`.
        """
        from vljepa_ros.perception.memory.search import find_moments, moment_vector

        store, recent = self._all()
        vector = moment_vector(store, camera, stamp, recent)
        return find_moments(store, query, vector, None, thumbnails=thumbnails, recent=recent)

    def _all(self) -> tuple[MemoryStore | None, list[Row]]:
        """The store, None where there is none yet, and what is on the way to it."""
        recent = self._writer.pending()  # first: what reaches the disk meanwhile is found there
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
        """Look whether the store can be used; a store that does not exist yet is fine.

        Raises:
            MemoryStoreError: damage, another model's store, no lancedb.
        """
        with contextlib.suppress(MemoryMissingError):
            _search_once(self._opened(create=False))

    def flush(self, timeout: float = 10.0) -> bool:
        """Write what is pending now; False: it failed or took longer."""
        return self._writer.flush(timeout)

    def tidy(self) -> None:
        """One round of upkeep now.

        The store is opened anew after it: what its caches hold grows to 160 MB, most of it of files
        that are gone.
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
        """Write what is pending, end the threads; False: rows were lost or a thread still runs."""
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
    """Read the index, which takes seconds: no request should wait for it."""
    store.nearest(np.eye(1, store.dim, dtype=np.float32)[0], 1)
