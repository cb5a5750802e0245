"""The storage files of a bag, sqlite3 and mcap: their messages, as far as they can be read.

Messages come in the order of recording, by the file's own index. Where a part is cut off or
damaged, the rest comes in the order in which it stands in the file.
"""

from __future__ import annotations

import sqlite3
import struct
import sys
from collections import Counter
from collections.abc import Collection, Iterator
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

_SQLITE_HEAD, _MCAP_HEAD, _ZSTD_HEAD = b"SQLite format 3\0", b"\x89MCAP0\r\n", b"\x28\xb5\x2f\xfd"
_SCHEMA, _CHANNEL, _MESSAGE, _CHUNK, _DATA_END = 3, 4, 5, 6, 15  # records of an mcap file

Message = tuple[int, int, bytes]
"""Id of its connection, time of recording in nanoseconds, CDR."""


class StorageError(RuntimeError):
    """Nothing of a storage file can be read; the message names the file and the cause."""


@dataclass(frozen=True)
class Connection:
    """A topic of one type in a storage file.

    Attributes:
        id: within the file.
        topic: name.
        type: e.g. `sensor_msgs/msg/Image`.
        serialization: `cdr` in every ROS 2 so far.
        qos: offered profiles, as rosbags has them.
        definition: of the message, or empty.
        digest: of the definition, or empty.
    """

    id: int
    topic: str
    type: str
    serialization: str
    qos: tuple[Any, ...]
    definition: str
    digest: str


class Storage:
    """An open storage file.

    Attributes:
        connections: by id.
        counts: messages by id of their connection.
        span: time of recording of the first and of the last message, nanoseconds; 0, 0: none.
        problem: why not all of the file can be read, or empty.
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
            ids: of the connections.
            after: nanoseconds, time of recording; earlier ones are left out.
        """
        newest = after
        seen: set[int] = set()  # connections with a message at that time
        missing = sum(self.counts[identity] for identity in ids)
        try:
            for identity, time, data in self._by_time(ids, after):
                if time > newest:
                    newest, seen = time, set()
                seen.add(identity)
                missing -= 1
                yield identity, time, _message(data)
            if missing > 0 and after <= self.span[0]:
                self.note(f"has {missing} messages less than its index says")
            return
        except Exception as error:  # of sqlite3, rosbags, or what decompresses below it
            self.note(f"is damaged or cut off ({one_line(error)[:200]})")
        for identity, time, data in self._in_sequence():
            new = time > newest or (time == newest and identity not in seen)
            if new and identity in ids:
                yield identity, time, _message(data)

    def close(self) -> None:
        """Close the file."""
        raise NotImplementedError

    def note(self, problem: str) -> None:
        """Keep the first reason why not all of the file can be read."""
        self.problem = self.problem or f"'{self._name}' {problem}; what can be read of it is used"

    def _count(self, times: Iterator[tuple[int, int]]) -> None:
        """Fill `counts` and `span` from the (id, time) of every message."""
        first, last = 2**63, 0
        for identity, time in times:
            self.counts[identity] += 1
            first, last = min(first, time), max(last, time)
        self.span = (min(first, last), last)

    def _by_time(self, ids: Collection[int], after: int) -> Iterator[Message]:
        """In the order of recording; damage raises whatever the library raises."""
        raise NotImplementedError

    def _in_sequence(self) -> Iterator[Message]:
        """All messages that can be read, in the order of the file."""
        raise NotImplementedError


