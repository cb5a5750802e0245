"""Bags with metadata and storage files that are wrong: read, or refused with BagError."""

from __future__ import annotations

import atexit
import copy
import functools
import shutil
import tempfile
from pathlib import Path
from random import Random
from typing import Any

import yaml
from colour_bag import images, write_messages

from vljepa_ros.perception.bags.reading import RAW, BagError, BagReader, ImageCounts
from vljepa_ros.perception.bags.topics import choose_topics

COUNT = 12
KINDS = {
    "db3": ("sqlite3", "none"),
    "mcap": ("mcap", "none"),
    "message": ("sqlite3", "message"),
    "chunk": ("mcap", "storage"),
    "db3.zstd": ("sqlite3", "file"),
    "mcap.zstd": ("mcap", "file"),
}
VALUES: tuple[Any, ...] = (
    *(None, True, -1, 0, 2**70, 1.5, float("nan"), "", "a", "../../x", "zstd", "FILE"),
    *([], [1, "a", None], {}, {"a": {}}, "mcap", "sqlite3", 9, 10, "rmw_dds_common/x"),
)
SNIPPETS = ("", "", "\t", "{", "\x00", "\ufeff", "- :", "&a", "*a", "!!python/none", "%", "\ud83d")


@functools.cache
def place() -> Path:
    folder = tempfile.mkdtemp(prefix="vljepa-fuzz-")
    atexit.register(shutil.rmtree, folder)
    return Path(folder)


@functools.cache
def whole(kind: str) -> tuple[str, bytes, str]:
    """Name and content of the storage file, and the metadata, of a good bag."""
    storage, compression = KINDS[kind]
    topics = {("/front/image_raw", RAW): images(COUNT)}
    bag = write_messages(place() / kind, topics, storage=storage, compression=compression)
    (file,) = (path for path in bag.iterdir() if path.name != "metadata.yaml")
    return file.name, file.read_bytes(), (bag / "metadata.yaml").read_text()


def read(name: str, data: bytes, metadata: bytes | None) -> tuple[int, ImageCounts, BagReader]:
    """Images of a bag, their counts, and the closed reader."""
    with tempfile.TemporaryDirectory(dir=place()) as folder:
        Path(folder, name).write_bytes(data)
        if metadata is not None:
            Path(folder, "metadata.yaml").write_bytes(metadata)
        counts = ImageCounts()
        with BagReader(Path(folder)) as reader:
            topics, _ = choose_topics(reader)
            cameras = {topic.camera: counts for topic in topics}
            return sum(1 for _ in reader.images(topics, cameras)), counts, reader


def metadata(random: Random) -> str:
    name, data, text = whole(random.choice(("db3", "mcap", "db3.zstd")))
    document = copy.deepcopy(_parsed(text))
    for _ in range(random.randrange(4)):
        spot = document
        while True:
            keys = list(spot) if isinstance(spot, dict) else range(len(spot))
            if not keys:
                break
            key = random.choice(keys)
            if isinstance(spot[key], (dict, list)) and random.random() < 0.7:
                spot = spot[key]
                continue
            if isinstance(spot, dict) and random.random() < 0.4:
                del spot[key]
            else:
                spot[key] = random.choice(VALUES)
            break
    text = yaml.safe_dump(document)
    at = random.randrange(len(text) + 1)
    text = text[:at] + random.choice(SNIPPETS) + text[at + random.choice((0, 0, 1, 99)) :]
    found, counts, reader = read(name, data, text.encode("utf-8", "surrogatepass"))
    assert (found, counts.broken) == (COUNT, 0), reader.problem
    return "read, with a word" if reader.problem or reader.notes else "read"


@functools.cache
def _parsed(text: str) -> Any:
    return yaml.safe_load(text)


def storage(random: Random) -> str:
    name, data, _ = whole(random.choice(list(KINDS)))
    harmed = bytearray(data)
    cut = random.random() < 0.5
    if cut:
        del harmed[random.randrange(len(data)) :]
    for _ in range(random.choice((0, 1, 1, 4)) if cut else random.choice((1, 1, 4))):
        at = random.randrange(len(harmed) + 1)
        piece = random.choice((b"\0", b"\xff", random.randbytes(8), bytes(4096)))
        harmed[at : at + len(piece)] = piece
    try:
        found, counts, reader = read(name, bytes(harmed), None)
    except BagError as error:
        return "refused" if str(error) else "refused without a reason"
    assert found <= COUNT
    if found == COUNT:
        return "all read"
    # SQLite has no checksums: a page whose count of rows is overwritten hides them
    assert counts.broken or reader.problem or "db3" in name, "images are missing without a word"
    return "some read"


TARGETS = {"bag metadata": metadata, "bag storage": storage}
