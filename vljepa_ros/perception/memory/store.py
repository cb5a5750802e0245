"""The store: one LanceDB table in a directory (or in object storage), bound to one model.

Every append is one atomic commit: a process killed at any moment leaves the last commit. lancedb is
imported when a store is opened, never before: it takes seconds and it is optional.
"""

from __future__ import annotations

import contextlib
import ctypes
import datetime
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.perception.memory import columns
from vljepa_ros.perception.memory.failure import (
    MemoryMissingError,
    MemoryStoreError,
    OtherModelError,
    QueryError,
)
from vljepa_ros.perception.memory.index import index_for, is_worn, probes_for
from vljepa_ros.perception.memory.row import SAMPLE, SEGMENT, Row, check_row

TABLE = "moments"
INDEX_CACHE_BYTES = 128 << 20
METADATA_CACHE_BYTES = 32 << 20
# lancedb's defaults are gigabytes, and its caches grow with use: on a robot that looks like a leak.
M_ARENA_MAX = -8
"""Of mallopt(3)."""


@dataclass(frozen=True)
class Filter:
    """Which rows are meant. Empty or None: all.

    start, end: nanoseconds; a row is meant if its own time overlaps [start, end].
    """

    camera: str = ""
    source: str = ""
    kind: str = ""
    start: int | None = None
    end: int | None = None

    def sql(self) -> str:
        """The filter as an SQL condition, empty for all rows."""
        parts = [
            f"{name} = '{value.replace(chr(39), 2 * chr(39))}'"
            for name, value in (
                ("camera", self.camera),
                ("source", self.source),
                ("kind", self.kind),
            )
            if value
        ]
        if self.start is not None:
            parts.append(f"end_ns >= {int(self.start)}")
        if self.end is not None:
            parts.append(f"start_ns <= {int(self.end)}")
        return " AND ".join(parts)

    def means(self, row: Row) -> bool:
        """Whether a row is meant; the same as `sql`."""
        return (
            self.camera in ("", row.camera)
            and self.source in ("", row.source)
            and self.kind in ("", row.kind)
            and (self.start is None or row.end >= self.start)
            and (self.end is None or row.start <= self.end)
        )


@dataclass(frozen=True)
class Hit:
    """A row near a query; similarity: cosine, -1..1. The row's vector is empty: nobody needs it."""

    row: Row
    similarity: float


