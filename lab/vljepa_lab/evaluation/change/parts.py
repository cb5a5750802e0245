"""The pieces of `vljepa eval events` that need nothing of each other: a set, a group of alarms.

Each returns its part of the result under the names of doc/change.md; `merged` puts them together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vljepa_lab.evaluation.change.cost import growth
from vljepa_lab.evaluation.change.embedding import Watch
from vljepa_lab.evaluation.change.judge import false_alarms, judge
from vljepa_lab.evaluation.change.streams import (
    ChangeStream,
    StreamConfig,
    synthetic_stream,
    without_events,
)
from vljepa_ros.engines.load import load_engine

Part = tuple[str, dict[str, Any]]  # what to do, with which arguments

SYNTHETIC_SEED = 1000  # and above: never used for tuning
SYNTHETIC_MINUTES = {"gap3": (3.0, 5.0), "gap12": (12.0, 5.0), "gap60": (60.0, 15.0)}
SCENES = 24  # in which nothing happens


def set_part(
    name: str,
    draws: int,
    *,
    watches: Sequence[Watch] | None = None,
    world: tuple[Path, Path, str] | None = None,
    streams: int = 0,
    seed: int = 0,
) -> Part:
    """A set of streams, `gap3.perturbed` for instance, judged in all ways.

    :param draws: of the bootstrap.
    :param watches: of the world; without them `streams` synthetic ones from `seed` on.
    :param world: folder of the embedded scenes, model folder, engine.
    """
    given = {"watches": watches, "world": world, "streams": streams, "seed": seed}
    return "set", {"name": name, "draws": draws, **given}


def alarms_part(
    name: str,
    *,
    watches: Sequence[Watch] | None = None,
    world: tuple[Path, Path, str] | None = None,
    hours: float = 0.0,
    seed: int = 0,
) -> Part:
    """Scenes in which nothing happens, `quiet` or `perturbed`; as in `set_part`.

    :param hours: of all synthetic scenes together.
    """
    given = {"watches": watches, "world": world, "hours": hours, "seed": seed}
    return "alarms", {"name": name, **given}


def growth_part(samples: int) -> Part:
    """Whether a detector grows over so many samples."""
    return "growth", {"samples": samples}


def work_on(part: Part) -> dict[str, Any]:
    """Do it, in whatever process."""
    what, given = part
    if what == "growth":
        return growth(**given)
    if what == "set":
        return _set(**given)
    return _alarms(**given)


def merged(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One result of several parts of the same kind of streams."""
    result: dict[str, Any] = {}
    for part in parts:
        for name, value in part.items():
            if isinstance(value, Mapping):
                result.setdefault(name, {}).update(value)
            else:
                result[name] = value
    return result


def _set(
    name: str,
    draws: int,
    watches: Sequence[Watch] | None,
    world: tuple[Path, Path, str] | None,
    streams: int,
    seed: int,
) -> dict[str, Any]:
    if watches is not None and world is not None:
        return judge({name: _watched(watches, *world)}, draws, lambda *_: None)
    kind, _, rest = name.partition(".")
    gap, minutes = SYNTHETIC_MINUTES[kind]
    settings = StreamConfig(gap=gap, seconds=60.0 * minutes, perturbed=bool(rest))
    made = [synthetic_stream(settings, SYNTHETIC_SEED + seed + i) for i in range(streams)]
    return judge({name: made}, draws, lambda *_: None)


def _alarms(
    name: str,
    watches: Sequence[Watch] | None,
    world: tuple[Path, Path, str] | None,
    hours: float,
    seed: int,
) -> dict[str, Any]:
    if watches is not None and world is not None:
        streams = _watched(watches, *world)
    else:
        settings = StreamConfig(seconds=3600.0 * hours / SCENES, perturbed=name == "perturbed")
        settings = without_events(settings)
        first = SYNTHETIC_SEED + seed + 500
        streams = [synthetic_stream(settings, first + i) for i in range(SCENES)]
    found = {name: false_alarms(streams)}
    if name == "perturbed":
        found["perturbed_no_guard"] = false_alarms(streams, guarded=False)
    return {"false_alarms": found}


def _watched(
    watches: Sequence[Watch], folder: Path, model: Path, engine: str
) -> list[ChangeStream]:
    from vljepa_lab.evaluation.change.world_streams import WrittenText, stream_of

    loaded = load_engine(model, engine, threads=1, parts=frozenset({"text", "decoder"}))
    read = WrittenText(loaded)
    return [stream_of(watch, folder, loaded, read) for watch in watches]
