"""Streams of the simulated world as a model embeds them, with what was true."""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vljepa_lab.evaluation.change.embedding import (
    ScenePlan,
    StreamSpec,
    load_embedded,
    load_scene,
)
from vljepa_lab.evaluation.change.measures import GRACE_S
from vljepa_lab.evaluation.change.streams import ChangeStream, Event
from vljepa_lab.world.captions import event_key, key_of
from vljepa_ros.engines.protocol import Engine

SETS = {"gap3": (3.0, 150.0), "gap12": (12.0, 300.0), "gap60": (60.0, 900.0)}
"""Mean seconds between two events, and seconds of each stream."""
STRONG = ("lights", "door", "person")
"""How the kinds of events that change much of the picture begin."""
STILL_SCENE_S = 300.0  # of a scene in which nothing happens, before its frames come again
STILL_GAP_S = 3600.0
_BATCH = 64  # vectors in one pass of the Y-Decoder


class WrittenText:
    """A `TextReader` that asks the Y-Decoder, once for each embedding.

    A key gets the next index when it is first met.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._index: dict[str, int] = {}
        self._read: dict[bytes, int] = {}

    def index(self, key: str) -> int:
        """Index of a semantic key."""
        return self._index.setdefault(key, len(self._index))

    def __call__(self, vectors: NDArray[np.float32]) -> NDArray[np.intp]:
        """See `TextReader`."""
        names = [blake2b(vector.tobytes(), digest_size=16).digest() for vector in vectors]
        new = [i for i, name in enumerate(names) if name not in self._read]
        for start in range(0, len(new), _BATCH):
            some = new[start : start + _BATCH]
            for i, written in zip(some, self._engine.generate(vectors[some]), strict=True):
                key = key_of(written.text)
                self._read[names[i]] = -1 if key is None else self.index(key)
        return np.array([self._read[name] for name in names], dtype=np.intp)


def set_specs(kind: str, streams: int, first: int, perturbed: bool) -> list[StreamSpec]:
    """Scenes of one set, `gap3` for instance, numbered from `first`."""
    gap, seconds = SETS[kind]
    plans = [ScenePlan(kind, first + i, gap, seconds) for i in range(streams)]
    return [StreamSpec(plan, perturbed, seconds) for plan in plans]


def still_specs(scenes: int, seconds: float, first: int, perturbed: bool) -> list[StreamSpec]:
    """Scenes in which nothing happens, `seconds` of each."""
    length = min(STILL_SCENE_S, seconds)
    plans = [ScenePlan("still", first + i, STILL_GAP_S, length) for i in range(scenes)]
    return [StreamSpec(plan, perturbed, seconds) for plan in plans]


def stream_of(spec: StreamSpec, folder: Path, engine: Engine, read: WrittenText) -> ChangeStream:
    """An embedded scene with its truth.

    Raises:
        FileNotFoundError: it has not been rendered and embedded.
    """
    scene = load_scene(spec.plan, folder)
    seen = load_embedded(spec, folder, engine.config.model_id)
    config = engine.config
    # begins and ends where no event is, so that each event is there from its onset on
    stamps = seen["stamps"]
    first, last = float(stamps[0]), float(stamps[-1])
    for one in scene.events:
        if one.start <= first:
            first = max(first, one.end + GRACE_S)
    last = min([last, *(one.start for one in scene.events if one.end + GRACE_S > last)])
    kept = (stamps >= first) & (stamps < last)
    first = float(stamps[kept][0])
    events = tuple(
        Event(
            one.start,
            one.end,
            read.index(event_key(one.kind, one.object)),
            one.kind.startswith(STRONG),
        )
        for one in scene.events
        if first <= one.start < last
    )
    return ChangeStream(
        **{name: column[kept] for name, column in seen.items()},
        clip=config.frame_interval * (config.clip_frames - 1),
        read=read,
        events=events,
        states=tuple(
            (since, frozenset(read.index(key) for key in (event_key("nothing"), *keys)))
            for since, keys in scene.states
        ),
        end=last,
    )
