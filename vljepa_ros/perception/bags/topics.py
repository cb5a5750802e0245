"""Chooses the topics of a bag that are read as cameras, by their contents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from vljepa_ros.perception.bags.reading import COMPRESSED, RAW, BagReader, ImageTopic
from vljepa_ros.perception.frames import image_to_rgb

ENDINGS = ("image_raw", "image_rect_color", "image_rect", "image_color", "image", "compressed")
TRANSPORTS = ("compressed", "compressedDepth", "zstd")
DEPTH = ("16UC1", "32FC1")
SAMPLES = 5
"""Images that are decoded to compare several topics of the same camera."""


@dataclass(frozen=True)
class LeftOut:
    """A topic of images that is not read, and the reason."""

    topic: str
    messages: int
    reason: str


def choose_topics(
    reader: BagReader, wanted: Mapping[str, str] | None = None
) -> tuple[list[ImageTopic], list[LeftOut]]:
    """Choose the topics to read, with their cameras' names; also returns the others.

    Of a raw topic and its compressed versions, the one with the most usable images is read; the raw
    one if they have equally many.

    Args:
        reader: an open bag.
        wanted: topic -> camera; None: the images of every camera, without depth.

    Raises:
        BagError: a wanted topic does not exist or has no images; or no topic is left.
    """
    topics = [
        ImageTopic(topic, kind, (wanted or {}).get(topic, ""), count)
        for (topic, kind), count in sorted(reader.counts.items())
        if kind in (RAW, COMPRESSED) and (wanted is None or topic in wanted)
    ]
    lacking = set(wanted or ()) - {one.topic for one in topics}
    if lacking or not topics:
        what = f"images in topic {', '.join(sorted(lacking))}" if lacking else "image topics"
        raise reader.error(f"'{reader.path}' has no {what}")
    left: list[LeftOut] = []
    groups: dict[str, list[ImageTopic]] = {}
    for one in topics:
        reason, _ = _look(reader, one, wanted is None, 1)
        if reason:
            left.append(LeftOut(one.topic, one.messages, reason))
            continue
        base, _, last = one.topic.rpartition("/")
        groups.setdefault(base if last in TRANSPORTS and not wanted else one.topic, []).append(one)
    if not groups:
        reasons = ", ".join(f"{one.topic}: {one.reason}" for one in left)
        raise reader.error(f"no image topic of '{reader.path}' can be used: {reasons}")
    chosen = []
    for members in groups.values():
        best = members[0]
        if len(members) > 1:
            shares = {one: _look(reader, one, False, SAMPLES)[1] for one in members}
            best = max(members, key=lambda one: (shares[one] * one.messages, one.type == RAW))
        chosen.append(best)
        same = f"it shows the same camera as {best.topic} ({best.messages} images)"
        left += [LeftOut(one.topic, one.messages, same) for one in members if one is not best]
    if wanted is None:
        chosen = [
            replace(one, camera=name)
            for one, name in zip(chosen, _camera_names(list(groups)), strict=True)
        ]
    return chosen, left


def camera_of(topic: str) -> str:
    """Derive a camera's name from its topic: `front` from `/front/image_raw/compressed`."""
    parts = [part for part in topic.split("/") if part]
    while len(parts) > 1 and parts[-1] in ENDINGS:
        parts.pop()
    return "_".join(parts)


def _camera_names(topics: list[str]) -> list[str]:
    """Names of all cameras; the whole topic if two would be equal."""
    names = [camera_of(topic) for topic in topics]
    for between in ("_", "__"):
        times = Counter(names)
        names = [
            name if times[name] == 1 else topic.strip("/").replace("/", between)
            for name, topic in zip(names, topics, strict=True)
        ]
    return names


def _look(reader: BagReader, topic: ImageTopic, depth: bool, samples: int) -> tuple[str, float]:
    """Why a topic is not read (or empty), and the share of its images that can be decoded.

    Args:
        reader: an open bag.
        topic: the topic.
        depth: whether depth is a reason.
        samples: number of images to try, distributed over the bag.
    """
    if not topic.messages:
        return "it holds no messages", 0.0
    serialization = reader.connections[topic.topic, topic.type].serialization
    if serialization != "cdr":
        return f"its messages are serialised as '{serialization}', allowed: cdr", 0.0
    first, last = reader.span
    good = 0
    for part in range(samples):
        after = first + (last - first) * part // samples
        data = next((found for *_, found in reader.messages([topic.key], after)), b"")
        with suppress(Exception):  # of struct, numpy, rosbags, or a FrameError
            message = reader.deserialize(data, topic.type)
            what = str(message.encoding if topic.type == RAW else message.format).strip()
            packed = "compressedDepth" in what + topic.topic
            if depth and (packed or what.partition(";")[0].strip() in DEPTH):
                return f"depth, no picture ({what})", 0.0
            image_to_rgb(message)
            good += 1
    return "", good / samples
