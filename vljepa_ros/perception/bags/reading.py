"""Images of a ROS 2 bag (sqlite3 or mcap), in the order in which they were recorded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vljepa_ros.perception.memory.row import one_line

RAW = "sensor_msgs/msg/Image"
COMPRESSED = "sensor_msgs/msg/CompressedImage"
ENDINGS = ("image_raw", "image_rect_color", "image_rect", "image_color", "image", "compressed")


class BagError(RuntimeError):
    """A bag that is missing, truncated or damaged, has no images, or cannot be written."""


@dataclass(frozen=True)
class ImageTopic:
    """A topic of images: its name in the bag, its camera's name, how many messages it has."""

    topic: str
    camera: str
    messages: int


@dataclass(frozen=True)
class BagImage:
    """One image message, not yet decoded.

    Attributes:
        camera: name.
        stamp: nanoseconds, of its header (of recording where that is 0).
        received: nanoseconds, time of recording.
        frame_id: of its header.
        message: sensor_msgs Image or CompressedImage.
    """

    camera: str
    stamp: int
    received: int
    frame_id: str
    message: Any


class BagReader:
    """An open bag; a context manager. `reader` is the reader of rosbags below.

    Raises:
        BagError: on entering: there is no bag, or it is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._stack = ExitStack()
        self.reader: Any = None

    def __enter__(self) -> BagReader:
        from rosbags.highlevel import AnyReader
        from rosbags.typesys import Stores, get_typestore

        if not self.path.exists():
            raise BagError(f"no bag at '{self.path}'")
        if self.path.suffix == ".bag":
            raise BagError(f"'{self.path}' is a ROS 1 bag; convert it: rosbags-convert")
        try:
            reader = AnyReader([self.path], default_typestore=get_typestore(Stores.ROS2_JAZZY))
            self.reader = self._stack.enter_context(reader)
        except Exception as error:
            raise self._broken(error, 0) from error
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    @property
    def span(self) -> tuple[int, int]:
        """Time of recording of the first and of the last message, nanoseconds."""
        if not self.reader.message_count:
            return 0, 0
        return int(self.reader.start_time), int(self.reader.end_time)

    def image_topics(self, wanted: Mapping[str, str] | None = None) -> list[ImageTopic]:
        """Topics of images and their cameras' names.

        Args:
            wanted: topic -> camera; None: all, a raw topic rather than its compressed double.

        Raises:
            BagError: a wanted topic is not there or has no images; or there is none at all.
        """
        types = {name: str(info.msgtype) for name, info in self.reader.topics.items()}
        images = {name: kind for name, kind in types.items() if kind in (RAW, COMPRESSED)}
        present = ", ".join(f"{name} ({kind})" for name, kind in sorted(types.items())) or "none"
        if not images:
            raise BagError(f"'{self.path}' has no image topics; its topics: {present}")
        if wanted is None:
            names = {
                name: camera_of(name)
                for name in sorted(images)
                if not (name.endswith("/compressed") and name[: -len("/compressed")] in images)
            }
            if len(set(names.values())) < len(names):
                names = {name: name.strip("/").replace("/", "_") for name in names}
        else:
            for name in wanted:
                if name not in types:
                    raise BagError(f"'{self.path}' has no topic '{name}'; its topics: {present}")
                if name not in images:
                    raise BagError(
                        f"topic '{name}' of '{self.path}' has no images but {types[name]}; "
                        f"topics with images: {', '.join(sorted(images))}"
                    )
            names = dict(wanted)
        topics = self.reader.topics
        return [
            ImageTopic(name, camera, int(topics[name].msgcount)) for name, camera in names.items()
        ]

    def images(self, topics: list[ImageTopic], after: int = 0) -> Iterator[BagImage]:
        """The images of some topics.

        Args:
            topics: of `image_topics`.
            after: nanoseconds, time of recording; earlier ones are left out.

        Raises:
            BagError: the bag is truncated or damaged at some place; what came before was yielded.
        """
        cameras = {topic.topic: topic.camera for topic in topics}
        connections = [c for c in self.reader.connections if c.topic in cameras]
        count = 0
        messages = self.reader.messages(connections, start=after or None)
        while True:
            try:
                connection, received, data = next(messages)
                message = self.reader.deserialize(data, connection.msgtype)
            except StopIteration:
                return
            except Exception as error:
                raise self._broken(error, count) from error
            count += 1
            header, camera = message.header, cameras[connection.topic]
            stamp = header.stamp.sec * 1_000_000_000 + header.stamp.nanosec
            yield BagImage(camera, stamp or received, received, header.frame_id, message)

    def _broken(self, error: Exception, count: int) -> BagError:
        after = f" after {count} images" if count else ""
        return BagError(
            f"bag '{self.path}' is truncated, damaged or no ROS 2 bag{after}: "
            f"{one_line(error)[:300]}; "
            "try: ros2 bag reindex (sqlite3) or mcap recover (mcap)"
        )


def camera_of(topic: str) -> str:
    """A camera's name from its topic: `/front/image_raw/compressed` is `front`."""
    parts = [part for part in topic.split("/") if part]
    while len(parts) > 1 and parts[-1] in ENDINGS:
        parts.pop()
    return "_".join(parts)
