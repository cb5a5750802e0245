"""Reads the messages of storage files, sqlite3 and mcap, even if they are damaged.

Messages come in the order in which they were written. Damage costs only the messages it hits: a row
or a page of sqlite3, the rest of a chunk of mcap. A truncated file is read up to its end.
Compressed data is expanded only up to what memory and disk have room for.
"""

from __future__ import annotations

import shutil
import sqlite3
import struct
import sys
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO
from urllib.parse import quote

from vljepa_ros.perception.memory.row import one_line

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_SQLITE, _MCAP, _ZSTD = b"SQLite format 3\0", b"\x89MCAP0\r\n", b"\x28\xb5\x2f\xfd"
# The records of an mcap file that are read.
_SCHEMA, _CHANNEL, _MESSAGE, _CHUNK, _CHUNK_INDEX, _STATISTICS, _DATA_END = 3, 4, 5, 6, 8, 11, 15
MOST_EXPANDED = 1 << 28
"""Maximum size of a decompressed chunk or message: more than the largest image."""
_SPARE_BYTES = 1 << 30
"""Bytes, or a 20th of the disk, that decompressing a file must leave free."""
_READ = (_SCHEMA, _CHANNEL, _MESSAGE, _CHUNK, _CHUNK_INDEX, _STATISTICS)

Message = tuple[int, int, bytes]
"""Id of its connection, recording time in nanoseconds, CDR."""


class StorageError(RuntimeError):
    """A storage file cannot be read at all; the message names the file and the cause."""


@dataclass(frozen=True)
class Connection:
    """A topic of one type in a storage file.

    Attributes:
        topic: name.
        type: e.g. `sensor_msgs/msg/Image`.
        serialization: `cdr` in every ROS 2 so far.
        qos: offered profiles, YAML.
        definition: definition of the message, or empty.
    """

    topic: str
    type: str
    serialization: str
    qos: str
    definition: str


class Storage:
    """An open storage file.

    Attributes:
        connections: id -> connection.
        counts: id of a connection -> number of messages.
        span: recording times of the first and the last message, nanoseconds; 0, 0: none.
        problem: why the file cannot be read completely; empty: it can.
    """

    def __init__(self, name: str) -> None:
        self.connections: dict[int, Connection] = {}
        self.counts: Counter[int] = Counter()
        self.span = (0, 0)
        self.problem = ""
        self._name = name

    def messages(self, ids: Collection[int], after: int = 0) -> Iterator[Message]:
        """Messages of some connections.

        Args:
            ids: ids of the connections.
            after: nanoseconds, recording time; earlier messages are skipped.
        """
        raise NotImplementedError

    def close(self) -> None:
        """Close the file."""
        raise NotImplementedError

    def _message(self, data: bytes) -> bytes:
        """Decompress a message, if the bag compresses each message (zstd)."""
        if data[:4] == _ZSTD:
            try:
                return _expanded(zstd.ZstdDecompressor(), data)
            except zstd.ZstdError:
                pass  # refused when the message is read
            except ValueError as error:
                self.note(f"has a message that cannot be read: {error}")
        return data

    def note(self, problem: str) -> None:
        """Keep the first reason why the file cannot be read completely."""
        self.problem = self.problem or f"'{self._name}' {problem}; what can be read of it is used"

    def _count(self, times: Iterable[tuple[int, int]]) -> None:
        """Fill `counts` and `span` from the (id, time) of every message."""
        first, last = 2**63, 0
        for identity, time in times:
            self.counts[identity] += 1
            first, last = min(first, time), max(last, time)
        self.span = (min(first, last), last)


