"""Which topics of a bag are read as cameras: chosen by what they hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from vljepa_ros.perception.bags.reading import COMPRESSED, RAW, BagReader, ImageTopic
from vljepa_ros.perception.frames import image_to_rgb
from vljepa_ros.perception.image_encodings import FrameError

ENDINGS = ("image_raw", "image_rect_color", "image_rect", "image_color", "image", "compressed")
TRANSPORTS = ("compressed", "compressedDepth", "zstd")
DEPTH = ("16UC1", "32FC1")
SAMPLES = 5
"""Images that are tried where two topics show the same camera."""


@dataclass(frozen=True)
class LeftOut:
    """A topic of images that is not read, and why."""

    topic: str
    messages: int
    reason: str

    def __str__(self) -> str:
        return f"{self.topic} ({self.messages} images): {self.reason}"


def choose_topics(
    reader: BagReader, wanted: Mapping[str, str] | None = None
) -> tuple[list[ImageTopic], list[LeftOut]]:
    """The topics that are read, with their cameras' names, and those that are not.

    Of a raw topic and its compressed doubles the one is read that has the most images that can be
    used, the raw one where they have as many.

    Args:
        reader: an open bag.
        wanted: topic -> camera; None: every camera's images, but no depth.

    Raises:
        BagError: a wanted topic is not there or is none of images; or no topic is left.
    """
    present = ", ".join(f"{topic} ({kind})" for topic, kind in sorted(reader.counts)) or "none"
    found = [
        ImageTopic(topic, kind, (wanted or {}).get(topic, ""), count)
        for (topic, kind), count in sorted(reader.counts.items())
        if kind in (RAW, COMPRESSED)
    ]
    if not found:
        raise reader.error(f"'{reader.path}' has no image topics; its topics: {present}")
    for name in wanted or ():
        kinds = [kind for topic, kind in reader.counts if topic == name]
        if not kinds:
            raise reader.error(f"'{reader.path}' has no topic '{name}'; its topics: {present}")
        if not {RAW, COMPRESSED} & set(kinds):
            raise reader.error(
                f"topic '{name}' of '{reader.path}' has no images but {kinds[0]}; topics with "
                f"images: {', '.join(one.topic for one in found)}"
            )
    usable: list[ImageTopic] = []
    left: list[LeftOut] = []
    for one in found:
        if wanted is None or one.topic in wanted:
            reason = _unusable(reader, one, depth=wanted is not None)
            if reason:
                left.append(LeftOut(one.topic, one.messages, reason))
            else:
                usable.append(one)
    if wanted is None:
        usable = list(_one_of_each_camera(reader, usable, left))
    if not usable:
        others = ", ".join(
            str(one.topic) for one in found if one.messages and one.topic not in (wanted or ())
        )
        hint = f"; topics not asked for: {others}" if wanted and others else ""
        raise reader.error(
            f"no image topic of '{reader.path}' can be used: {'; '.join(map(str, left))}{hint}"
        )
    return usable, left


def camera_of(topic: str) -> str:
    """A camera's name from its topic: `/front/image_raw/compressed` is `front`."""
    parts = [part for part in topic.split("/") if part]
    while len(parts) > 1 and parts[-1] in ENDINGS:
        parts.pop()
    return "_".join(parts)


def _unusable(reader: BagReader, topic: ImageTopic, depth: bool) -> str:
    """Why no image of a topic can be used, or empty; `depth`: depth is not looked for."""
    if not topic.messages:
        return "it holds no messages"
    serialization = reader.connections[topic.topic, topic.type].serialization
    if serialization != "cdr":
        return f"its messages are serialised as '{serialization}', allowed: cdr"
    sample = None if depth else next(filter(None, _samples(reader, topic)), None)
    if sample is not None:
        what = str(getattr(sample, "encoding", "") or getattr(sample, "format", "")).strip()
        if what.partition(";")[0].strip() in DEPTH or "compressedDepth" in (what + topic.topic):
            return f"depth, no picture ({what})"
    return ""


def _one_of_each_camera(
    reader: BagReader, topics: Iterable[ImageTopic], left: list[LeftOut]
) -> Iterator[ImageTopic]:
    """The fullest of the topics that show the same camera, with its name; fills `left`."""
    groups: dict[str, list[ImageTopic]] = {}
    for one in topics:
        base, _, last = one.topic.rpartition("/")
        groups.setdefault(base if last in TRANSPORTS else one.topic, []).append(one)
    names = Counter(camera_of(base) for base in groups)
    taken: Counter[str] = Counter()
    for base, members in groups.items():
        best = members[0]
        if len(members) > 1:
            best = max(members, key=lambda one: (_usable_images(reader, one), one.type == RAW))
        for one in members:
            if one is not best:
                reason = f"it shows the same camera as {best.topic} ({best.messages} images)"
                left.append(LeftOut(one.topic, one.messages, reason))
        name = camera_of(base)
        if names[name] > 1:
            name = base.strip("/").replace("/", "_")
        taken[name] += 1
        yield replace(best, camera=name if taken[name] == 1 else f"{name}_{taken[name]}")


def _usable_images(reader: BagReader, topic: ImageTopic) -> float:
    """How many images of a topic can be decoded, as its samples say."""
    tried = good = 0
    for message in _samples(reader, topic):
        tried += 1
        with suppress(FrameError):
            good += message is not None and image_to_rgb(message).size > 0
    return topic.messages * good / max(1, tried)


def _samples(reader: BagReader, topic: ImageTopic) -> Iterator[Any]:
    """Messages of a topic from SAMPLES times of the bag; None for one that is no message."""
    first, last = reader.span
    for part in range(SAMPLES):
        after = first + (last - first) * part // SAMPLES
        for _, _, data in reader.messages([(topic.topic, topic.type)], after):
            message = None
            with suppress(Exception):  # of struct, numpy, rosbags
                message = reader.deserialize(data, topic.type)
            yield message
            break
