"""`vljepa bench engine`: every engine of a model in one run, alternating, beside torch eager in
fp32."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.engines.protocol import Clip, Engine
from vljepa_ros.evaluation.engine_cost import count_flops, memory_mib, peak_flops, reset_memory
from vljepa_ros.models.config import ModelConfig, ModelError

__all__ = ["REFERENCE", "BenchSettings", "bench_engine", "table", "video_frames"]

REFERENCE = "torch:fp32"
_ROUNDS = 5


@dataclass(frozen=True)
class BenchSettings:
    """What is measured.

    engines: as `load_engine` takes them; those that cannot run here are reported with the reason.
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
    :param clips: [N, S, S, 3] uint8 frames for the parity; None: noise.
    :returns: plain JSON types; `rows`: one for each engine, clip length, batch and number of
    queries.
    :raises ModelError: the reference cannot run, or a clip length that the model does not take.
    """
    frames = settings.frames or (config.clip_frames,)
    pictures = clips if clips is not None else _noise(config)
    engines: dict[str, Engine] = {}
    memory: dict[str, float] = {}
    refused: dict[str, str] = {}
    for name in dict.fromkeys((REFERENCE, *settings.engines)):
        before = memory_mib()
        note(f"loading {name}")
        try:
            engines[name] = load(name)
        except ModelError as error:
            if name == REFERENCE:
                raise
            refused[name] = str(error)
            continue
        memory[name] = memory_mib() - before
    rows: list[dict[str, Any]] = []
    try:
        parity = {name: _parity(engines, name, config, pictures) for name in engines}
        flops = {length: count_flops(engines[REFERENCE], length) for length in frames}
        peaks = {
            name: peak_flops(engine.info.device, engine.info.precision)
            for name, engine in engines.items()
        }
        for length in frames:
            for batch in settings.batches:
                for queries in settings.queries:
                    note(f"{length} frames, batch {batch}, {queries} queries")
                    rows += _compare(
                        engines, pictures, length, batch, queries, settings.samples, flops, peaks
                    )
        for row in rows:
            row["parity"] = parity[row["engine"]]
            row["memory_mib"] = round(memory[row["engine"]], 1)
    finally:
        for engine in engines.values():
            engine.close()
    return {
        "model": config.model_id,
        "reference": REFERENCE,
        "devices": {row["engine"]: row["device"] for row in rows},
        "gflop": {str(k): {p: round(f / 1e9, 3) for p, f in v.items()} for k, v in flops.items()},
        "peak_gflops": {name: round(peak / 1e9, 1) for name, peak in peaks.items()},
        "refused": refused,
        "rows": rows,
    }


def table(result: dict[str, Any]) -> str:
    """The rows as text."""
    heads = ("engine", "frames", "batch", "queries", "encode ms", "embed ms", "whole ms",
             "clips/s", "x torch", "spread", "parity", "of peak", "MiB")  # fmt: skip
    lines = []
    for row in result["rows"]:
        low, high = row["ratio_spread"]
        lines.append((
            row["engine"], row["frames"], row["batch"], row["queries"],
            f"{row['encode_ms']:.2f}", f"{row['embed_ms']:.2f}", f"{row['whole_ms']:.2f}",
            f"{row['clips_per_s']:.1f}", f"{row['ratio']:.2f}", f"{low:.2f}-{high:.2f}",
            f"{row['parity']['embed']:.5f}", f"{row['share_of_peak']:.0%}", row["memory_mib"],
        ))  # fmt: skip
    cells = [[str(cell) for cell in line] for line in (heads, *lines)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(heads))]
    text = ["  ".join(c.rjust(w) for c, w in zip(line, widths, strict=True)) for line in cells]
    text += [f"{name} did not run: {why}" for name, why in result["refused"].items()]
    return "\n".join(text)


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
    for work in works.values():
        for _ in range(2):
            work()
    reset_memory()
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
        ratios = sorted(r / own for r, own in zip(medians[REFERENCE], medians[name], strict=True))
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
        self._queries = _queries(engine.config, queries)

    def __call__(self) -> tuple[float, float]:
        begin = time.perf_counter()
        encoded = self._engine.encode(self._clips, [None] * len(self._clips))
        middle = time.perf_counter()
        tokens = [entry.tokens for entry in encoded]
        for query in self._queries:
            self._engine.embed(tokens, query)
        return middle - begin, time.perf_counter() - middle


def _queries(config: ModelConfig, count: int) -> list[str]:
    default = config.default_query
    if "query_tokenizer" not in config.files and config.architecture.get("form") == "full":
        return [f"ids: {' '.join(str(1 + (i + j) % 50) for j in range(8))}" for i in range(count)]
    return [default if i == 0 else f"{default} {i}" for i in range(count)]


def _parity(
    engines: dict[str, Engine], name: str, config: ModelConfig, pictures: NDArray[np.uint8]
) -> dict[str, float]:
    """Least cosine of embeddings of fixed clips and texts to the reference."""
    length = config.clip_frames
    count = max(1, min(8, len(pictures) // length))
    work = _Work(engines[REFERENCE], pictures, length, count, 1)
    found: dict[str, list[NDArray[np.float32]]] = {"embed": [], "text": []}
    texts = ["ids: 1 2 3", "ids: 4 5"]
    if "text_tokenizer" in config.files or "tokenizer" in config.files:
        texts = ["a person opens the door", "nothing happens"]
    for engine in (engines[REFERENCE], engines[name]):
        encoded = engine.encode(work._clips, [None] * count)
        tokens = [entry.tokens for entry in encoded]
        found["embed"].append(engine.embed(tokens, _queries(config, 1)[0]))
        found["text"].append(engine.encode_text(texts))
    return {part: float((a * b).sum(axis=-1).min()) for part, (a, b) in found.items()}


def _noise(config: ModelConfig) -> NDArray[np.uint8]:
    """Fixed frames: a ramp under noise, shifted from frame to frame."""
    size, rng = config.input_size, np.random.default_rng(0)
    ramp = np.linspace(0, 200, size)[None, :, None]
    frames = [
        np.roll(ramp, 7 * i, axis=1) + rng.integers(0, 56, (size, size, 3)) for i in range(32)
    ]
    return np.stack(frames).astype(np.uint8)


def video_frames(file: Path, config: ModelConfig, count: int = 64) -> NDArray[np.uint8]:
    """`count` frames of a video, `frame_interval` apart, fitted to the model: [count, S, S, 3].

    :raises ModelError: not a video.
    """
    import cv2

    from vljepa_ros.perception.frames import model_input

    reader = cv2.VideoCapture(str(file))
    step = max(1, round(config.frame_interval * (reader.get(cv2.CAP_PROP_FPS) or 10.0)))
    frames: list[NDArray[np.uint8]] = []
    index = 0
    while len(frames) < count and reader.grab():
        if index % step == 0:
            ok, image = reader.retrieve()
            if ok:
                rgb = np.ascontiguousarray(image[..., ::-1]).astype(np.uint8, copy=False)
                frames.append(
                    model_input(rgb, config.input_size, preprocessing=config.preprocessing)
                )
        index += 1
    reader.release()
    if len(frames) < config.clip_frames:
        raise ModelError(f"'{file}' has too few frames for a clip, or is no video")
    return np.stack(frames)
