"""`vljepa eval events`: detectors of change on streams of the simulated world, and synthetic."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vljepa_lab.evaluation.change.cost import times
from vljepa_lab.evaluation.change.endurance import endure
from vljepa_lab.evaluation.change.names import PERTURBED, nested
from vljepa_lab.evaluation.change.parts import (
    SCENES,
    SYNTHETIC_MINUTES,
    Part,
    alarms_part,
    growth_part,
    merged,
    set_part,
    work_on,
)
from vljepa_lab.evaluation.change.spread import Progress, spread
from vljepa_lab.evaluation.change.verdicts import verdicts

DAY = 24.0  # hours of synthetic streams, at least: they cost little
SYNTHETIC_STREAMS = 8  # of each set, at most: they are long enough


@dataclass(frozen=True)
class EventsConfig:
    """Size of an evaluation.

    world, synthetic: which streams. streams: of each set. hours: of quiet stream for false alarms,
    over 24 scenes; a quarter as many are perturbed. seed: number of the first stream; numbers from
    5000 on were used for tuning. draws: of the bootstrap. samples: through one detector, to see
    whether it grows. workers: processes that render, embed and judge. model, engine: what embeds.
    """

    world: bool = True
    synthetic: bool = True
    streams: int = 12
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
    cost, endurance = times(progress), endure(progress)
    model_id, world = _world(config, progress) if config.world else ("", [])
    synthetic = _synthetic(config) if config.synthetic else []
    parts = [*world, *synthetic, growth_part(config.samples)]
    # the longest come last and are begun first, so that no process is left alone with one of them
    jobs = [(part,) for part in reversed(parts)]
    done = spread(work_on, jobs, config.workers, "parts judged", progress)[::-1]
    if world:
        found = merged(done[: len(world)])
        result |= {"source": "world", "model_id": model_id, "false_alarms": {}} | found
    if synthetic:
        found = {"false_alarms": {}} | merged(done[len(world) : -1])
        if world:
            result["synthetic"] = found
        else:
            result |= {"source": "synthetic"} | found
    result["cost"] = cost | done[-1]
    result["endurance"] = endurance
    result["must_show"] = verdicts(result)
    return nested(result)


def _synthetic(config: EventsConfig) -> list[Part]:
    count = min(config.streams, SYNTHETIC_STREAMS)
    parts = [
        set_part(name, config.draws, streams=count, seed=config.seed)
        for kind in SYNTHETIC_MINUTES
        for name in (kind, f"{kind}.{PERTURBED}")
    ]
    if config.hours:
        hours = max(config.hours, DAY)
        parts.append(alarms_part("quiet", hours=hours, seed=config.seed))
        parts.append(alarms_part(PERTURBED, hours=hours / 4, seed=config.seed))
    return parts


def _world(config: EventsConfig, progress: Progress) -> tuple[str, list[Part]]:
    """The model's id and what is to be judged, rendered and embedded."""
    from vljepa_lab.evaluation.change.embedding import Watch, embed_all
    from vljepa_lab.evaluation.change.rendering import cache_folder
    from vljepa_lab.evaluation.change.world_streams import GAPS, still_watches, watches_of
    from vljepa_ros.models.folder import load_config

    model_id = load_config(config.model).model_id
    watched: dict[str, list[Watch]] = {}
    for kind in GAPS:
        for perturbed in (False, True):
            name = f"{kind}.{PERTURBED}" if perturbed else kind
            watched[name] = watches_of(kind, config.streams, config.seed, perturbed)
    still: dict[str, list[Watch]] = {}
    if config.hours:
        seconds = 3600.0 * config.hours / SCENES
        still["quiet"] = still_watches(SCENES, seconds, config.seed, False)
        still[PERTURBED] = still_watches(SCENES, seconds / 4, config.seed, True)
    folder = cache_folder()
    everything = [watch for group in (*watched.values(), *still.values()) for watch in group]
    model = (config.model, config.engine, model_id)
    embed_all(everything, folder, model, config.workers, progress)
    place = (folder, config.model, config.engine)
    parts = [set_part(n, config.draws, watches=g, world=place) for n, g in watched.items()]
    parts += [alarms_part(name, watches=group, world=place) for name, group in still.items()]
    return model_id, parts