class SqliteFile(Storage):
    """A .db3 file, with the write-ahead log that stays beside it where a recording was cut off."""

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
                "lacks its last messages: to read its -wal file, put both where one may write"
            )
            self._open(path, "immutable=1")

    def _open(self, path: Path, how: str) -> None:
        self._db = sqlite3.connect(f"file:{quote(str(path.resolve()))}?{how}", uri=True)
        self._db.text_factory = lambda text: text.decode("utf-8", "replace")
        # Without it a file that is shorter than its own header says is refused as a whole.
        self._db.execute("PRAGMA writable_schema=ON")
        definitions: dict[str, str] = {}
        with suppress(sqlite3.DatabaseError):  # there since Iron
            query = "SELECT topic_type, encoded_message_definition FROM message_definitions"
            definitions = dict(self._db.execute(query))
        topics = self._db.execute("SELECT * FROM topics")
        columns = [column[0] for column in topics.description]
        for values in topics:
            row = dict(zip(columns, map(str, values), strict=True))
            one = Connection(
                int(row["id"]),
                row["name"],
                row["type"],
                row["serialization_format"],
                _offered(row.get("offered_qos_profiles", "")),
                definitions.get(row["type"], ""),
                row.get("type_description_hash", ""),
            )
            self.connections[one.id] = one
        self._count((identity, time) for _, identity, time in self._rows("topic_id, timestamp"))

    def _by_time(self, ids: Collection[int], after: int) -> Iterator[Message]:
        marks = ",".join("?" * len(ids))
        query = "SELECT topic_id, timestamp, data FROM messages WHERE timestamp >= ? AND topic_id"
        return self._db.execute(f"{query} IN ({marks}) ORDER BY timestamp", (after, *ids))

    def _in_sequence(self) -> Iterator[Message]:
        return ((one, time, data) for _, one, time, data in self._rows("topic_id, timestamp, data"))

    def _rows(self, columns: str) -> Iterator[Any]:
        """(id, columns...) of the messages by id; goes on behind pages that are damaged."""
        query = f"SELECT id, {columns} FROM messages WHERE id > ? ORDER BY id"
        last = step = 0
        while step < 1 << 40:
            try:
                for row in self._db.execute(query, (last + step,)):
                    last, step = row[0], 0
                    if isinstance(row[2], int):
                        yield row
                return
            except sqlite3.DatabaseError as error:
                self.note(f"is damaged or cut off ({error})")
                step += 1 + step // 8

    def close(self) -> None:
        """Close the file."""
        self._db.close()


class McapFile(Storage):
    """An .mcap file: by the index at its end, or without one from beginning to end."""

    def __init__(self, path: Path, name: str) -> None:
        from rosbags.rosbag2.storage_mcap import McapReader

        super().__init__(name)
        self._file = path.open("rb")
        self._schemas: dict[int, tuple[str, str]] = {}
        self._index: Any = McapReader(path)
        try:
            self._index.open()
        except Exception:  # of many kinds; what is wrong shows when the file is read without index
            self._index = None
        if self._index is None or not self._index.chunks:
            self._index = None
            self._count((identity, time) for identity, time, _ in self._in_sequence())
            return
        for one in self._index.connections:
            more = one.ext.serialization_format, tuple(one.ext.offered_qos_profiles)
            known = Connection(one.id, one.topic, one.msgtype, *more, one.msgdef.data, one.digest)
            self.connections[one.id] = known
            self.counts[one.id] = one.msgcount
        self.span = self._index.metadata.start_time, self._index.metadata.end_time - 1

    def _by_time(self, ids: Collection[int], after: int) -> Iterator[Message]:
        if self._index is None:
            found = self._in_sequence()
            yield from (one for one in found if one[0] in ids and one[1] >= after)
            return
        wanted = [one for one in self._index.connections if one.id in ids]
        for connection, time, data in self._index.messages(wanted, after or None):
            yield connection.id, time, data

    def _in_sequence(self) -> Iterator[Message]:
        size = self._file.seek(0, 2)
        self._file.seek(len(_MCAP_HEAD))
        for op, at, body, whole in _records(self._file, size):
            if op == _DATA_END:
                return
            if op == _CHUNK:
                chunk = self._unpack(body, at)
                parts = _records(BytesIO(chunk), len(chunk))
            else:
                parts = iter([(op, at, body, whole)])
            for part, _, content, complete in parts:
                if complete and part == _MESSAGE:
                    identity, _, time, _ = struct.unpack_from("<HIQQ", content)
                    if identity in self.connections:
                        yield identity, time, content[22:]
                elif complete:
                    with suppress(struct.error, KeyError):
                        self._learn(part, content)
        self.note(f"ends without an end mark after {size} bytes: the recording was cut off")

    def _learn(self, op: int, body: bytes) -> None:
        """Keep what a schema or a channel says."""
        if op == _SCHEMA:
            name, _, text = (part.decode("utf-8", "replace") for part in _strings(body, 2, 3))
            self._schemas[struct.unpack_from("<H", body)[0]] = (name, text)
        elif op == _CHANNEL:
            identity, schema = struct.unpack_from("<HH", body)
            topic, encoding, pairs = _strings(body, 4, 3)
            found = [part.decode("utf-8", "replace") for part in _strings(pairs)]
            metadata = dict(zip(found[::2], found[1::2], strict=False))
            kind, definition = self._schemas[schema]
            one = Connection(
                identity,
                topic.decode("utf-8", "replace"),
                kind,
                encoding.decode("utf-8", "replace"),
                _offered(metadata.get("offered_qos_profiles", "")),
                definition,
                metadata.get("topic_type_hash", ""),
            )
            self.connections.setdefault(identity, one)

    def _unpack(self, chunk: bytes, at: int) -> bytes:
        """The records of a chunk, or of what there is of it; none where it is damaged."""
        from lz4.frame import LZ4FrameDecompressor

        try:
            (compression,) = _strings(chunk, 28, 1)
            packed = chunk[40 + len(compression) :]
            if not compression:
                return packed
            kinds = {b"zstd": zstd.ZstdDecompressor, b"lz4": LZ4FrameDecompressor}
            return kinds[compression]().decompress(packed)
        except Exception as error:  # each library has its own
            self.note(f"has a damaged chunk at byte {at} ({one_line(error)})")
            return b""

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        if self._index is not None:
            self._index.close()


