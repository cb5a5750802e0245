"""Indexes many bags into one memory, one after the other or by workers of Ray Data."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vljepa_ros.engines.load import load_engine
from vljepa_ros.engines.protocol import Engine
from vljepa_ros.files import JsonObject
from vljepa_ros.models.config import ModelError
from vljepa_ros.perception.bags.indexing import IndexPlan, index_bag, write_events
from vljepa_ros.perception.bags.reading import BagError
from vljepa_ros.perception.memory.store import MemoryStore, MemoryStoreError, open_store


class RayMissingError(RuntimeError):
    """Ray is not installed; the message has the command to install it."""


@dataclass(frozen=True)
class BagJob:
    """How each bag is indexed. With Ray every worker needs access to these paths and the bags.

    Attributes:
        model: model folder.
        engine: see `load_engine`.
        threads: see `load_engine`.
        memory: directory or object storage address.
        work_folder: folder for the files of unfinished work.
        plan: how each bag is indexed.
        events: folder for NAME.events.jsonl, or None.
        shared: names that several bags have.
    """

    model: Path
    engine: str
    threads: int
    memory: str
    work_folder: Path
    plan: IndexPlan
    events: Path | None = None
    shared: frozenset[str] = frozenset()


def index_each(
    bags: Iterable[Path],
    job: BagJob,
    engine: Engine,
    store: MemoryStore,
    progress: Callable[[float], None] = lambda share: None,
) -> Iterator[JsonObject]:
    """Index bags one after the other.

    Yields for each the fields of IndexReport, `took` and, if they are written, `events`; for a bag
    that failed completely only `bag`, `problem` and `broken` 0.
    """
    for bag in bags:
        begin = time.perf_counter()
        try:
            report, scenes = index_bag(bag, engine, store, job.plan, job.work_folder, progress)
        except BagError as error:  # the other bags are still indexed
            yield {"bag": str(bag), "problem": str(error), "broken": 0}
            continue
        outcome = asdict(report) | {"took": round(time.perf_counter() - begin, 3)}
        if job.events is not None:
            file = _events_file(job.events, report.bag, job.shared)
            write_events(scenes, report.bag, engine.config.model_id, file)
            outcome["events"] = str(file)
        yield outcome


def _events_file(folder: Path, bag: str, shared: frozenset[str]) -> Path:
    """NAME.events.jsonl; with a hash of the path where another bag has, or had, that name."""
    name = Path(bag).name
    plain = folder / f"{name}.events.jsonl"
    owner = bag
    with suppress(OSError, ValueError, KeyError, TypeError), plain.open(encoding="utf-8") as file:
        owner = json.loads(file.readline())["source"]
    if name not in shared and owner == bag:
        return plain
    return folder / f"{name}-{hashlib.sha256(bag.encode()).hexdigest()[:8]}.events.jsonl"


def index_with_ray(
    bags: list[Path], job: BagJob, workers: int, address: str | None = None
) -> Iterator[JsonObject]:
    """Index bags with processes of Ray Data, each of which loads the model.

    Args:
        bags: files or folders.
        job: how each bag is indexed.
        workers: number of processes.
        address: address of a running cluster; None: start one on this machine.

    Yields:
        What `index_each` yields, in the order in which bags are finished.

    Raises:
        RayMissingError: Ray is not installed.
    """
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise RayMissingError(
            "indexing with Ray needs it: pip install 'vljepa_ros[ray]'; without --workers the bags "
            "are indexed one after the other"
        ) from error
    local = {} if address else {"num_cpus": workers + 1}
    ray.init(address=address, ignore_reinit_error=True, include_dashboard=False, **local)
    try:
        items = ray.data.from_items(
            [{"bag": str(bag)} for bag in bags], override_num_blocks=len(bags)
        )
        done = items.map_batches(
            _RayWorker,
            fn_constructor_args=(job,),
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(size=min(workers, len(bags))),
        )
        for row in done.iter_rows():
            yield json.loads(row["outcome"])
    finally:
        ray.shutdown()


class _RayWorker:
    """A process of Ray Data with a model and an open store for all of its bags."""

    def __init__(self, job: BagJob) -> None:
        self._job = job
        self._engine = load_engine(job.model, job.engine, job.threads)
        config = self._engine.config
        self._store = open_store(job.memory, config.model_id, config.dim, create=True)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        bags = [str(bag) for bag in batch["bag"]]
        outcomes: list[str] = []
        for bag in bags:
            try:
                (outcome,) = index_each([Path(bag)], self._job, self._engine, self._store)
            except (MemoryStoreError, ModelError, OSError) as error:
                outcome = {"bag": bag, "problem": str(error), "broken": 0}
            outcomes.append(json.dumps(outcome))
        return {"outcome": outcomes}
