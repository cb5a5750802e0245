"""Reads the image messages of a ROS 2 bag (sqlite3 or mcap), in the order of recording."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import yaml

from vljepa_ros.perception.bags.storage import Connection, Storage, StorageError, open_storage
from vljepa_ros.perception.memory.row import one_line

RAW = "sensor_msgs/msg/Image"
COMPRESSED = "sensor_msgs/msg/CompressedImage"
MOST_METADATA = 1 << 22  # bytes; YAML is slow to read
SUFFIXES = (".db3", ".mcap", ".db3.zstd", ".mcap.zstd")

Key = tuple[str, str]
"""Name and type of a topic."""


class BagError(RuntimeError):
    """A bag is missing or damaged, has no images, or cannot be written."""


@dataclass(frozen=True)
class ImageTopic:
    """A topic of images: name and type in the bag, camera, number of messages."""

    topic: str
    type: str
    camera: str
    messages: int

    @property
    def key(self) -> Key:
        """Its key in `BagReader.counts`."""
        return self.topic, self.type


@dataclass(frozen=True)
class BagImage:
    """One image message, not yet decoded.

    Attributes:
        camera: name.
        stamp: nanoseconds, from the header.
        received: nanoseconds, recording time.
        frame_id: frame_id of the header.
        message: sensor_msgs Image or CompressedImage.
    """

    camera: str
    stamp: int
    received: int
    frame_id: str
    message: Any


@dataclass
class ImageCounts:
    """Counts of one camera's images.

    Attributes:
        images: messages read.
        tried: messages that were decoded or refused; not every image is needed for a clip.
        broken: messages that were refused.
        reason: why the first was refused.
        note: how values or stamps were corrected; empty: they were not.
    """

    images: int = 0
    tried: int = 0
    broken: int = 0
    reason: str = ""
    note: str = ""

    def refuse(self, reason: str) -> None:
        """Count an image that cannot be used."""
        self.broken += 1
        self.reason = self.reason or reason


class BagReader:
    """An open bag; a context manager. It reads the storage files, not what metadata.yaml says.

    Attributes:
        path: folder or storage file.
        notes: what is unusual about the bag without loss of data.
        connections: one connection for each topic and type.
        counts: number of messages of each topic and type.

    Raises:
        BagError: on entering, if there is no bag, or nothing can be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.parent if path.name == "metadata.yaml" else path
        self.notes: list[str] = []
        self.connections: dict[Key, Connection] = {}
        self.counts: Counter[Key] = Counter()
        self._problems: list[str] = []
        self._storages: list[Storage] = []
        self._stack = ExitStack()
        self._types: Any = None

    def __enter__(self) -> BagReader:
        from rosbags.typesys import Stores, get_typestore

        self._types = get_typestore(Stores.ROS2_JAZZY)
        with ExitStack() as stack:
            for file in self._files():
                try:
                    self._storages.append(open_storage(file, stack))
                except StorageError as error:
                    self._problems.append(str(error))
            if not self._storages:
                raise BagError("; ".join(self._problems))
            self._stack = stack.pop_all()
        for storage in self._storages:
            for identity, one in storage.connections.items():
                self.connections.setdefault((one.topic, one.type), one)
                self.counts[one.topic, one.type] += storage.counts[identity]
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    @property
    def problem(self) -> str:
        """Why a part of the bag is lost, as far as it has been read; empty: nothing is lost."""
        found = [*self._problems, *(storage.problem for storage in self._storages)]
        return "; ".join(one for one in found if one)

    def error(self, reason: str) -> BagError:
        """An error about the bag, with everything that is known about it."""
        topics = [f"{topic} ({kind}, {n})" for (topic, kind), n in sorted(self.counts.items())]
        present = f"its topics: {', '.join(topics) or 'none'}"
        return BagError("; ".join(filter(None, [reason, present, self.problem, *self.notes])))

    @property
    def span(self) -> tuple[int, int]:
        """Recording times of the first and the last message, nanoseconds."""
        spans = [storage.span for storage in self._storages if storage.counts]
        return min((s[0] for s in spans), default=0), max((s[1] for s in spans), default=0)

    def messages(
        self, keys: Collection[Key], after: int = 0
    ) -> Iterator[tuple[Connection, int, bytes]]:
        """(connection, recording time in nanoseconds, CDR) of each message of some topics.

        Args:
            keys: names and types of the topics.
            after: nanoseconds, recording time; earlier messages are skipped.
        """
        for storage in self._storages:
            here = {
                identity: one
                for identity, one in storage.connections.items()
                if (one.topic, one.type) in keys and storage.counts[identity]
            }
            if here:
                for identity, time, data in storage.messages(here, after):
                    yield here[identity], time, data

    def deserialize(self, data: bytes, kind: str) -> Any:
        """Deserialise an image message; damaged data raises errors of many kinds."""
        return self._types.deserialize_cdr(data, kind)

    def images(
        self, topics: Iterable[ImageTopic], counts: Mapping[str, ImageCounts], after: int = 0
    ) -> Iterator[BagImage]:
        """The images of some topics.

        Args:
            topics: topics from `choose_topics`.
            counts: camera -> counts, which are updated, also for data that is not a message.
            after: nanoseconds, recording time; earlier images are skipped.
        """
        cameras = {topic.key: topic.camera for topic in topics}
        for connection, received, data in self.messages(cameras, after):
            camera = cameras[connection.topic, connection.type]
            counts[camera].images += 1
            try:
                message = self.deserialize(data, connection.type)
            except Exception as error:  # of struct, numpy, rosbags
                counts[camera].tried += 1
                reason = f"{len(data)} bytes are not a {connection.type}: {one_line(error)[:200]}"
                counts[camera].refuse(reason)
                continue
            header = message.header
            stamp = header.stamp.sec * 1_000_000_000 + header.stamp.nanosec
            yield BagImage(camera, stamp, received, header.frame_id, message)

    def _files(self) -> list[Path]:
        """Find the storage files, in the order of recording."""
        path = self.path
        try:
            if not path.is_dir():
                if not path.exists():
                    raise BagError(f"no bag at '{path}'")
                if path.suffix == ".bag":
                    raise BagError(f"'{path}' is a ROS 1 bag; convert it: rosbags-convert")
                return [path]
            there = [file.name for file in path.iterdir() if file.name.endswith(SUFFIXES)]
            inner = sorted(file.parent.name for file in path.glob("*/metadata.yaml"))
        except OSError as error:
            raise BagError(f"'{path}' cannot be read: {error.strerror or error}") from error
        listed = self._listed() if there else []
        # Playing a compressed file leaves an uncompressed one beside it.
        chosen: dict[str, str] = {}
        for name in sorted(there, key=_natural):
            if name in listed or _stem(name) not in chosen:
                chosen[_stem(name)] = name
        missing = [name for name in listed if _stem(name) not in chosen]
        if missing:
            some = ", ".join(missing[:9]) + (", ..." if missing[9:] else "")
            self._problems.append(f"'{path}' lacks {some}, which its metadata names")
        if not chosen:
            hint = f"; folders in it that have: {', '.join(inner)}" if inner else ""
            raise BagError(
                f"no bag in '{path}': no file there ends with {', '.join(SUFFIXES)}{hint}"
            )
        return [path / name for name in chosen.values()]

    def _listed(self) -> list[str]:
        """Names of the storage files in metadata.yaml, if it can be read."""
        try:
            file = self.path / "metadata.yaml"
            if (state := file.stat()).st_size > MOST_METADATA or not file.is_file():
                raise ValueError(f"{state.st_size} bytes, allowed: a file of {MOST_METADATA}")
            document = yaml.safe_load(file.read_text(encoding="utf-8"))
            found = document["rosbag2_bagfile_information"]["relative_file_paths"]
            return [PurePath(name).name for name in found if isinstance(name, str)]
        except FileNotFoundError:
            self.notes.append(
                f"'{self.path}' has no metadata.yaml: the recording was not ended properly; its "
                "storage files are read without it"
            )
        except Exception as error:  # of the disk, of YAML, or a value of another type
            self.notes.append(
                f"the metadata.yaml of '{self.path}' cannot be used ({one_line(error)[:200]}); the "
                "storage files are read without it"
            )
        return []


def _stem(name: str) -> str:
    return name.removesuffix(".zstd")


def _natural(name: str) -> list[tuple[int, str]]:
    """Key for sorting bag_2 before bag_10."""
    return [
        (int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)
    ]
