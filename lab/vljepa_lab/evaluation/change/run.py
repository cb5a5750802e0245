"""`vljepa eval events`: detectors of change on streams of the simulated world, and synthetic."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from vljepa_lab.evaluation.change.detectors import anchor_drift
from vljepa_lab.evaluation.change.embedding import Progress, StreamSpec, embed_all, run_jobs
from vljepa_lab.evaluation.change.judge import PERTURBED, judge_alarms, judge_set, nest_by_gap
from vljepa_lab.evaluation.change.streams import ChangeStream, StreamConfig, synthetic_stream
from vljepa_lab.evaluation.change.world_streams import (
    SETS,
    WrittenText,
    set_specs,
    still_specs,
    stream_of,
)
from vljepa_lab.evaluation.quality.scenes import cache_folder
from vljepa_ros.engines.load import load_engine
from vljepa_ros.files import JsonMapping, JsonObject
from vljepa_ros.models.folder import load_config
from vljepa_ros.perception.change.anchor_drift import AnchorDriftConfig

SYNTHETIC_MIN_HOURS = 24.0  # of streams without events: they cost little
SYNTHETIC_MAX_STREAMS = 8  # of each set: they are long enough
SYNTHETIC_SEED = 1000  # and above: never used for tuning
STILL_SEED = SYNTHETIC_SEED + 500
SYNTHETIC_MINUTES = {"gap3": (3.0, 5.0), "gap12": (12.0, 5.0), "gap60": (60.0, 15.0)}
"""Mean seconds between two events, and minutes of each stream."""
STILL_SCENES = 24  # in which nothing happens
NO_EVENT_GAP_S = 1e9

SET_NAMES = tuple(f"{gap}{rest}" for gap in SETS for rest in ("", f".{PERTURBED}"))


Job = Callable[[], dict[str, Any]]
Source = Callable[[], list[ChangeStream]]


@dataclass(frozen=True)
class EventsConfig:
    """Size of an evaluation.

    Attributes:
        world, synthetic: which streams.
        sets: of each kind.
        streams: of each set.
        hours: of quiet stream for false alarms, over 24 scenes; a quarter as many are
            perturbed.
        seed: number of the first stream; numbers from 5000 on were used for tuning.
        draws: of the bootstrap.
        workers: processes that render, embed and judge.
        model, engine: what embeds.
    """

    world: bool = True
    synthetic: bool = True
    sets: tuple[str, ...] = SET_NAMES
    streams: int = 12
    hours: float = 24.0
    seed: int = 0
    draws: int = 1000
    workers: int = 1
    model: Path = Path("models/nano")
    engine: str = "auto"

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ValueError: a setting is out of its range.
        """
        for name, least in (("streams", 2), ("hours", 0), ("seed", 0), ("draws", 10)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}, allowed: at least {least}")
        for name in self.sets:
            if name not in SET_NAMES:
                raise ValueError(f"set {name}: none of {', '.join(SET_NAMES)}")
        if not (self.world or self.synthetic):
            raise ValueError("neither world nor synthetic streams: nothing to judge")


def run(config: EventsConfig, progress: Progress) -> JsonObject:
    """Judge all that is asked for; the JSON object of doc/change.md.

    With both kinds of streams the world's stand at the top and the others under `synthetic`.

    Raises:
        WorldError: mujoco is missing or cannot render.
        ModelError: the model cannot be loaded.
        ImportError: scikit-learn (extra `eval`) is missing.
    """
    result: dict[str, Any] = {"config": {**asdict(config), "model": config.model.name}}
    world = _world_jobs(config, progress) if config.world else []
    synthetic = synthetic_jobs(config) if config.synthetic else []
    # the longest come last and are begun first, so that no process is left alone with one of them
    jobs = [*world, *synthetic][::-1]
    parts = run_jobs(jobs, config.workers, "parts judged", progress)[::-1]
    if world:
        model_id = load_config(config.model).model_id
        result |= {"source": "world", "model_id": model_id} | merge(parts[: len(world)])
    if synthetic:
        judged = merge(parts[len(world) :])
        result |= {"synthetic": judged} if world else {"source": "synthetic"} | judged
    return result


