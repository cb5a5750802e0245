"""`vljepa eval events`: detectors of change on streams of the simulated world, and synthetic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vljepa_ros.engines.load import load_engine
from vljepa_ros.evaluation.change_cost import cost
from vljepa_ros.evaluation.change_endurance import endure
from vljepa_ros.evaluation.change_eval import Progress, false_alarms, judge
from vljepa_ros.evaluation.change_names import nested
from vljepa_ros.evaluation.change_streams import (
    ChangeStream,
    StreamConfig,
    synthetic_stream,
    without_events,
)
from vljepa_ros.evaluation.change_verdicts import verdicts

__all__ = ["EventsConfig", "run"]

SYNTHETIC_SEED = 1000  # and above: never used for tuning
SYNTHETIC_MINUTES = {"gap3": (3.0, 5.0), "gap12": (12.0, 5.0), "gap60": (60.0, 15.0)}
SCENES = 24  # in which nothing happens
DAY = 24.0  # hours of synthetic streams, at least: they cost little


@dataclass(frozen=True)
class EventsConfig:
    """Size of an evaluation.

    world, synthetic: which streams. streams: of each set. hours: of quiet stream for false alarms,
    over 24 scenes; a quarter as many are perturbed. seed: number of the first stream; numbers from
    5000 on were used for tuning. draws: of the bootstrap. samples: through one detector, to see
    whether it grows. workers: processes that render and embed. model, engine: what embeds.
    """

    world: bool = True
    synthetic: bool = True
    streams: int = 8
    hours: float = 24.0
    seed: int = 0
    draws: int = 1000
    samples: int = 200_000
    workers: int = 1
    model: Path = Path("models/nano")
    engine: str = "auto"

    def __post_init__(self) -> None:
        """Check the ranges.

        :raises ValueError: a setting is out of its range.
        """
        for name, least in (("streams", 2), ("hours", 0), ("seed", 0), ("draws", 10)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}, allowed: at least {least}")
        if not (self.world or self.synthetic):
            raise ValueError("neither world nor synthetic streams: nothing to judge")


def run(config: EventsConfig, progress: Progress) -> dict[str, Any]:
    """Judge all that is asked for; the JSON object of doc/change.md.

    With both kinds of streams the world's stand at the top and the others under `synthetic`.

    :raises WorldError: mujoco is missing or cannot render.
    :raises ModelError: the model cannot be loaded.
    :raises ImportError: scikit-learn (extra `eval`) is missing.
    """
    result: dict[str, Any] = {"config": {**asdict(config), "model": config.model.name}}
    if config.world:
        result |= {"source": "world"} | _world(config, progress)
    if config.synthetic:
        made = _synthetic(config, progress)
        if config.world:
            result["synthetic"] = made
        else:
            result |= {"source": "synthetic"} | made
    result["cost"] = cost(config.samples, progress)
    result["endurance"] = endure(progress)
    result["must_show"] = verdicts(result)
    return nested(result)


def _synthetic(config: EventsConfig, progress: Progress) -> dict[str, Any]:
    seed = SYNTHETIC_SEED + config.seed
    sets = {}
    for kind, (gap, minutes) in SYNTHETIC_MINUTES.items():
        for perturbed in (False, True):
            settings = StreamConfig(gap=gap, seconds=60.0 * minutes, perturbed=perturbed)
            streams = [synthetic_stream(settings, seed + i) for i in range(config.streams)]
            sets[f"{kind}.perturbed" if perturbed else kind] = streams
    result = judge(sets, config.draws, progress)
    alarms: dict[str, Any] = {}
    for name, perturbed in (("quiet", False), ("perturbed", True)):
        hours = max(config.hours, DAY) / (4 if perturbed else 1) if config.hours else 0.0
        if hours:
            settings = without_events(
                StreamConfig(seconds=3600.0 * hours / SCENES, perturbed=perturbed)
            )
            scenes = (synthetic_stream(settings, seed + 500 + i) for i in range(SCENES))
            alarms |= _alarms(name, list(scenes))
    return result | {"false_alarms": alarms}


def _world(config: EventsConfig, progress: Progress) -> dict[str, Any]:
    from vljepa_ros.evaluation.change_embedding import Watch, embed_all
    from vljepa_ros.evaluation.change_rendering import cache_folder
    from vljepa_ros.evaluation.change_world import (
        GAPS,
        WrittenText,
        still_watches,
        stream_of,
        watches_of,
    )

    parts = frozenset({"text", "decoder"})
    engine = load_engine(config.model, config.engine, threads=1, parts=parts)
    model_id = engine.config.model_id
    watched: dict[str, list[Watch]] = {}
    for kind in GAPS:
        for perturbed in (False, True):
            name = f"{kind}.perturbed" if perturbed else kind
            watched[name] = watches_of(kind, config.streams, config.seed, perturbed)
    still = {}
    if config.hours:
        seconds = 3600.0 * config.hours / SCENES
        still["quiet"] = still_watches(SCENES, seconds, config.seed, False)
        still["perturbed"] = still_watches(SCENES, seconds / 4, config.seed, True)
    folder = cache_folder()
    everything = [watch for group in (*watched.values(), *still.values()) for watch in group]
    model = (config.model, config.engine, model_id)
    embed_all(everything, folder, model, config.workers, progress)
    read = WrittenText(engine)
    sets = {
        name: [stream_of(watch, folder, engine, read) for watch in group]
        for name, group in watched.items()
    }
    result = {"model_id": model_id} | judge(sets, config.draws, progress)
    alarms: dict[str, Any] = {}
    for name, group in still.items():
        alarms |= _alarms(name, [stream_of(watch, folder, engine, read) for watch in group])
    engine.close()
    return result | {"false_alarms": alarms}


def _alarms(name: str, streams: Sequence[ChangeStream]) -> Mapping[str, Any]:
    found = {name: false_alarms(streams)}
    if name == "perturbed":
        found["perturbed_no_guard"] = false_alarms(streams, guarded=False)
    return found
