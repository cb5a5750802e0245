"""Bags for the tests: a camera that sees one colour after another, 10 images a second."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from colour_engine import COLOURS
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from vljepa_ros.perception.bags.reading import RAW, BagReader, ImageCounts
from vljepa_ros.perception.bags.topics import choose_topics

SECOND = 1_000_000_000
BEGIN = 1_700_000_000 * SECOND
"""Header stamp of the first image; it is recorded 20 ms later."""
LATE = SECOND // 50
STORE = get_typestore(Stores.ROS2_JAZZY)
T = STORE.types


def header(stamp: int, frame_id: str = "front_optical") -> Any:
    seconds, rest = divmod(stamp, SECOND)
    time = T["builtin_interfaces/msg/Time"](sec=seconds, nanosec=rest)
    return T["std_msgs/msg/Header"](stamp=time, frame_id=frame_id)


def write_bag(
    path: Path,
    scenes: Sequence[tuple[str, float]],
    *,
    storage: str = "sqlite3",
    compressed: bool = False,
    topics: Sequence[str] = ("/front/image_raw",),
    rate: float = 10.0,
    encoding: str = "rgb8",
    text_topic: bool = True,
) -> Path:
    """scenes: colour and seconds of each."""
    kind = "sensor_msgs/msg/CompressedImage" if compressed else "sensor_msgs/msg/Image"
    plugin = StoragePlugin.MCAP if storage == "mcap" else StoragePlugin.SQLITE3
    with Writer(path, version=8, storage_plugin=plugin) as writer:
        images = [writer.add_connection(topic, kind, typestore=STORE) for topic in topics]
        texts = None
        if text_topic:
            texts = writer.add_connection("/chatter", "std_msgs/msg/String", typestore=STORE)
        number = 0
        for colour, seconds in scenes:
            rgb = np.full((24, 32, 3), COLOURS[colour], np.uint8)
            for _ in range(round(seconds * rate)):
                stamp = BEGIN + round(number * SECOND / rate)
                number += 1
                for connection in images:
                    message = image(stamp, rgb, compressed, encoding)
                    data = STORE.serialize_cdr(message, kind)
                    writer.write(connection, stamp + LATE, data)
            if texts is not None:
                said = T["std_msgs/msg/String"](data=f"after {colour}")
                data = STORE.serialize_cdr(said, "std_msgs/msg/String")
                writer.write(texts, BEGIN + round(number * SECOND / rate), data)
    return path


def write_messages(
    path: Path,
    topics: dict[tuple[str, str], Sequence[tuple[int, Any]]],
    *,
    storage: str = "sqlite3",
    compression: str = "none",
) -> Path:
    """topics: (name, type) -> (time of recording, message or CDR); compression: none, file or
    message."""
    plugin = StoragePlugin.MCAP if storage == "mcap" else StoragePlugin.SQLITE3
    writer = Writer(path, version=8, storage_plugin=plugin)
    writer.set_compression(CompressionMode[compression.upper()], CompressionFormat.ZSTD)
    with writer:
        rows = []
        for (topic, kind), messages in topics.items():
            connection = writer.add_connection(topic, kind, typestore=STORE)
            rows += [(time, connection, message) for time, message in messages]
        for time, connection, message in sorted(rows, key=lambda row: row[0]):
            cdr = message
            if not isinstance(message, bytes):
                cdr = STORE.serialize_cdr(message, connection.msgtype)
            writer.write(connection, time, cdr)
    return path


def images(
    count: int, colour: str = "red", *, compressed: bool = False, start: int = 0, **fields: Any
) -> list[tuple[int, Any]]:
    """`count` images at 10 Hz, with times of recording; `fields` are set in each message."""
    rgb = np.full((24, 32, 3), COLOURS[colour], np.uint8)
    found = []
    for number in range(start, start + count):
        stamp = BEGIN + number * SECOND // 10
        message = image(stamp, rgb, compressed)
        for name, value in fields.items():
            setattr(message, name, value)
        found.append((stamp + LATE, message))
    return found


def image(stamp: int, rgb: np.ndarray, compressed: bool, encoding: str = "rgb8") -> Any:
    if compressed:
        _, data = cv2.imencode(".jpg", np.ascontiguousarray(rgb[..., ::-1]))
        return T["sensor_msgs/msg/CompressedImage"](
            header=header(stamp), format="jpeg", data=data.reshape(-1)
        )
    height, width = rgb.shape[:2]
    return T["sensor_msgs/msg/Image"](
        header=header(stamp),
        height=height,
        width=width,
        encoding=encoding,
        is_bigendian=0,
        step=3 * width,
        data=np.ascontiguousarray(rgb).reshape(-1),
    )


FRONT = ("/front/image_raw", RAW)
STORAGES = ["sqlite3", "mcap"]


def read(bag: Path) -> tuple[list[int], BagReader, ImageCounts]:
    """Stamps in tenths of a second since BEGIN, the closed reader, and the counts."""
    counts = ImageCounts()
    with BagReader(bag) as reader:
        topics, _ = choose_topics(reader)
        found = [
            round((image.stamp - BEGIN) / SECOND * 10)
            for image in reader.images(topics, {topics[0].camera: counts})
        ]
    return found, reader, counts


def bag_of(path: Path, count: int = 60, **options: Any) -> Path:
    return write_messages(path, {FRONT: images(count)}, **options)


def storage_file(bag: Path) -> Path:
    (file,) = (file for file in bag.iterdir() if file.name != "metadata.yaml")
    return file
