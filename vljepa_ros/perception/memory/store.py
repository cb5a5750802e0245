"""The store: one LanceDB table in a directory (or in object storage), bound to one model.

Every append is one atomic commit: a process killed at any moment leaves the last commit. lancedb is
imported only when a store is opened, as it takes seconds and is optional. Every error says what was
found and what is allowed.
"""

from __future__ import annotations

import contextlib
import datetime
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.perception.memory.lancedb_import import import_lancedb
from vljepa_ros.perception.memory.row import (
    FORMAT,
    RECORD,
    THUMBNAIL,
    VECTOR,
    Row,
    arrow_schema,
    check_row,
    one_line,
    rows_to_table,
    table_to_rows,
)
from vljepa_ros.resources import model_names

TABLE = "moments"
NO_LANCEDB = (
    "the memory needs LanceDB: pip install 'vljepa_ros[memory]'; on ROS: -r requirements-ros.txt"
)
INDEX_CACHE_BYTES = 128 << 20
METADATA_CACHE_BYTES = 32 << 20
# lancedb's defaults are gigabytes, to which its caches grow with use, as a leak would.

# When a vector index is built, and how it is searched. Figures: doc/memory.md.
INDEXED_VALUES = 20_000 * 256
"""Rows times their length from which an index is built; below, an exact search is fast."""
INDEX_PARTS = 8
"""Parts of an index above which it is rebuilt: each round of upkeep adds one, and each costs a
query nearly 2 ms of a core."""
INDEX_GROWTH = 4
"""Factor of growth of the number of rows after which the index is rebuilt."""
CELLS_SEARCHED = 20
ALL_CELLS = 1 << 20
"""With a filter, whose rows may be in cells far from the query. `maximum_nprobes` alone would stop
at the first rows found, not at the best."""
ROWS_REFINED = 200
"""Rows compared with their exact vectors, at least twice the number requested: reading them takes
most of the time of a query, above all with long vectors."""


class MemoryStoreError(RuntimeError):
    """The store cannot be opened, read or written: full or read-only disk, damage, no lancedb."""


class MemoryMissingError(MemoryStoreError):
    """There is no store at this location (yet)."""


class OtherModelError(MemoryStoreError):
    """The store holds embeddings of another model; they must not be compared or mixed."""


class QueryError(ValueError):
    """An invalid query: unknown camera, end before start, empty text, wrong limit."""


@dataclass(frozen=True)
class Filter:
    """Selects rows; empty or None: all.

    Attributes:
        cameras: names.
        source: name of a bag.
        kind: SEGMENT or SAMPLE.
        start: nanoseconds; excludes rows that ended before.
        end: nanoseconds; excludes rows that began after.
        ended_before: nanoseconds; excludes rows that ended then or later.
    """

    cameras: tuple[str, ...] = ()
    source: str = ""
    kind: str = ""
    start: int | None = None
    end: int | None = None
    ended_before: int | None = None

    def sql(self) -> str:
        """The filter as an SQL condition; empty: all rows."""
        parts = []
        wanted = {"camera": self.cameras, "source": (self.source,), "kind": (self.kind,)}
        for name, values in wanted.items():
            quoted = ["'" + value.replace("'", "''") + "'" for value in values if value]
            if quoted:
                parts.append(f"{name} IN ({', '.join(quoted)})")
        for limit, condition in (
            (self.start, "end_ns >= {}"),
            (self.end, "start_ns <= {}"),
            (self.ended_before, "end_ns < {}"),
        ):
            if limit is not None:
                parts.append(condition.format(int(limit)))
        return " AND ".join(parts)

    def means(self, row: Row) -> bool:
        """Whether a row is selected; the same as `sql`."""
        return (
            (not self.cameras or row.camera in self.cameras)
            and self.source in ("", row.source)
            and self.kind in ("", row.kind)
            and (self.start is None or row.end >= self.start)
            and (self.end is None or row.start <= self.end)
            and (self.ended_before is None or row.end < self.ended_before)
        )


