"""`vljepa bench engine`: every engine of a model in one run, alternating, beside torch eager in
fp32."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vljepa_lab.evaluation.engine_cost import count_flops, peak_flops
from vljepa_lab.evaluation.engine_memory import held_mib, peak_mib, start_peak
from vljepa_lab.evaluation.engine_parity import noise_clips, parity_of, sample_queries
from vljepa_ros.engines.protocol import Clip, Engine
from vljepa_ros.models.config import ModelConfig, ModelError

REFERENCE = "torch:fp32"
_ROUNDS = 5


@dataclass(frozen=True)
class BenchSettings:
    """What is measured.

    engines: as `load_engine` takes them; those that cannot run here are reported with the reason.
    A further name may be anything that the loader knows, such as a folder's own precision.
    frames: of a clip; empty: the model's own. queries: asked of the same visual tokens. samples:
    of each figure. threads: 0 chooses.
    """

    engines: tuple[str, ...]
    frames: tuple[int, ...] = ()
    queries: tuple[int, ...] = (1,)
    batches: tuple[int, ...] = (1, 2, 4, 8)
    samples: int = 30
    threads: int = 0


def bench_engine(
    config: ModelConfig,
    load: Callable[[str], Engine],
    settings: BenchSettings,
    note: Callable[[str], None] = lambda line: None,
    clips: NDArray[np.uint8] | None = None,
) -> dict[str, Any]:
    """Measure.

    :param load: engine name -> a fresh engine of the model.
    :param clips: [N, T, S, S, 3] uint8 clips for the parity; None: noise.
    :returns: plain JSON types; `rows`: one for each engine, clip length, batch and number of
        queries.
    :raises ModelError: the reference cannot run, or a clip length that the model does not take.
    """
    frames = settings.frames or (config.clip_frames,)
    real = clips if clips is not None else noise_clips(config)
    pictures = real.reshape(-1, *real.shape[2:])
    engines: dict[str, Engine] = {}
    memory: dict[str, float] = {}
    refused: dict[str, str] = {}
    for name in dict.fromkeys((REFERENCE, *settings.engines)):
        before = held_mib()
        note(f"loading {name}")
        try:
            engines[name] = load(name)
        except ModelError as error:
            if name == REFERENCE:
                raise
            refused[name] = str(error)
            continue
        memory[name] = held_mib() - before
    rows: list[dict[str, Any]] = []
    try:
        note(f"parity on {len(real)} clips")
        parity = parity_of(engines, REFERENCE, real)
        flops = {length: count_flops(engines[REFERENCE], length) for length in frames}
        note("the device's matrix peak")
        kinds = {name: (e.info.device, e.info.precision) for name, e in engines.items()}
        found = {kind: peak_flops(*kind) for kind in dict.fromkeys(kinds.values())}
        peaks = {name: found[kind] for name, kind in kinds.items()}
        for length in frames:
            for batch in settings.batches:
                for queries in settings.queries:
                    note(f"{length} frames, batch {batch}, {queries} queries")
                    rows += _compare(
                        engines, pictures, length, batch, queries, settings.samples, flops, peaks
                    )
        for row in rows:
            row["parity"] = parity[row["engine"]]
            row["memory_mib"] = round(memory[row["engine"]] + row["memory_mib"], 1)
    finally:
        for engine in engines.values():
            engine.close()
    return {
        "model": config.model_id,
        "parity_clips": "real" if clips is not None else "noise",
        "threads": settings.threads,
        "samples": settings.samples,
        "reference": REFERENCE,
        "devices": {row["engine"]: row["device"] for row in rows},
        "gflop": {str(k): {p: round(f / 1e9, 3) for p, f in v.items()} for k, v in flops.items()},
        "peak_gflops": {name: round(peak / 1e9, 1) for name, peak in peaks.items()},
        "refused": refused,
        "rows": rows,
    }


def _compare(
    engines: dict[str, Engine],
    pictures: NDArray[np.uint8],
    length: int,
    batch: int,
    queries: int,
    samples: int,
    flops: dict[int, dict[str, int]],
    peaks: dict[str, float],
) -> list[dict[str, Any]]:
    """All engines in turn, several rounds, so that a busy moment of the machine meets all of
    them."""
    works = {
        name: _Work(engine, pictures, length, batch, queries) for name, engine in engines.items()
    }
    times: dict[str, list[list[tuple[float, float]]]] = {name: [] for name in works}
    extra: dict[str, float] = {}
    for name, work in works.items():
        before = start_peak()
        for _ in range(2):
            work()
        extra[name] = peak_mib() - before
    for _ in range(_ROUNDS):
        for name, work in works.items():
            times[name].append([work() for _ in range(max(1, samples // _ROUNDS))])
    medians = {
        name: [float(np.median([a + b for a, b in part])) for part in parts]
        for name, parts in times.items()
    }
    rows = []
    for name, parts in times.items():
        encode = float(np.median([a for part in parts for a, _ in part]))
        embed = float(np.median([b for part in parts for _, b in part]))
        whole = float(np.median([a + b for part in parts for a, b in part]))
        ratios = _ratios(medians, REFERENCE, name)
        eager = f"torch:{engines[name].info.precision}"
        like = _ratios(medians, eager, name) if eager in medians else []
        cost = batch * (flops[length]["encode"] + queries * flops[length]["embed"])
        info = engines[name].info
        rows.append(
            {
                "engine": name,
                "device": info.device,
                "precision": info.precision,
                "frames": length,
                "batch": batch,
                "queries": queries,
                "encode_ms": 1e3 * encode,
                "embed_ms": 1e3 * embed,
                "whole_ms": 1e3 * whole,
                "clips_per_s": batch / whole,
                "query_share": embed / queries / (encode + embed / queries),
                "ratio": float(np.median(ratios)),
                "ratio_spread": (ratios[0], ratios[-1]),
                "ratio_same_precision": float(np.median(like)) if like else None,
                "memory_mib": extra[name],
                "share_of_peak": cost / whole / peaks[name],
            }
        )
    return rows


def _ratios(medians: dict[str, list[float]], slow: str, fast: str) -> list[float]:
    """How many times as fast, for each round, ascending."""
    return sorted(a / b for a, b in zip(medians[slow], medians[fast], strict=True))


class _Work:
    """One measured step: encode a batch, ask it some questions. Returns seconds of both."""

    def __init__(
        self, engine: Engine, pictures: NDArray[np.uint8], length: int, batch: int, queries: int
    ) -> None:
        picked = np.arange(batch * length) % len(pictures)
        stack = pictures[picked].reshape(batch, length, *pictures.shape[1:])
        self._clips = [Clip(frames, tuple(range(length))) for frames in stack]
        self._engine = engine
        self._queries = sample_queries(engine.config, queries)

    def __call__(self) -> tuple[float, float]:
        begin = time.perf_counter()
        encoded = self._engine.encode(self._clips, [None] * len(self._clips))
        middle = time.perf_counter()
        tokens = [entry.tokens for entry in encoded]
        for query in self._queries:
            self._engine.embed(tokens, query)
        return middle - begin, time.perf_counter() - middle
