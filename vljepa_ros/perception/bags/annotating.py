"""A copy of a bag with embeddings, labels and events beside the original topics."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from vljepa_ros.engines.protocol import Engine
from vljepa_ros.perception.bags.failure import BagError
from vljepa_ros.perception.bags.reading import BagReader
from vljepa_ros.perception.bags.scenes import Scene, default_group
from vljepa_ros.perception.scoring import score_group
from vljepa_ros.resources import share_dir

FORMATS = ("sqlite3", "mcap")
NAMESPACE = "vljepa"
MESSAGES = ("Embedding", "SceneLabels", "SceneEvent")
BAG_VERSION: Literal[8] = 8
"""Metadata of Jazzy; rosbags writes 8 and 9, older ROS reads the fields that it knows."""


@dataclass(frozen=True)
class _Added:
    """A message to be written: topic, time of recording in nanoseconds, its bytes."""

    topic: str
    received: int
    data: bytes


def own_types() -> dict[str, Any]:
    """Our message definitions, from msg/*.msg, for a rosbags typestore."""
    from rosbags.typesys import get_types_from_msg

    types: dict[str, Any] = {}
    for name in MESSAGES:
        text = (share_dir() / "msg" / f"{name}.msg").read_text(encoding="utf-8")
        types.update(get_types_from_msg(text, f"vljepa_ros/msg/{name}"))
    return types


def annotate_bag(
    bag: Path,
    out: Path,
    scenes: list[Scene],
    engine: Engine,
    storage: str,
    progress: Callable[[float], None] = lambda share: None,
) -> int:
    """Copy `bag` to `out` and add what the model saw, at the times of recording of the images.

    Adds /vljepa/<camera>/embeddings, /vljepa/<camera>/labels (of the default
    query, where the model has some) and /vljepa/events. A copy that fails is removed.

    :param storage: one of FORMATS.
    :return: messages added.
    :raises BagError: `out` exists, the disk refuses, or the bag cannot be read.
    """
    if storage not in FORMATS:
        raise BagError(f"storage is '{storage}', allowed: {', '.join(FORMATS)}")
    if out.exists():
        raise BagError(f"'{out}' exists; give a new name, nothing is overwritten")
    with BagReader(bag) as reader:
        try:
            return _copy(reader, out, scenes, engine, storage, progress)
        except Exception as error:
            import shutil

            shutil.rmtree(out, ignore_errors=True)
            if isinstance(error, BagError):
                raise
            reason = " ".join(str(error).split())[:300] or type(error).__name__
            raise BagError(f"cannot copy '{bag}' to '{out}': {reason}") from error


def _copy(
    reader: BagReader,
    out: Path,
    scenes: list[Scene],
    engine: Engine,
    storage: str,
    progress: Callable[[float], None],
) -> int:
    from rosbags.rosbag2 import StoragePlugin, Writer
    from rosbags.typesys import Stores, get_typestore

    store = get_typestore(Stores.ROS2_JAZZY)
    store.register(own_types())
    source = reader.reader
    added = sorted(_added(scenes, engine, store), key=lambda one: one.received)
    plugin = StoragePlugin.MCAP if storage == "mcap" else StoragePlugin.SQLITE3
    first, last = reader.span
    with Writer(out, version=BAG_VERSION, storage_plugin=plugin) as writer:
        kept = {}
        for connection in source.connections:
            kept[connection.id, connection.topic] = writer.add_connection(
                connection.topic,
                connection.msgtype,
                typestore=source.typestore,
                serialization_format=connection.ext.serialization_format,
                offered_qos_profiles=connection.ext.offered_qos_profiles,
            )
        new = {}
        for topic, kind in _topics(scenes).items():
            if any(connection.topic == topic for connection in source.connections):
                raise BagError(f"the bag has a topic '{topic}' already: it is annotated")
            new[topic] = writer.add_connection(topic, kind, typestore=store)
        position = 0
        for connection, received, data in source.messages():
            while position < len(added) and added[position].received <= received:
                one = added[position]
                writer.write(new[one.topic], one.received, one.data)
                position += 1
            writer.write(kept[connection.id, connection.topic], received, data)
            progress((received - first) / max(1, last - first))
        for one in added[position:]:
            writer.write(new[one.topic], one.received, one.data)
    return len(added)


def _topics(scenes: list[Scene]) -> dict[str, str]:
    """topic -> message type of what is added."""
    topics = {}
    for camera in sorted({scene.camera for scene in scenes}):
        topics[f"/{NAMESPACE}/{camera}/embeddings"] = "vljepa_ros/msg/Embedding"
        topics[f"/{NAMESPACE}/{camera}/labels"] = "vljepa_ros/msg/SceneLabels"
    topics[f"/{NAMESPACE}/events"] = "vljepa_ros/msg/SceneEvent"
    return topics


def _added(scenes: list[Scene], engine: Engine, store: Any) -> Iterator[_Added]:
    types = store.types
    config = engine.config
    group = default_group(engine)
    sequences: dict[str, int] = {}

    def message(topic: str, received: int, kind: str, **fields: Any) -> _Added:
        made = types[kind](**fields)
        return _Added(f"/{NAMESPACE}/{topic}", received, bytes(store.serialize_cdr(made, kind)))

    def time(nanoseconds: int) -> Any:
        seconds, rest = divmod(nanoseconds, 1_000_000_000)
        return types["builtin_interfaces/msg/Time"](sec=seconds, nanosec=rest)

    for scene in scenes:
        number = sequences.get(scene.camera, 0)
        sequences[scene.camera] = number + 1
        for clip in scene.clips:
            header = types["std_msgs/msg/Header"](stamp=time(clip.stamp), frame_id=clip.frame_id)
            common = {"header": header, "camera": scene.camera, "model_id": config.model_id}
            yield message(
                f"{scene.camera}/embeddings",
                clip.received,
                "vljepa_ros/msg/Embedding",
                **common,
                clip_start=time(clip.start),
                query=config.default_query,
                latency=0.0,
                vector=np.asarray(clip.vector, np.float32),
            )
            if group is not None:
                scored = score_group(clip.vector, group, config.calibration)
                yield message(
                    f"{scene.camera}/labels",
                    clip.received,
                    "vljepa_ros/msg/SceneLabels",
                    **common,
                    vocabulary_version=0,
                    latency=0.0,
                    prompts=[scored.prompt] * len(scored.labels),
                    labels=list(scored.labels),
                    scores=scored.scores,
                    similarities=scored.similarities,
                )
        first = scene.clips[0]
        header = types["std_msgs/msg/Header"](stamp=time(first.stamp), frame_id=first.frame_id)
        common = {"header": header, "camera": scene.camera, "model_id": config.model_id}
        yield message(
            "events",
            first.received,
            "vljepa_ros/msg/SceneEvent",
            **common,
            onset=time(scene.start),
            sequence=number,
            reason=1 if number else 0,
            text=scene.text,
            previous_text=scene.previous_text,
            decoded=scene.decoded,
            confidence=scene.confidence,
            change=scene.change,
            label=scene.label,
            label_score=scene.label_score,
            latency=0.0,
            vector=np.zeros(0, np.float32),
        )
