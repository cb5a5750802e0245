"""Copies a bag and adds embeddings, labels and events."""

from __future__ import annotations

import heapq
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import numpy as np

from vljepa_ros.engines.protocol import Engine
from vljepa_ros.perception.bags.embedding import EmbeddedClip
from vljepa_ros.perception.bags.reading import BagError, BagReader
from vljepa_ros.perception.bags.segmentation import Scene, default_group
from vljepa_ros.perception.bags.storage import Connection
from vljepa_ros.perception.memory.row import one_line
from vljepa_ros.perception.scoring import score_group
from vljepa_ros.resources import share_dir

NAMESPACE = "vljepa"
MESSAGES = ("Label", "LabelGroup", "Embedding", "SceneLabels", "SceneEvent")
BAG_VERSION: Literal[8] = 8
"""Version of the metadata: Jazzy's. rosbags writes 8 and 9; older ROS reads the fields it knows."""

_Added = tuple[int, str, bytes]  # time of recording in nanoseconds, topic, message


def own_types() -> dict[str, Any]:
    """This package's message definitions, from msg/*.msg, for a typestore of rosbags."""
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
    """Copy `bag` to `out` and add the model's results, at the recording times of the images.

    Adds /vljepa/<camera>/embeddings, /vljepa/<camera>/labels (of the default query, if the model
    has some) and /vljepa/events. A copy that failed or was stopped is removed.

    Args:
        bag: file or folder.
        out: folder of the copy.
        scenes: scenes of the bag.
        engine: scores the labels.
        storage: sqlite3 or mcap.
        progress: called with the finished share, 0..1.

    Returns:
        Number of added messages.

    Raises:
        BagError: `out` exists, the disk refuses, or the bag cannot be read.
    """
    if out.exists():
        raise BagError(f"'{out}' exists; give a new name, nothing is overwritten")
    with BagReader(bag) as reader:
        try:
            return _copy(reader, out, scenes, engine, storage, progress)
        except BaseException as error:  # Ctrl-C too
            shutil.rmtree(out, ignore_errors=True)
            if isinstance(error, BagError) or not isinstance(error, Exception):
                raise
            reason = one_line(error)[:300]
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
    added = sorted(_added(scenes, engine, store), key=lambda one: one[0])
    plugin = StoragePlugin.MCAP if storage == "mcap" else StoragePlugin.SQLITE3
    first, last = reader.span
    with Writer(out, version=BAG_VERSION, storage_plugin=plugin) as writer:
        kept = {}
        for key, connection in reader.connections.items():
            definition, digest = _definition(connection, store)
            kept[key] = writer.add_connection(
                connection.topic,
                connection.type,
                msgdef=definition,
                rihs01=digest,
                serialization_format=connection.serialization,
                offered_qos_profiles=_offered(connection),
            )
        new = {}
        for topic, kind in _topics(scenes).items():
            if any(topic == taken for taken, _ in kept):
                raise BagError(f"the bag has a topic '{topic}' already: it is annotated")
            new[topic] = writer.add_connection(topic, kind, typestore=store)
        copied = ((time, kept[c.topic, c.type], data) for c, time, data in reader.messages(kept))
        ours = ((time, new[topic], data) for time, topic, data in added)
        for time, target, data in heapq.merge(ours, copied, key=lambda one: one[0]):
            writer.write(target, time, data)
            progress((time - first) / max(1, last - first))
    return len(added)


def _offered(connection: Connection) -> Any:
    from rosbags.rosbag2.metadata import parse_qos

    with suppress(Exception):  # of another version; the topic is copied nevertheless
        return parse_qos(connection.qos)
    return ()


def _definition(connection: Connection, store: Any) -> tuple[str, str]:
    """Definition and hash of a message: the bag's own, else Jazzy's, else those of an empty one."""
    from rosbags.typesys import Stores, get_typestore

    kind, own = connection.type, connection.definition
    if not own and kind in store.fielddefs:
        own, _ = store.generate_msgdef(kind, ros_version=2)
    for definition in (own, ""):
        with suppress(Exception):  # otherwise rosbags could not read the copy
            types = get_typestore(Stores.EMPTY)
            types.register(_parsed(definition, kind))
            return definition, types.hash_rihs01(kind)
    raise BagError(f"'{kind}' is not a message type")


def _parsed(definition: str, kind: str) -> Any:
    from rosbags.typesys import get_types_from_idl, get_types_from_msg

    line = "=" * 80 + "\n"
    if not definition.startswith(f"{line}IDL: "):
        return get_types_from_msg(definition, kind)
    types: dict[str, Any] = {}
    for part in definition.split(line)[1:]:
        types.update(get_types_from_idl(part.partition("\n")[2]))
    return types


def _topics(scenes: list[Scene]) -> dict[str, str]:
    """Added topic -> message type."""
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
    label = types["vljepa_ros/msg/Label"]
    sequences: Counter[str] = Counter()

    def time(nanoseconds: int) -> Any:
        seconds, rest = divmod(nanoseconds, 1_000_000_000)
        return types["builtin_interfaces/msg/Time"](sec=seconds, nanosec=rest)

    def message(topic: str, kind: str, clip: EmbeddedClip, **fields: Any) -> _Added:
        kind = f"vljepa_ros/msg/{kind}"
        made = types[kind](
            header=types["std_msgs/msg/Header"](stamp=time(clip.stamp), frame_id=clip.frame_id),
            camera=clip.camera,
            model_id=config.model_id,
            latency=0.0,
            **fields,
        )
        return clip.received, f"/{NAMESPACE}/{topic}", bytes(store.serialize_cdr(made, kind))

    for scene in scenes:
        for clip in scene.clips:
            yield message(
                f"{scene.camera}/embeddings",
                "Embedding",
                clip,
                clip_start=time(clip.start),
                query=config.default_query,
                in_domain=clip.in_domain,
                saturation=-1.0,
                vector=np.asarray(clip.vector, np.float32),
            )
            if group is not None:
                scored = score_group(clip.vector, group, config.calibration)
                yield message(
                    f"{scene.camera}/labels",
                    "SceneLabels",
                    clip,
                    vocabulary_version=0,
                    in_domain=clip.in_domain,
                    groups=[
                        types["vljepa_ros/msg/LabelGroup"](
                            prompt=scored.prompt,
                            none_score=scored.none_score,
                            labels=[
                                label(*one)
                                for one in zip(
                                    scored.labels, scored.scores, scored.similarities, strict=True
                                )
                            ],
                        )
                    ],
                )
        number = sequences[scene.camera]
        sequences[scene.camera] += 1
        yield message(
            "events",
            "SceneEvent",
            scene.clips[0],
            onset=time(scene.start),
            event_id=f"scene/{scene.camera}/{scene.clips[0].stamp}",
            sequence=number,
            corrects_sequence=number,
            reason=1 if number else 0,
            text=scene.text,
            previous_text=scene.previous_text,
            decoded=scene.decoded,
            confidence=scene.confidence,
            change=scene.change,
            in_domain=scene.in_domain,
            stale=False,
            age=types["builtin_interfaces/msg/Duration"](sec=0, nanosec=0),
            vector=np.zeros(0, np.float32),
        )
