"""`vljepa bench memory`: speed, recall and size on vectors spread like a robot's embeddings.

The control is exact search over the same rows in the same run.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vljepa_lab.bench.samples import note, resident_mib, time_ms
from vljepa_ros.files import JsonObject
from vljepa_ros.models.config import Calibration
from vljepa_ros.perception.memory.episodic import EpisodicMemory, MemorySettings
from vljepa_ros.perception.memory.row import SAMPLE, SEGMENT, Pose, Row
from vljepa_ros.perception.memory.search import MomentQuery, find_moments
from vljepa_ros.perception.memory.store import MemoryStore, open_store
from vljepa_ros.perception.memory.upkeep import compact_and_index

# (rows, length of a vector)
SIZES = ((10_000, 256), (100_000, 256), (1_000_000, 256), (10_000, 1536), (100_000, 1536))
MEANINGS = 2000
TOPICS = 40
STAY = 20  # samples of one stay at a meaning
BLOCK = 20_000  # rows made and written at a time
ROWS_PER_HOUR = 3600 * 21 / 20  # one sample a second, and a segment for each stay; no thumbnails
MODEL = "bench"
SECOND = 1_000_000_000
BEGIN = 1_700_000_000 * SECOND
_ACTIONS = ("picks up", "puts down", "drops", "pushes", "lifts", "turns", "wipes")
_THINGS = (
    *("red mug", "blue box", "green ball", "white plate", "black pen", "yellow book", "grey cup"),
    *("orange bowl", "pink brush", "brown bottle", "cyan can"),
)


def bench_memory(
    sizes: Sequence[tuple[int, int]],
    queries: int,
    trickle: float = 60.0,
    folder: Path | None = None,
) -> JsonObject:
    """Measure inserts, queries and recall for each size, and what a slow stream of rows costs.

    Args:
        sizes: (rows, length of a vector) of each store.
        queries: Of each figure.
        trickle: Seconds for which 10 rows a second are written; 0: not measured.
        folder: Where the stores are made, and removed; None: a temporary folder.
    """
    with tempfile.TemporaryDirectory(dir=folder) as place:
        result: dict[str, Any] = {}
        for rows, dim in sizes:
            note(f"{rows} rows of {dim}-d")
            result[f"{rows}x{dim}"] = _size(Path(place) / f"{rows}x{dim}", rows, dim, queries)
            shutil.rmtree(Path(place) / f"{rows}x{dim}", ignore_errors=True)
        if trickle > 0.0:
            note(f"10 rows a second for {trickle:g} s")
            result["trickle"] = _trickle(Path(place) / "trickle", trickle)
        return result


def robot_vectors(
    rows: int, dim: int, seed: int = 0
) -> tuple[Callable[[int, int], NDArray[np.float32]], NDArray[np.float32]]:
    """Vectors as a robot's stream makes them, block by block, and the meanings behind them.

    40 topics have 2000 meanings, some much more common than others (Zipf, exponent 0.7); the robot
    stays at a meaning for 20 samples, each stay is seen in its own way, each sample differs a
    little. The variance falls off over the directions like 1/k, as it does for learned embeddings.

    Returns:
        A function (first, last) -> [last - first, dim] float32 with L2 norm 1; and the meanings,
        [2000, dim] float32.
    """
    rng = np.random.default_rng(seed)
    spread = 1.0 / np.sqrt(np.arange(1, dim + 1))
    spread = rng.permutation(spread / np.linalg.norm(spread)).astype(np.float32)

    def draw(generator: np.random.Generator, count: int) -> NDArray[np.float32]:
        return (generator.standard_normal((count, dim), np.float32) * spread).astype(np.float32)

    topics = draw(rng, TOPICS)
    centres = topics[rng.integers(TOPICS, size=MEANINGS)]
    meanings = (0.8 * centres + 0.6 * draw(rng, MEANINGS)).astype(np.float32)
    share = _zipf()

    def block(first: int, last: int) -> NDArray[np.float32]:
        own = np.random.default_rng((seed, first))
        stays = -(-(last - first) // STAY)
        seen = meanings[own.choice(MEANINGS, stays, p=share)] + 0.35 * draw(own, stays)
        made = np.repeat(seen, STAY, axis=0)[: last - first] + 0.15 * draw(own, last - first)
        return _unit(made)

    return block, meanings


def robot_queries(meanings: NDArray[np.float32], count: int, seed: int = 1) -> NDArray[np.float32]:
    """Return meanings as texts say them, about 0.8 from the best rows: [count, dim], L2 norm 1."""
    rng = np.random.default_rng(seed)
    dim = meanings.shape[1]
    spread = np.sqrt((meanings**2).mean(axis=0))
    noise = rng.standard_normal((count, dim)).astype(np.float32) * spread
    return _unit(meanings[rng.choice(MEANINGS, count, p=_zipf())] + 0.9 * noise)


def fill(store: MemoryStore, rows: int, camera: str = "front") -> None:
    """Write vectors as a robot's stream makes them into an empty store, compact and index it."""
    _write(store, rows, camera)
    compact_and_index(store, keep_versions=0.001)