class SqliteFile(Storage):
    """A .db3 file, with the write-ahead log that an interrupted recording leaves beside it."""

    def __init__(self, path: Path, name: str) -> None:
        super().__init__(name)
        log = Path(f"{path}-wal")
        unfinished = log.is_file() and log.stat().st_size > 0
        try:
            self._open(path, "mode=ro" if unfinished else "immutable=1")
        except sqlite3.OperationalError:
            if not unfinished:
                raise
            self.note(
                "lacks its last messages: to read its -wal file, put both into a writable folder"
            )
            self._open(path, "immutable=1")
        self._count((one, time) for _, one, time in self._rows("topic_id, timestamp"))

    def _open(self, path: Path, how: str) -> None:
        self._db = sqlite3.connect(f"file:{quote(str(path.resolve()))}?{how}", uri=True)
        self._db.text_factory = lambda text: text.decode("utf-8", "replace")
        # Otherwise SQLite refuses a file that is shorter than its header says.
        self._db.execute("PRAGMA writable_schema=ON")
        for name in ("topics", "messages", "message_definitions"):
            self._check_plain(name)
        definitions: dict[str, str] = {}
        with suppress(sqlite3.DatabaseError):  # there since Iron
            query = "SELECT topic_type, encoded_message_definition FROM message_definitions"
            definitions = dict(self._db.execute(query))
        topics = self._db.execute("SELECT * FROM topics")
        columns = [column[0] for column in topics.description]
        for values in topics:
            row = dict(zip(columns, map(str, values), strict=True))
            qos, kind = row.get("offered_qos_profiles", ""), row["type"]
            self.connections[int(row["id"])] = Connection(
                row["name"], kind, row["serialization_format"], qos, definitions.get(kind, "")
            )

    def _check_plain(self, name: str) -> None:
        """Refuse a view or a computed column: SQL from the file, which may never end."""
        kinds = self._db.execute("SELECT type FROM sqlite_master WHERE name = ?", (name,))
        columns = self._db.execute(f"PRAGMA table_xinfo({name})")
        if any(kind != "table" for (kind,) in kinds) or any(column[6] for column in columns):
            raise ValueError(f"its '{name}' is computed, allowed: a table as rosbag2 writes it")

    def messages(self, ids: Collection[int], after: int = 0) -> Iterator[Message]:
        """See Storage."""
        marks = ",".join("?" * len(ids))
        where = f"AND +timestamp >= ? AND topic_id IN ({marks})"  # +: not by the index, and sorted
        for _, one, time, data in self._rows("topic_id, timestamp, data", where, (after, *ids)):
            yield one, time, self._message(data)

    def _rows(self, columns: str, where: str = "", values: Iterable[int] = ()) -> Iterator[Any]:
        """(id, columns...) of the messages by id; skips damaged pages."""
        query = f"SELECT id, {columns} FROM messages WHERE id > ? {where} ORDER BY id"
        start = step = 0
        while start < 1 << 62:
            try:
                for row in self._db.execute(query, (start, *values)):
                    if row[0] > start:  # damage can put them out of order
                        start, step = row[0], 0
                    whole = len(row) < 4 or isinstance(row[3], bytes)
                    if row[1] in self.connections and isinstance(row[2], int) and whole:
                        yield row
                    else:
                        self.note("has damaged rows")
                return
            except sqlite3.DatabaseError as error:
                self.note(f"is damaged or cut off ({error})")
                step += 1 + step // 8
                start += step

    def close(self) -> None:
        """See Storage."""
        self._db.close()