class MemoryStore:
    """An open store. May be used by several threads at once."""

    def __init__(self, table: Any, location: str, model_id: str, dim: int) -> None:
        """Use `open_store`."""
        self._table = table
        self._cameras: set[str] | None = None
        self.location = location
        self.model_id = model_id
        self.dim = dim

    def append(self, rows: Sequence[Row]) -> None:
        """Write rows as one atomic commit.

        :raises ValueError: a row is wrong; nothing is written.
        :raises MemoryStoreError: the disk refuses; nothing is written.
        """
        for number, row in enumerate(rows):
            wrong = check_row(row, self.dim)
            if wrong:
                raise ValueError(f"row {number} of {len(rows)}: {wrong}")
        if not rows:
            return
        batch = columns.rows_to_table(rows, self.dim, self.model_id)
        with _translated(self.location, "write to"):
            self._table.add(batch)
        if self._cameras is not None:
            self._cameras.update(row.camera for row in rows)

    def count(self, which: Filter | None = None) -> int:
        """Number of rows."""
        condition = which.sql() if which else ""
        with _translated(self.location, "read"):
            return int(self._table.count_rows(condition or None))

    def cameras(self) -> list[str]:
        """Names of all cameras that have rows."""
        if self._cameras is None:
            self._cameras = set(self.distinct("camera"))
        return sorted(self._cameras)

    def distinct(self, column: str) -> list[str]:
        """The values of a text column, sorted."""
        found: set[str] = set()
        with _translated(self.location, "read"):
            for batch in self._scan([column]).to_batches():
                found.update(batch.column(column).unique().to_pylist())
        return sorted(found)

    def nearest(
        self,
        vector: NDArray[np.float32],
        limit: int,
        which: Filter | None = None,
        *,
        thumbnails: bool = False,
        exact: bool = False,
    ) -> list[Hit]:
        """The rows most similar to a vector, best first.

        :param vector: [D] float32, L2 norm 1, of this store's model.
        :param thumbnails: read the kept images too.
        :param exact: compare with every row, whatever index there is.
        :raises QueryError: the vector has another length or is not finite.
        """
        vector = np.ascontiguousarray(vector, np.float32)
        if vector.shape != (self.dim,) or not np.isfinite(vector).all():
            raise QueryError(
                f"the query vector has shape {vector.shape}, the store holds finite ({self.dim},)"
            )
        with _translated(self.location, "search"):
            query = self._table.search(vector, vector_column_name=columns.VECTOR)
            query = query.distance_type("cosine").limit(limit)
            probes = probes_for(limit)
            query = query.nprobes(probes.partitions).refine_factor(probes.refine)
            if exact:
                query = query.bypass_vector_index()
            condition = which.sql() if which else ""
            if condition:
                query = query.where(condition, prefilter=True)
            wanted = [columns.RECORD, *([columns.THUMBNAIL] if thumbnails else [])]
            found = query.select([*wanted, "_distance"]).to_arrow()
        rows = columns.table_to_rows(found)
        return [
            Hit(row, 1.0 - float(distance))
            for row, distance in zip(rows, found.column("_distance").to_pylist(), strict=True)
        ]

    def rows(self, which: Filter | None = None, *, vectors: bool = True) -> list[Row]:
        """All rows that a filter means, thumbnails included, by stamp; for small selections."""
        wanted = [columns.RECORD, columns.THUMBNAIL, *([columns.VECTOR] if vectors else [])]
        with _translated(self.location, "read"):
            found = self._scan(wanted, which).to_arrow()
        return sorted(columns.table_to_rows(found), key=lambda row: row.stamp)

    def ends(self, kind: str = "") -> NDArray[np.int64]:
        """[N] int64 nanoseconds: the ends of all rows of a kind, unordered; for retention."""
        if kind not in ("", SAMPLE, SEGMENT):
            raise ValueError(f"kind is '{kind}', allowed: {SAMPLE}, {SEGMENT}")
        with _translated(self.location, "read"):
            found = self._scan(["end_ns"], Filter(kind=kind)).to_arrow()
        return np.asarray(found.column("end_ns").to_numpy(), np.int64)

    def delete(self, which: Filter) -> None:
        """Forget the rows a filter means; the disk space comes back with the next `compact`.

        :raises ValueError: an empty filter.
        """
        condition = which.sql()
        if not condition:
            raise ValueError("an empty filter would delete every row")
        with _translated(self.location, "delete from"):
            self._table.delete(condition)
        self._cameras = None

    def delete_ended_before(self, end: int, kind: str = "") -> None:
        """Forget the rows that ended before `end` nanoseconds."""
        condition = f"end_ns < {int(end)}" + (f" AND kind = '{kind}'" if kind else "")
        with _translated(self.location, "delete from"):
            self._table.delete(condition)
        self._cameras = None

    def compact(self, keep_versions: datetime.timedelta = datetime.timedelta(minutes=5)) -> None:
        """Merge small files, take new rows into the index, remove versions older than given.

        Readers that opened the store longer ago than that must open it again.
        """
        with _translated(self.location, "compact"):
            self._table.optimize(cleanup_older_than=keep_versions)

    def build_index(self) -> bool:
        """Build the vector index if it pays and there is none, or a worn one; True: it was built
        now."""
        with _translated(self.location, "index"):
            rows = int(self._table.count_rows())
            wanted = index_for(rows, self.dim)
            if wanted is None:
                return False
            if self.indexed() and not is_worn(self._table, columns.VECTOR, rows):
                return False
            wanted.build(self._table, columns.VECTOR, rows)
            return True

    def indexed(self) -> bool:
        """Whether there is a vector index."""
        with _translated(self.location, "read"):
            return any(columns.VECTOR in index.columns for index in self._table.list_indices())

    def disk_bytes(self) -> int:
        """Bytes on the local disk, 0 for object storage."""
        if _is_remote(self.location):
            return 0
        total = 0
        for folder, _, files in os.walk(self.location):
            for name in files:
                try:
                    total += os.path.getsize(os.path.join(folder, name))
                except OSError:  # compaction in another thread removed it meanwhile
                    continue
        return total

    def _scan(self, wanted: list[str], which: Filter | None = None) -> Any:
        query = self._table.search().select(wanted)
        condition = which.sql() if which else ""
        return query.where(condition) if condition else query