EVERYTHING = Filter()


@dataclass(frozen=True)
class Hit:
    """A row near a query, without its vector, and their cosine, -1..1."""

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

        Raises:
            ValueError: a row is invalid; nothing is written.
            MemoryStoreError: writing failed; nothing is written.
        """
        for number, row in enumerate(rows):
            wrong = check_row(row, self.dim)
            if wrong:
                raise ValueError(f"row {number} of {len(rows)}: {wrong}")
        if not rows:
            return
        batch = rows_to_table(rows, self.dim, self.model_id)
        with _translated(self.location, "write to"):
            self._table.add(batch)
        if self._cameras is not None:
            self._cameras.update(row.camera for row in rows)

    def count(self, which: Filter = EVERYTHING) -> int:
        """Number of rows."""
        with _translated(self.location, "read"):
            return int(self._table.count_rows(which.sql() or None))

    def cameras(self) -> list[str]:
        """Names of all cameras that have rows."""
        if self._cameras is None:
            self._cameras = set(self.distinct("camera"))
        return sorted(self._cameras)

    def distinct(self, column: str) -> list[str]:
        """The values of a text column, sorted."""
        values: set[str] = set()
        with _translated(self.location, "read"):
            for batch in self._scan([column]).to_batches():
                values.update(batch.column(column).unique().to_pylist())
        return sorted(values)

    def nearest(
        self,
        vector: NDArray[np.float32],
        limit: int,
        which: Filter = EVERYTHING,
        *,
        thumbnails: bool = False,
        exact: bool = False,
    ) -> list[Hit]:
        """The rows most similar to a vector, best first.

        Args:
            vector: [D] float32, L2 norm 1, of this store's model.
            limit: number of rows.
            which: rows to search.
            thumbnails: whether to read the stored images.
            exact: whether to compare with every row, without the index.

        Raises:
            QueryError: the vector has another length or is not finite.
            MemoryStoreError: the store cannot be read.
        """
        vector = np.ascontiguousarray(vector, np.float32)
        if vector.shape != (self.dim,) or not np.isfinite(vector).all():
            raise QueryError(
                f"the query vector has shape {vector.shape}, the store holds finite ({self.dim},)"
            )
        with _translated(self.location, "search"):
            query = self._table.search(vector, vector_column_name=VECTOR)
            query = query.distance_type("cosine").limit(limit)
            query = query.nprobes(CELLS_SEARCHED).refine_factor(max(2, -(-ROWS_REFINED // limit)))
            if exact:
                query = query.bypass_vector_index()
            condition = which.sql()
            if condition:
                query = query.where(condition, prefilter=True).nprobes(ALL_CELLS)
            columns = [RECORD, *([THUMBNAIL] if thumbnails else [])]
            table = query.select([*columns, "_distance"]).to_arrow()
        distances = table.column("_distance").to_pylist()
        return [
            Hit(row, 1.0 - float(distance))
            for row, distance in zip(table_to_rows(table), distances, strict=True)
        ]

    def rows(self, which: Filter = EVERYTHING, *, vectors: bool = True) -> list[Row]:
        """All selected rows with thumbnails, sorted by stamp; for small selections."""
        columns = [RECORD, THUMBNAIL, *([VECTOR] if vectors else [])]
        with _translated(self.location, "read"):
            table = self._scan(columns, which).to_arrow()
        return sorted(table_to_rows(table), key=lambda row: row.stamp)

    def batches(self, size: int) -> Iterator[list[Row]]:
        """All rows, thumbnails included but no vectors, at most `size` at a time, in any order."""
        import pyarrow as pa

        with _translated(self.location, "read"):
            for batch in self._scan([RECORD, THUMBNAIL]).to_batches(size):
                yield table_to_rows(pa.Table.from_batches([batch]))

    def ends(self, which: Filter = EVERYTHING) -> NDArray[np.int64]:
        """[N] int64: ends of rows in nanoseconds, unordered; for retention."""
        with _translated(self.location, "read"):
            table = self._scan(["end_ns"], which).to_arrow()
        return np.asarray(table.column("end_ns").to_numpy(), np.int64)

    def delete(self, which: Filter) -> None:
        """Delete the selected rows; the next `compact` frees their disk space.

        Raises:
            ValueError: the filter is empty.
            MemoryStoreError: writing failed.
        """
        condition = which.sql()
        if not condition:
            raise ValueError("an empty filter would delete every row")
        with _translated(self.location, "delete from"):
            self._table.delete(condition)
        self._cameras = None

    def compact(self, keep_versions: float = 300.0) -> None:
        """Merge small files, add new rows to the index, remove old versions.

        Args:
            keep_versions: seconds for which other processes may read an old version; later they
                must open the store again.
        """
        with _translated(self.location, "compact"):
            self._table.optimize(cleanup_older_than=datetime.timedelta(seconds=keep_versions))

    def build_index(self) -> bool:
        """Build the indices if it is worthwhile and there are none, or an outdated one of vectors.

        That of vectors is an inverted file, quantised to one bit for each dimension (RaBitQ):
        product quantisation took 30 times as long. A million rows of 256-d take one to two minutes
        of a core, the columns that filters name half a second; filtered searches take a third of
        the time then.

        Returns:
            Whether that of vectors was built.
        """
        with _translated(self.location, "index"):
            rows = int(self._table.count_rows())
            if rows * self.dim < INDEXED_VALUES:
                return False
            from lancedb.index import Bitmap, BTree, IvfRq

            known = {column for index in self._table.list_indices() for column in index.columns}
            for column, kind in (("camera", Bitmap), ("start_ns", BTree), ("end_ns", BTree)):
                if column not in known:
                    self._table.create_index(column, config=kind())
            if self._index_serves(rows):
                return False

            # Fewer, larger cells than the default, and a smaller sample for them: k-means is what
            # takes the time, and with exact vectors compared at the end the cells need not be
            # sharp.
            config = IvfRq(
                distance_type="cosine",
                num_partitions=max(16, round(rows**0.5 / 4)),
                sample_rate=64,
                max_iterations=15,
            )
            name = f"{VECTOR}_{rows}"
            self._table.create_index(VECTOR, config=config, replace=True, name=name)
            for other in self._vector_indices():
                if other.name != name:
                    self._table.drop_index(other.name)
            return True

    def indexed(self) -> bool:
        """Whether there is a vector index."""
        with _translated(self.location, "read"):
            return bool(self._vector_indices())

    def disk_bytes(self) -> int:
        """Bytes on the local disk, 0 for object storage."""
        if _is_remote(self.location):
            return 0
        total = 0
        for folder, _, files in os.walk(self.location):
            for name in files:
                with contextlib.suppress(OSError):  # compaction in another thread removed it
                    total += os.path.getsize(os.path.join(folder, name))
        return total

    def _vector_indices(self) -> list[Any]:
        return [index for index in self._table.list_indices() if VECTOR in index.columns]

    def _index_serves(self, rows: int) -> bool:
        """Whether there is an index with few parts that was built for about this many rows."""
        for index in self._vector_indices():
            made_for = index.name.rpartition("_")[2]
            outgrown = made_for.isdecimal() and rows >= INDEX_GROWTH * int(made_for)
            return not outgrown and (getattr(index, "num_segments", 0) or 0) <= INDEX_PARTS
        return False

    def _scan(self, columns: list[str], which: Filter = EVERYTHING) -> Any:
        query = self._table.search().select(columns)
        condition = which.sql()
        return query.where(condition) if condition else query


def open_store(
    location: str | Path,
    model_id: str = "",
    dim: int = 0,
    *,
    create: bool = False,
) -> MemoryStore:
    """Open the store in a directory or at an object storage address (s3://, gs://, az://).

    Args:
        location: directory or address.
        model_id: the model whose embeddings will be written or searched; empty: any.
        dim: length of its embeddings; needed with `create`.
        create: make a new store where there is none.

    Raises:
        MemoryMissingError: there is none, and `create` is not set.
        OtherModelError: it has embeddings of another model.
        MemoryStoreError: it is damaged, cannot be read, or lancedb is not installed.
    """
    where = str(location) if _is_remote(str(location)) else os.path.expanduser(location)
    if not _is_remote(where) and Path(where).exists() and not Path(where).is_dir():
        raise MemoryStoreError(f"cannot open the memory at '{where}': it is not a directory")
    lancedb = _lancedb()
    exists = _is_remote(where) or (Path(where) / f"{TABLE}.lance").exists()
    if not exists and not create:
        raise MemoryMissingError(f"there is no memory at '{where}'")
    with _translated(where, "open"):
        session = lancedb.Session(
            index_cache_size_bytes=INDEX_CACHE_BYTES,
            metadata_cache_size_bytes=METADATA_CACHE_BYTES,
        )
        # Zero: the next query sees rows of other processes.
        database = lancedb.connect(
            where,
            session=session,
            read_consistency_interval=datetime.timedelta(0),
        )
        table = None
        if exists:
            try:
                table = database.open_table(TABLE)
            except ValueError as error:  # an address that does not exist
                if not (_is_remote(where) and "was not found" in str(error)):
                    raise
        if table is None:
            if not create:
                raise MemoryMissingError(f"there is no memory at '{where}'")
            if not model_id or dim < 1:
                raise ValueError(f"a new store needs model_id and dim, not '{model_id}' and {dim}")
            schema = arrow_schema(dim, model_id)
            table = database.create_table(TABLE, schema=schema, exist_ok=True)
        metadata = table.schema.metadata or {}
        if metadata.get(b"vljepa.format") != FORMAT or b"vljepa.model_id" not in metadata:
            raise MemoryStoreError(
                f"'{where}' is a LanceDB database, but not a memory that this version can read "
                f"(format {metadata.get(b'vljepa.format', b'none').decode()}, allowed: "
                f"{FORMAT.decode()})"
            )
        kept_model, kept_dim = metadata[b"vljepa.model_id"].decode(), int(metadata[b"vljepa.dim"])
    if model_id and (kept_model != model_id or (dim and kept_dim != dim)):
        name = kept_model.rpartition("-")[0]
        former = f"model:={name}" if name in model_names() else "the model that made it"
        raise OtherModelError(
            f"the memory at '{where}' holds embeddings of model '{kept_model}' ({kept_dim}-d), not "
            f"of '{model_id}', and is left as it is; continue with {former}, use another "
            f"directory, or embed it again: vljepa memory reindex --memory {where} --to NEW"
        )
    return MemoryStore(table, where, kept_model, kept_dim)


@contextlib.contextmanager
def _translated(location: str, doing: str) -> Iterator[None]:
    """Convert any exception of lancedb to a MemoryStoreError of one line."""
    try:
        yield
    except (MemoryStoreError, QueryError):
        raise
    except Exception as error:
        raise MemoryStoreError(
            f"cannot {doing} the memory at '{location}': {one_line(error)[:400]}"
        ) from error


def _lancedb() -> ModuleType:
    try:
        return import_lancedb()
    except ModuleNotFoundError as error:
        raise MemoryStoreError(NO_LANCEDB) from error
    except ImportError as error:
        raise MemoryStoreError(
            f"LanceDB is installed, and cannot be imported: {one_line(error)}; "
            "beside numpy 1 it needs: pip install 'pyarrow<23'"
        ) from error


def _is_remote(location: str) -> bool:
    return "://" in location