class McapFile(Storage):
    """An .mcap file, with or without the summary at its end."""

    def __init__(self, path: Path, name: str) -> None:
        super().__init__(name)
        self._file = path.open("rb")
        self._size = path.stat().st_size
        self._schemas: dict[int, tuple[str, str]] = {}
        self._chunks: dict[int, tuple[int, set[int]]] = {}  # offset -> end, connections
        self._file.seek(max(0, self._size - 37))
        footer = self._file.read()
        if footer.startswith(b"\x02\x14") and footer.endswith(_MCAP):
            start = struct.unpack_from("<Q", footer, 9)[0] or self._size
            self._file.seek(min(start, self._size))
            with suppress(struct.error, LookupError, ValueError):
                for op, _, body, _ in _records(self._file, self._size):
                    self._learn(op, body)
        if not self._chunks or not self.counts:
            self._count((one, time) for one, time, _ in self._in_sequence())

    def messages(self, ids: Collection[int], after: int = 0) -> Iterator[Message]:
        """See Storage."""
        missing = sum(self.counts[one] for one in ids) if after <= self.span[0] else 0
        for one, time, data in self._by_chunk(ids, after) if self._chunks else self._in_sequence():
            if one in ids and time >= after:
                missing -= 1
                yield one, time, self._message(data)
        if missing > 0:
            self.note(f"has {missing} messages fewer than its summary says")

    def _by_chunk(self, ids: Collection[int], after: int) -> Iterator[Message]:
        for at, (end, connections) in self._chunks.items():
            if end >= after and connections.intersection(ids):
                self._file.seek(min(at, self._size))  # damaged data can contain any offset
                nothing = 0, at, b"", False
                _, _, body, whole = next(_records(self._file, self._size), nothing)
                yield from sorted(self._of_chunk(body, at, whole), key=lambda one: one[1])

    def _in_sequence(self) -> Iterator[Message]:
        """Read all messages from the beginning of the file, collecting its connections."""
        self._file.seek(len(_MCAP))
        for op, at, body, whole in _records(self._file, self._size):
            if op == _DATA_END:
                return
            if op == _CHUNK:
                yield from self._of_chunk(body, at, whole)
            elif whole:
                yield from self._take(op, body)
        self.note(f"ends without an end mark after {self._size} bytes: the recording was cut off")

    def _of_chunk(self, chunk: bytes, at: int, intact: bool) -> Iterator[Message]:
        """The messages of a chunk, which may be incomplete."""
        from lz4.frame import LZ4FrameDecompressor

        try:
            (compression,) = _strings(chunk, 28, 1)
            data = chunk[40 + len(compression) :]
            if compression:
                kinds = {b"zstd": zstd.ZstdDecompressor, b"lz4": LZ4FrameDecompressor}
                data = _expanded(kinds[compression](), data)
        except Exception as error:  # each library has its own
            self.note(f"has a damaged chunk at byte {at} ({one_line(error)})")
            return
        for op, _, body, whole in _records(BytesIO(data), len(data)):
            if whole:
                yield from self._take(op, body)
            elif intact:
                self.note(f"has a damaged chunk at byte {at}")

    def _take(self, op: int, body: bytes) -> Iterator[Message]:
        with suppress(struct.error, LookupError, ValueError):
            self._learn(op, body)
            if op == _MESSAGE:
                one, _, time, _ = struct.unpack_from("<HIQQ", body)
                if one in self.connections:
                    yield one, time, body[22:]

    def _learn(self, op: int, body: bytes) -> None:
        """Keep the information in a record about connections and messages."""
        if op == _SCHEMA:
            name, _, text = (part.decode("utf-8", "replace") for part in _strings(body, 2, 3))
            self._schemas[struct.unpack_from("<H", body)[0]] = (name, text)
        elif op == _CHANNEL:
            one, schema = struct.unpack_from("<HH", body)
            kind, definition = self._schemas[schema]
            *names, pairs = _strings(body, 4, 3)
            topic, encoding, *more = (
                part.decode("utf-8", "replace") for part in (*names, *_strings(pairs))
            )
            metadata = dict(zip(more[::2], more[1::2], strict=False))
            qos = metadata.get("offered_qos_profiles", "")
            self.connections.setdefault(one, Connection(topic, kind, encoding, qos, definition))
        elif op == _CHUNK_INDEX:
            _, end, at, _, size = struct.unpack_from("<QQQQI", body)
            ids = {one for one, _ in struct.iter_unpack("<HQ", body[36 : 36 + size])}
            self._chunks[at] = end, ids
        elif op == _STATISTICS:
            *_, first, last, size = struct.unpack_from("<QHIIIIQQI", body)
            self.span = (first, last)
            self.counts.update(dict(struct.iter_unpack("<HQ", body[46 : 46 + size])))

    def close(self) -> None:
        """See Storage."""
        self._file.close()