def _write(store: MemoryStore, rows: int, camera: str = "front") -> float:
    """Append made rows; returns the seconds that writing took."""
    block, _ = robot_vectors(rows, store.dim)
    writing = 0.0
    for first in range(0, rows, BLOCK):
        vectors = block(first, min(first + BLOCK, rows))
        batch = [made_row(first + i, vector, camera) for i, vector in enumerate(vectors)]
        begin = time.perf_counter()
        store.append(batch)
        writing += time.perf_counter() - begin
    return writing


def _size(place: Path, rows: int, dim: int, queries: int) -> JsonObject:
    _, meanings = robot_vectors(rows, dim)
    asked = robot_queries(meanings, queries)
    store = open_store(place, MODEL, dim, create=True)
    writing = _write(store, rows)
    store.compact(0.001)  # no old versions in the size
    data = store.disk_bytes()
    begin, used = time.perf_counter(), time.process_time()
    built = store.build_index()
    building = time.perf_counter() - begin, time.process_time() - used
    note(f"  written in {writing:.1f} s, index built in {building[0]:.1f} s")
    before = resident_mib()
    nearest = _times(lambda vector: store.nearest(vector, 10), asked)
    moments = _times(
        lambda vector: find_moments(store, MomentQuery("x"), vector, Calibration()), asked
    )
    exact = _times(lambda vector: store.nearest(vector, 10, exact=True), asked[:20])
    return {
        "rows_per_second": round(rows / writing),
        "index_seconds": round(building[0], 1) if built else None,
        "index_cpu_seconds": round(building[1], 1) if built else None,
        "query_ms": nearest,
        "find_moments_ms": moments,
        "exact_query_ms": exact,
        "exact_to_query": round(exact["p50"] / nearest["p50"], 2),
        "recall_at_10": round(_recall(store, asked), 4),
        "megabytes": round(store.disk_bytes() / 1e6, 1),
        "bytes_per_row": round(data / rows),
        "megabytes_per_robot_hour": round(data / rows * ROWS_PER_HOUR / 1e6, 2),
        "memory_growth_megabytes": round(resident_mib() - before, 1),
    }


def _trickle(place: Path, seconds: float) -> JsonObject:
    """Cost of writing 10 rows a second with the node's default settings."""
    dim = 256
    block, _ = robot_vectors(10_000, dim)
    vectors = block(0, 10_000)
    memory = EpisodicMemory(MemorySettings(str(place), MODEL, dim))
    memory.remember(made_row(0, vectors[0]))
    memory.flush(60.0)  # lancedb is imported with the first batch: not a cost of writing
    begin, used = time.perf_counter(), time.process_time()
    count = 1
    while (now := time.perf_counter() - begin) < seconds:
        if now * 10 > count:
            memory.remember(made_row(count, vectors[count % len(vectors)]))
            count += 1
        else:
            time.sleep(0.02)
    share = (time.process_time() - used) / (time.perf_counter() - begin)
    memory.flush(60.0)
    begin, used = time.perf_counter(), time.process_time()
    while time.perf_counter() - begin < min(10.0, seconds):
        time.sleep(0.02)
    idle = (time.process_time() - used) / (time.perf_counter() - begin)
    memory.close()
    return {
        "rows_per_second": 10,
        "share_of_a_core": round(share, 4),
        "share_idle": round(idle, 4),
        "rows": count,
    }


def _recall(store: MemoryStore, queries: NDArray[np.float32]) -> float:
    """Share of the ten best rows of exact search that the index finds, too."""

    def best(vector: NDArray[np.float32], exact: bool) -> set[int]:
        return {hit.row.stamp for hit in store.nearest(vector, 10, exact=exact)}

    found = [len(best(vector, True) & best(vector, False)) for vector in queries]
    return sum(found) / (10 * len(found))


def _times(ask: Callable[[NDArray[np.float32]], object], queries: Any) -> dict[str, float]:
    """Milliseconds of each query after a warm-up, and the processor time of one."""
    for vector in queries[:10]:
        ask(vector)
    used = time.process_time()
    taken = [time_ms(partial(ask, vector)) for vector in queries]
    cpu = 1000.0 * (time.process_time() - used) / len(queries)
    p50, p99 = np.percentile(taken, (50, 99))
    return {"p50": round(float(p50), 2), "p99": round(float(p99), 2), "cpu": round(cpu, 2)}


def made_row(
    number: int,
    vector: NDArray[np.float32],
    camera: str = "front",
    thumbnail: bytes | None = None,
) -> Row:
    """Row `number` of a made stream of two rows a second, with the vector [D] of norm 1."""
    stamp = BEGIN + number * (SECOND // 2)
    kind = SEGMENT if number % STAY == 0 else SAMPLE
    text = f"the robot arm {_ACTIONS[number // STAY % 7]} the {_THINGS[number // STAY % 11]}"
    pose = Pose((number % 97 / 16, number % 89 / 16, 0.0), (0.0, 0.0, 0.6, 0.8), "map")
    return Row(
        *(kind, camera, stamp - SECOND, stamp, stamp, vector),
        text=text,
        label=_ACTIONS[number // STAY % 7],
        label_score=0.5,
        pose=pose,
        thumbnail=thumbnail,
        thumbnail_frames=1 if thumbnail else 0,
    )


def _zipf() -> NDArray[np.float64]:
    share = 1.0 / np.arange(1, MEANINGS + 1) ** 0.7
    return np.asarray(share / share.sum(), np.float64)


def _unit(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)
