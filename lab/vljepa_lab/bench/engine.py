"""`vljepa bench engine`: every engine of a model in one run, alternating.

The control is torch eager in fp32. In the table, error is the mean distance of an embedding to
fp32's, as a share of the median distance between clips; labels the share of equal best labels;
x torch how many times as fast as torch eager in fp32.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vljepa_lab.bench.engine_setup import (
    count_flops,
    held_mib,
    peak_flops,
    peak_mib,
    sample_queries,
    start_peak,
)
from vljepa_lab.bench.samples import note
from vljepa_lab.evaluation.quality.compare_models import embed_clips, measure_clips
from vljepa_ros.engines.protocol import Clip, Engine
from vljepa_ros.files import JsonObject
from vljepa_ros.models.config import ModelConfig, ModelError

REFERENCE = "torch:fp32"
_ROUNDS = 5  # in each of which every engine takes its turn


@dataclass(frozen=True)
class BenchSettings:
    """What is measured.

    Attributes:
        engines: Names as `load_engine` takes them; those that cannot run here are reported with
            the reason.
        frames: Lengths of a clip; empty: the model's own.
        queries: Numbers of queries asked of the same visual tokens.
        batches: Batch sizes.
        samples: Of each figure.
        threads: CPU threads; 0 chooses.
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
    clips: NDArray[np.uint8] | None = None,
) -> JsonObject:
    """Measure every engine.

    Args:
        config: Of the model.
        load: Engine name -> a fresh engine of the model.
        settings: What is measured.
        clips: [N, T, S, S, 3] uint8 clips for the parity; None: noise.

    Returns:
        Plain JSON types; `rows`: one for each engine, clip length, batch and number of queries.

    Raises:
        ModelError: The reference cannot run, or a clip length that the model does not take.
    """
    frames = settings.frames or (config.clip_frames,)
    real = clips if clips is not None else _noise_clips(config)
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
        parity = _parity(engines, real)
        flops = {length: count_flops(engines[REFERENCE], length) for length in frames}
        note("the device's matrix peak")
        kinds = {name: (e.info.device, e.info.precision) for name, e in engines.items()}
        found = {kind: peak_flops(*kind) for kind in dict.fromkeys(kinds.values())}
        peaks = {name: found[kind] for name, kind in kinds.items()}
        for length, batch, queries in product(frames, settings.batches, settings.queries):
            note(f"{length} frames, batch {batch}, {queries} queries")
            sizes = (length, batch, queries, settings.samples)
            rows += _compare(engines, pictures, *sizes, flops, peaks)
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
) -> list[JsonObject]:
    """Time all engines in turn, several rounds, so that a busy moment of the machine meets all."""
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
    seconds = {name: np.array(rounds) for name, rounds in times.items()}  # [rounds, n, 2]
    medians = {name: np.median(taken.sum(axis=2), axis=1) for name, taken in seconds.items()}
    rows = []
    for name, taken in seconds.items():
        encode, embed = np.median(taken, axis=(0, 1)).tolist()
        whole = float(np.median(taken.sum(axis=2)))
        ratios = (medians[REFERENCE] / medians[name]).tolist()
        info = engines[name].info
        eager = medians.get(f"torch:{info.precision}")
        cost = batch * (flops[length]["encode"] + queries * flops[length]["embed"])
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
                "ratio_spread": (min(ratios), max(ratios)),
                "ratio_same_precision": (
                    None if eager is None else float(np.median(eager / medians[name]))
                ),
                "memory_mib": extra[name],
                "share_of_peak": cost / whole / peaks[name],
            }
        )
    return rows


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


def table(result: JsonObject) -> str:
    """The rows as text, then operations, the device's peak, and what did not run."""
    heads = ("engine", "frames", "batch", "queries", "encode ms", "embed ms", "whole ms",
             "clips/s", "x torch", "spread", "error", "labels", "of peak", "MiB")  # fmt: skip
    lines = []
    for row in result["rows"]:
        low, high = row["ratio_spread"]
        lines.append((
            row["engine"], row["frames"], row["batch"], row["queries"],
            f"{row['encode_ms']:.2f}", f"{row['embed_ms']:.2f}", f"{row['whole_ms']:.2f}",
            f"{row['clips_per_s']:.1f}", f"{row['ratio']:.2f}", f"{low:.2f}-{high:.2f}",
            f"{row['parity']['error']:.4f}", f"{row['parity']['agreement']:.1%}",
            f"{row['share_of_peak']:.0%}", row["memory_mib"],
        ))  # fmt: skip
    cells = [[str(cell) for cell in line] for line in (heads, *lines)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(heads))]
    text = ["  ".join(c.rjust(w) for c, w in zip(line, widths, strict=True)) for line in cells]
    for length, parts in result["gflop"].items():
        costs = ", ".join(f"{part} {cost:.3g} GFLOP" for part, cost in parts.items())
        text.append(f"{length} frames: {costs}")
    peaks = {f"{peak:.0f} GFLOP/s" for peak in result["peak_gflops"].values()}
    text.append(f"matrix peak measured: {', '.join(sorted(peaks))}")
    text += [f"{name} did not run: {why}" for name, why in result["refused"].items()]
    return "\n".join(text)


def _parity(engines: Mapping[str, Engine], clips: NDArray[np.uint8]) -> dict[str, JsonObject]:
    """See `ClipParity`, with `text`: the least cosine of a text's embedding."""
    own = engines[REFERENCE]
    config = own.config
    words = "text_tokenizer" in config.files or "tokenizer" in config.files
    texts = ["a person opens the door", "nothing happens"] if words else ["ids: 1 2 3", "ids: 4 5"]
    prompts = sample_queries(config, 1)
    if words:
        prompts = list(dict.fromkeys([*prompts, *config.vocabulary]))
    labels = {p: own.encode_text(t) for p, t in config.vocabulary.items()} if words else {}
    expected, read = embed_clips(own, clips, prompts), own.encode_text(texts)
    found = {}
    for name, engine in engines.items():
        seen = expected if engine is own else embed_clips(engine, clips, prompts)
        cosine = (engine.encode_text(texts) * read).sum(axis=1).min()
        found[name] = {**measure_clips(expected, seen, labels).as_json(), "text": float(cosine)}
    return found


def _noise_clips(config: ModelConfig, count: int = 8) -> NDArray[np.uint8]:
    """Fixed clips [count, T, S, S, 3]: a ramp under noise, shifted from frame to frame."""
    size, rng = config.input_size, np.random.default_rng(0)
    ramp = np.linspace(0, 200, size)[None, :, None]
    frames = [
        np.roll(ramp, 7 * i, axis=1) + rng.integers(0, 56, (size, size, 3))
        for i in range(count * config.clip_frames)
    ]
    return np.stack(frames).astype(np.uint8).reshape(count, config.clip_frames, size, size, 3)