def open_storage(path: Path, stack: ExitStack) -> Storage:
    """Open a storage file; its first bytes decide on the format, not its name.

    Args:
        path: a .db3 or .mcap file, possibly compressed as a whole (zstd).
        stack: closes all opened files.

    Raises:
        StorageError: it cannot be read at all.
    """
    name, cut = str(path), ""
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            raise StorageError("it is a pipe or a device")  # a pipe may never have a writer
        if _head(path).startswith(_ZSTD):
            path, cut = _decompressed(path, stack)
        head = _head(path)
        if not head:
            raise StorageError("it is empty: the recording was cut off before it began")
        if head != _SQLITE and not head.startswith(_MCAP):
            raise StorageError(f"it is neither SQLite nor MCAP, it begins with {head[:8].hex(' ')}")
        storage = (SqliteFile if head == _SQLITE else McapFile)(path, name)
    except Exception as error:  # damage in SQLite's own tables raises errors of many kinds
        reason = getattr(error, "strerror", "") or one_line(error)
        if isinstance(error, sqlite3.DatabaseError):
            reason += f"; try: sqlite3 '{name}' .recover | sqlite3 NEW.db3"
        raise StorageError(f"'{name}' cannot be read: {reason}") from error
    stack.callback(storage.close)
    if cut:
        storage.note(cut)
    return storage


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(len(_SQLITE))


def _decompressed(path: Path, stack: ExitStack) -> tuple[Path, str]:
    """Decompress a file (zstd); also returns what is wrong with it, or empty."""
    target = Path(stack.enter_context(TemporaryDirectory(prefix="vljepa-bag-"))) / path.stem
    disk = shutil.disk_usage(target.parent)
    spare = min(_SPARE_BYTES, disk.total // 20)
    with zstd.open(path, "rb") as source, target.open("wb") as file:
        try:
            while piece := source.read(1 << 20):
                if shutil.disk_usage(target.parent).free < spare + len(piece):
                    place = target.parent.parent
                    raise StorageError(f"it takes more than the free space of '{place}'")
                file.write(piece)
        except (EOFError, zstd.ZstdError) as error:
            return target, f"is damaged or cut off ({one_line(error)})"
    return target, ""


def _records(stream: BinaryIO, size: int) -> Iterator[tuple[int, int, bytes, bool]]:
    """(kind, offset, content if needed, whether it is complete) of mcap's records."""
    at = stream.tell()
    while at + 9 <= size:
        op, length = struct.unpack("<BQ", stream.read(9))
        if op == 0:  # no record: left by a power cut
            yield op, at, b"", False
            return
        left = size - at - 9
        yield op, at, stream.read(min(length, left)) if op in _READ else b"", length <= left
        at += 9 + length
        stream.seek(min(at, size))


def _strings(data: bytes, at: int = 0, count: int = 1 << 16) -> list[bytes]:
    """At most `count` byte strings, each preceded by its length."""
    found: list[bytes] = []
    while at < len(data) and len(found) < count:
        (length,) = struct.unpack_from("<I", data, at)
        found.append(data[at + 4 : at + 4 + length])
        at += 4 + length
    return found


def _expanded(decompressor: Any, data: bytes) -> bytes:
    """Decompress one frame. Raises ValueError if the result exceeds MOST_EXPANDED."""
    found: bytes = decompressor.decompress(data, max_length=MOST_EXPANDED)
    if len(found) == MOST_EXPANDED and not decompressor.eof:
        raise ValueError(f"it expands to more than {MOST_EXPANDED >> 20} MiB")
    return found