def open_store(
    location: str | Path,
    model_id: str = "",
    dim: int = 0,
    *,
    create: bool = False,
    storage_options: dict[str, str] | None = None,
) -> MemoryStore:
    """Open the store in a directory or at an object storage address (s3://, gs://, az://).

    :param model_id: the model whose embeddings will be written or searched; empty: any.
    :param dim: length of its embeddings; needed with `create`.
    :param create: make a new store where there is none.
    :raises MemoryMissingError: there is none, and `create` is not set.
    :raises OtherModelError: it holds embeddings of another model.
    :raises MemoryStoreError: it is damaged, the disk refuses, or lancedb is not installed.
    """
    where = str(location) if _is_remote(str(location)) else str(Path(location).expanduser())
    lancedb = _lancedb()
    exists = _is_remote(where) or (Path(where) / f"{TABLE}.lance").exists()
    if not exists and not create:
        raise MemoryMissingError(f"there is no memory at '{where}'")
    with _translated(where, "open"):
        session = lancedb.Session(
            index_cache_size_bytes=INDEX_CACHE_BYTES,
            metadata_cache_size_bytes=METADATA_CACHE_BYTES,
        )
        # Zero: rows of another process are seen by the next query.
        database = lancedb.connect(
            where,
            session=session,
            storage_options=storage_options,
            read_consistency_interval=datetime.timedelta(0),
        )
        table = None
        if exists:
            try:
                table = database.open_table(TABLE)
            except ValueError as error:  # only now an address tells that there is none
                if not (_is_remote(where) and "was not found" in str(error)):
                    raise
        if table is None:
            if not create:
                raise MemoryMissingError(f"there is no memory at '{where}'")
            if not model_id or dim < 1:
                raise ValueError(f"a new store needs model_id and dim, not '{model_id}' and {dim}")
            schema = columns.schema(dim, model_id)
            table = database.create_table(TABLE, schema=schema, exist_ok=True)
        kept_model, kept_dim = columns.schema_model(table.schema, where)
    if model_id and (kept_model != model_id or (dim and kept_dim != dim)):
        raise OtherModelError(
            f"the memory at '{where}' holds embeddings of model '{kept_model}' ({kept_dim}-d), not "
            f"of '{model_id}'; use another directory, or re-embed it: vljepa memory reindex"
        )
    return MemoryStore(table, where, kept_model, kept_dim)


class _translated:  # noqa: N801 - reads as a verb at its use
    """Turns whatever lancedb raises into a MemoryStoreError of one line."""

    def __init__(self, location: str, doing: str) -> None:
        self._location = location
        self._doing = doing

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None or isinstance(error, MemoryStoreError | QueryError):
            return
        if not isinstance(error, Exception):
            return
        reason = " ".join(str(error).split()) or type(error).__name__
        raise MemoryStoreError(
            f"cannot {self._doing} the memory at '{self._location}': {reason[:400]}"
        ) from error


def _lancedb() -> Any:
    # It warns of every empty cell of an index, hundreds of lines in a round of upkeep.
    os.environ.setdefault("LANCEDB_LOG", "error")
    _limit_arenas()
    try:
        import lancedb
    except ImportError as error:
        raise MemoryStoreError(
            "the memory needs LanceDB: pip install 'vljepa_ros[memory]'"
        ) from error
    return lancedb


def _limit_arenas() -> None:
    """Let the many threads of lancedb share two heaps, where the C library is glibc, instead of one
    for each of up to eight times the cores: what each keeps after a compaction grew by 100 MB in a
    day of robot time."""
    with contextlib.suppress(OSError, AttributeError, ValueError):
        if "MALLOC_ARENA_MAX" not in os.environ and os.confstr("CS_GNU_LIBC_VERSION"):
            ctypes.CDLL(None).mallopt(M_ARENA_MAX, 2)


def _is_remote(location: str) -> bool:
    return "://" in location
