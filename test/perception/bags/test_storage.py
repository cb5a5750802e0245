"""Files of bags that are cut off, damaged, unsorted or unfinished: read as far as they go."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from colour_bag import (
    FRONT,
    STORAGES,
    bag_of,
    images,
    read,
    storage_file,
    write_messages,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vljepa_ros.perception.bags import storage as bag_storage
from vljepa_ros.perception.bags.reading import BagError, BagReader, ImageCounts
from vljepa_ros.perception.bags.topics import choose_topics


class Cut:
    """Bags of 60 images, cut off or overwritten at any place."""

    def __init__(self, folder: Path) -> None:
        self.whole: dict[str, bytes] = {}
        self.folder = folder
        for storage in STORAGES:
            for compression in ("none", "file", "storage" if storage == "mcap" else "message"):
                file = storage_file(
                    bag_of(
                        folder / f"{storage}{compression}", storage=storage, compression=compression
                    )
                )
                self.whole["".join(file.suffixes) + compression] = file.read_bytes()

    @contextlib.contextmanager
    def bag(self, kind: str, data: bytes) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            suffix = kind.replace("none", "").replace("storage", "").replace("message", "")
            Path(folder, f"bag_0{suffix.replace('file', '')}").write_bytes(data)
            yield Path(folder)


KINDS = [
    *(".db3none", ".db3message", ".db3.zstdfile", ".mcapnone", ".mcapstorage", ".mcap.zstdfile"),
]


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory) -> Cut:
    return Cut(tmp_path_factory.mktemp("cut"))


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, deadline=None)
@given(share=st.floats(0.0, 1.0, exclude_max=True))
@example(share=30712 / 36864)  # SQLite: rows whose data is missing
def test_a_bag_that_is_cut_off_is_read_up_to_there(cut: Cut, kind: str, share: float) -> None:
    data = cut.whole[kind]
    with cut.bag(kind, data[: int(share * len(data))]) as bag:
        refused, stamps, counts = "", [], ImageCounts()
        try:
            stamps, reader, counts = read(bag)
        except BagError as error:
            refused = str(error)
        assert "bag_0." in (refused or reader.problem) or len(stamps) + counts.broken == 60
    assert stamps == sorted(set(stamps))
    if kind == ".mcapnone":  # of whole messages, even of a chunk that is cut
        assert len(stamps) >= 60 * share - 12


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, deadline=None)
@given(share=st.floats(0.0, 0.99), rubbish=st.binary(min_size=1, max_size=5000))
def test_a_bag_with_a_damaged_place_is_read_around_it(
    cut: Cut, kind: str, share: float, rubbish: bytes
) -> None:
    data = bytearray(cut.whole[kind])
    at = int(share * len(data))
    data[at : at + len(rubbish)] = rubbish
    with cut.bag(kind, bytes(data)) as bag, contextlib.suppress(BagError):
        stamps, reader, counts = read(bag)
        # SQLite has no checksums: a page whose count of rows is overwritten hides them
        assert len(stamps) + counts.broken >= 60 or reader.problem or "db3" in kind


def test_a_database_that_is_cut_off_gives_nearly_all_there_is(tmp_path: Path) -> None:
    bag = bag_of(tmp_path / "bag", count=500)
    file = storage_file(bag)
    os.truncate(file, round(0.6 * file.stat().st_size))
    stamps, reader, _ = read(bag)
    assert stamps == list(range(len(stamps)))
    assert 280 <= len(stamps) <= 300
    assert "is damaged or cut off (database disk image is malformed)" in reader.problem


def test_a_chunk_that_is_damaged_costs_no_other(tmp_path: Path) -> None:
    from rosbags.rosbag2.storage_mcap import McapReader

    big = {"width": 640, "height": 480, "step": 1920, "data": np.zeros(640 * 480 * 3, np.uint8)}
    topics = {FRONT: images(12, **big)}
    bag = write_messages(tmp_path / "bag", topics, storage="mcap", compression="storage")
    file = storage_file(bag)
    index = McapReader(file)
    index.open()
    assert len(index.chunks) == 6
    at = index.chunks[2].chunk_start_offset + 60
    index.close()
    data = bytearray(file.read_bytes())
    data[at : at + 40] = bytes(40)
    file.write_bytes(data)
    stamps, reader, _ = read(bag)
    assert stamps == [*range(4), *range(6, 12)]
    assert "damaged" in reader.problem


def test_an_mcap_without_chunks_and_out_of_order_loses_nothing(tmp_path: Path) -> None:
    """As the `fastwrite` preset records it; rosbags refuses it."""
    import struct

    bag = bag_of(tmp_path / "bag", storage="mcap", count=30)
    file = storage_file(bag)
    data = file.read_bytes()
    # the records of the one chunk, without it
    start = data.index(b"\x06", 8)
    (length,) = struct.unpack_from("<Q", data, start + 1)
    inner = data[start + 9 + 40 : start + 9 + length]
    records, at = [], 0
    while at < len(inner):
        (size,) = struct.unpack_from("<Q", inner, at + 1)
        records.append(inner[at : at + 9 + size])
        at += 9 + size
    first = next(i for i, one in enumerate(records) if one[0] == 5)
    records[first], records[first + 1] = records[first + 1], records[first]
    ends = b"\x0f" + struct.pack("<QI", 4, 0) + b"\x02" + struct.pack("<QQQI", 20, 0, 0, 0)
    file.write_bytes(data[:start] + b"".join(records) + ends + data[:8])
    stamps, reader, _ = read(bag)
    assert sorted(stamps) == list(range(30))
    assert stamps[:2] == [1, 0]
    assert reader.problem == ""


LOG = """
import os, sqlite3, sys
source, target = sys.argv[1:]
rows = list(sqlite3.connect(source).execute("SELECT id, topic_id, timestamp, data FROM messages"))
db = sqlite3.connect(target)
db.execute("PRAGMA journal_mode=WAL")
for (text,) in sqlite3.connect(source).execute("SELECT sql FROM sqlite_master WHERE sql NOT NULL"):
    db.execute(text)