def open_storage(path: Path, stack: ExitStack) -> Storage:
    """Open a storage file by what it begins with, not by its name.

    Args:
        path: a .db3 or .mcap file, as it is or compressed as a whole (zstd).
        stack: closes what was opened.

    Raises:
        StorageError: nothing of it can be read.
    """
    name, cut = str(path), ""
    try:
        head = _head(path)
        if head.startswith(_ZSTD_HEAD):
            path, cut = _decompressed(path, stack)
            head = _head(path)
        if not head:
            raise StorageError(f"'{name}' is empty: nothing was written before it was cut off")
        if head != _SQLITE_HEAD and not head.startswith(_MCAP_HEAD):
            raise StorageError(
                f"'{name}' is neither SQLite nor MCAP: it begins with {head[:8].hex(' ')}"
            )
        storage = (SqliteFile if head == _SQLITE_HEAD else McapFile)(path, name)
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(f"'{name}' cannot be read: {error.strerror or error}") from error
    except Exception as error:  # what damage makes of SQLite's own tables is of many kinds
        raise StorageError(
            f"'{name}' cannot be read: {one_line(error)}; try: sqlite3 '{name}' .recover | "
            "sqlite3 NEW.db3"
        ) from error
    stack.callback(storage.close)
    if cut:
        storage.note(cut)
    return storage


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(len(_SQLITE_HEAD))


def _decompressed(path: Path, stack: ExitStack) -> tuple[Path, str]:
    """A file without its zstd compression, and what is wrong with it, or empty."""
    target = Path(stack.enter_context(TemporaryDirectory(prefix="vljepa-bag-"))) / path.stem
    with zstd.open(path, "rb") as source, target.open("wb") as file:
        try:
            while piece := source.read(1 << 20):
                file.write(piece)
        except (EOFError, zstd.ZstdError) as error:
            return target, f"is damaged or cut off ({one_line(error)})"
    return target, ""


def _records(stream: BinaryIO, size: int) -> Iterator[tuple[int, int, bytes, bool]]:
    """(kind, offset, content, whether it is complete) of mcap's records; content where needed."""
    at = stream.tell()
    while at + 9 <= size:
        with suppress(OSError):  # a medium that cannot be read ends the file
            op, length = struct.unpack("<BQ", stream.read(9))
            if op == 0:  # of no record: what a power cut leaves
                return
            left = size - at - 9
            wanted = op in (_SCHEMA, _CHANNEL, _MESSAGE, _CHUNK)
            content = stream.read(min(length, left)) if wanted else b""
            yield op, at, content, length <= left
            at += 9 + length
            stream.seek(min(at, size))


def _strings(data: bytes, at: int = 0, count: int | None = None) -> list[bytes]:
    """Byte strings, each behind its length; all of `data` without a count."""
    found: list[bytes] = []
    while at < len(data) if count is None else len(found) < count:
        (length,) = struct.unpack_from("<I", data, at)
        found.append(data[at + 4 : at + 4 + length])
        at += 4 + length
    return found


def _offered(profiles: str) -> tuple[Any, ...]:
    """Quality of service as rosbags has it; it is needed only in a copy of the bag."""
    from rosbags.rosbag2.metadata import parse_qos

    with suppress(Exception):  # of many kinds, and no image is lost by it
        return tuple(parse_qos(profiles))
    return ()


def _message(data: bytes) -> bytes:
    """A message of a bag that compresses each of them (zstd), or as it is."""
    if data[:4] == _ZSTD_HEAD:
        with suppress(zstd.ZstdError):
            return zstd.decompress(data)
    return data