def merge(parts: Sequence[JsonMapping]) -> JsonObject:
    """One result of several parts of the same kind of streams."""
    result: dict[str, Any] = {"false_alarms": {}, "streams": {}}
    for part in parts:
        for name, value in part.items():
            result[name] = result.get(name, {}) | value if isinstance(value, Mapping) else value
    return result | {"streams": nest_by_gap(result["streams"])}


def synthetic_jobs(config: EventsConfig) -> list[Job]:
    """Sets of synthetic streams, and hours of them in which nothing happens."""

    def source(seed: int, count: int, settings: StreamConfig) -> Source:
        return partial(_synthesize, settings, seed + config.seed, count)

    count = min(config.streams, SYNTHETIC_MAX_STREAMS)
    sets = {}
    for name in config.sets:
        gap, _, rest = name.partition(".")
        seconds, minutes = SYNTHETIC_MINUTES[gap]
        settings = StreamConfig(seconds, 60.0 * minutes, perturbed=bool(rest))
        sets[name] = source(SYNTHETIC_SEED, count, settings)
    hours = max(config.hours, SYNTHETIC_MIN_HOURS) if config.hours else 0.0
    still = {
        perturbed: source(
            STILL_SEED, STILL_SCENES, StreamConfig(NO_EVENT_GAP_S, seconds, perturbed=perturbed)
        )
        for perturbed, seconds in _still_seconds(hours).items()
    }
    return _jobs(sets, still, config.draws)


def _world_jobs(config: EventsConfig, progress: Progress) -> list[Job]:
    """The same of streams of the world, rendered and embedded first."""
    sets = {
        name: set_specs(gap, config.streams, config.seed, bool(rest))
        for name in config.sets
        for gap, _, rest in [name.partition(".")]
    }
    still = {
        perturbed: still_specs(STILL_SCENES, seconds, config.seed, perturbed)
        for perturbed, seconds in _still_seconds(config.hours).items()
    }
    folder = cache_folder("streams")
    specs = [spec for group in (*sets.values(), *still.values()) for spec in group]
    loaded = load_config(config.model)
    model = (config.model, config.engine, loaded.model_id)
    embed_all(specs, folder, model, config.workers, progress)

    def source(group: list[StreamSpec]) -> Source:
        return partial(_read_embedded, group, folder, config.model, config.engine)

    return _jobs(
        {name: source(group) for name, group in sets.items()},
        {perturbed: source(group) for perturbed, group in still.items()},
        config.draws,
        loaded.change_threshold,
    )


def _still_seconds(hours: float) -> dict[bool, float]:
    """Seconds of each scene in which nothing happens, quiet and perturbed ones."""
    seconds = 3600.0 * hours / STILL_SCENES
    return {False: seconds, True: seconds / 4} if hours else {}


def _jobs(
    sets: Mapping[str, Source],
    still: Mapping[bool, Source],
    draws: int,
    threshold: float = AnchorDriftConfig().threshold,
) -> list[Job]:
    jobs = [partial(_judge_set, name, source, draws, threshold) for name, source in sets.items()]
    alarms = (partial(_judge_alarms, shaken, source, threshold) for shaken, source in still.items())
    return [*jobs, *alarms]


def _synthesize(settings: StreamConfig, seed: int, count: int) -> list[ChangeStream]:
    return [synthetic_stream(settings, seed + i) for i in range(count)]


def _read_embedded(
    specs: Sequence[StreamSpec], folder: Path, model: Path, engine: str
) -> list[ChangeStream]:
    loaded = load_engine(model, engine, threads=1, parts=frozenset({"text", "decoder"}))
    read = WrittenText(loaded)
    return [stream_of(spec, folder, loaded, read) for spec in specs]


def _judge_set(name: str, source: Source, draws: int, threshold: float) -> JsonObject:
    return judge_set(name, source(), draws, anchor_drift(threshold))


def _judge_alarms(perturbed: bool, source: Source, threshold: float) -> JsonObject:
    streams, default = source(), anchor_drift(threshold)
    guarded = judge_alarms(streams, default=default)
    if not perturbed:
        return {"false_alarms": {"quiet": guarded}}
    unguarded = judge_alarms(streams, guarded=False, default=default)
    return {"false_alarms": {PERTURBED: guarded, "perturbed_no_guard": unguarded}}