for table in ("topics", "schema", "message_definitions"):
    for row in sqlite3.connect(source).execute(f"SELECT * FROM {table}"):
        db.execute(f"INSERT INTO {table} VALUES ({','.join('?' * len(row))})", row)
for row in rows:
    db.execute("INSERT INTO messages VALUES (?, ?, ?, ?)", row)
    db.commit()
os._exit(9)
"""


def with_log(tmp_path: Path) -> Path:
    """What the resilient preset leaves after a power cut: the newest messages are in the log."""
    source = storage_file(bag_of(tmp_path / "whole"))
    target = tmp_path / "bag" / "bag_0.db3"
    target.parent.mkdir()
    subprocess.run([sys.executable, "-c", LOG, source, target], check=False)
    assert (tmp_path / "bag" / "bag_0.db3-wal").stat().st_size > 0
    return target.parent


def test_the_write_ahead_log_is_read(tmp_path: Path) -> None:
    bag = with_log(tmp_path)
    (bag / "bag_0.db3-shm").unlink()
    stamps, reader, _ = read(bag)
    assert stamps == list(range(60))
    assert reader.problem == ""


def test_a_write_ahead_log_that_cannot_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bag = with_log(tmp_path)
    connect = sqlite3.connect

    def read_only(place: str, **options: Any) -> sqlite3.Connection:
        if "mode=ro" in place:  # root may write everywhere
            raise sqlite3.OperationalError("unable to open database file")
        return connect(place, **options)

    monkeypatch.setattr(sqlite3, "connect", read_only)
    try:
        _, reader, _ = read(bag)
        problem = reader.problem
    except BagError as error:  # all of it is in the log
        problem = str(error)
    assert "-wal" in problem or "no such table" in problem


@pytest.mark.parametrize("storage", ["sqlite3", "mcap"])
def test_what_expands_without_end_costs_itself_alone(
    tmp_path: Path, storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bag of messages or chunks that are zeros, compressed: a decompression bomb."""
    monkeypatch.setattr(bag_storage, "MOST_EXPANDED", 1 << 14)
    compression = "message" if storage == "sqlite3" else "storage"
    huge = images(1, height=100, width=1000, step=3000, data=np.zeros(300_000, np.uint8))
    bag = write_messages(tmp_path / "bag", {FRONT: huge}, storage=storage, compression=compression)
    counts = ImageCounts()
    with BagReader(bag) as reader:
        list(reader.images(choose_topics(reader)[0], {"front": counts}))
    assert "more than 0 MiB" in reader.problem
    assert storage == "mcap" or "are not a sensor_msgs/msg/Image" in counts.reason


def test_a_compressed_file_leaves_the_disk_some_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bag = bag_of(tmp_path / "bag", compression="file")
    free = shutil.disk_usage(tmp_path)._replace(free=0)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: free)
    with pytest.raises(BagError, match="takes more than the free space"):
        read(bag)


@pytest.mark.parametrize("table", ["messages", "topics"])
def test_a_table_that_is_computed_is_refused(tmp_path: Path, table: str) -> None:
    """A view is SQL of whoever made the file; this one never ends."""
    bag = bag_of(tmp_path / "bag")
    with sqlite3.connect(storage_file(bag)) as database:
        columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
        endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT "
        database.execute(f"ALTER TABLE {table} RENAME TO old")
        selected = ", ".join(f"x {column}" for column in columns)
        database.execute(f"CREATE VIEW {table} AS {endless}{selected} FROM n")
    with pytest.raises(BagError, match=f"its '{table}' is computed"):
        read(bag)


@pytest.mark.parametrize("name", ["metadata.yaml", "bag_1.db3"])
def test_a_pipe_in_a_bag_is_not_waited_for(tmp_path: Path, name: str) -> None:
    bag = bag_of(tmp_path / "bag")
    (bag / "metadata.yaml").unlink()
    os.mkfifo(bag / name)
    stamps, reader, _ = read(bag)
    assert stamps == list(range(60))
    assert "pipe" in reader.problem or "allowed: a file" in reader.notes[0]
