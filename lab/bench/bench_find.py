"""How long `find_moments` takes while a robot streams, and what it costs the stream.

    python lab/bench/bench_find.py --save find.json

A camera publishes 640x480 pictures at 10 fps; perception and decoder run in one process, the memory
node in another, on a store that was filled before. Three things alternate: the stream alone; the
stream and a request every quarter of a second, each with a text that no node has seen; the stream
and the same work (text, search) in this process without any node, the control.

Before, without nodes: what a filter that keeps few of the rows finds, against exact search; and how
often nonsense and other languages score above .5 among the clips of a video.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from vljepa_lab.bench.harness import (
    BENCH_DOMAIN,
    CAMERA,
    START_TIMEOUT_S,
    BenchGraph,
    EmbeddingStream,
    as_lines,
    run_script,
)
from vljepa_lab.bench.memory import BLOCK, fill, made_row, robot_queries, robot_vectors
from vljepa_lab.bench.samples import note, quantiles, resident_mib, time_ms
from vljepa_lab.bench.vqa import candidate_texts
from vljepa_ros import ros
from vljepa_ros.cli.options import (
    add_model_options,
    add_number_option,
    natural_number,
    non_negative_seconds,
)
from vljepa_ros.cli.processes import ProcessFailed
from vljepa_ros.engines.load import load_engine
from vljepa_ros.engines.protocol import Engine
from vljepa_ros.models.calibration import calibration_for, independent_probabilities
from vljepa_ros.perception.frames import model_input
from vljepa_ros.perception.image_source import VideoFile
from vljepa_ros.perception.memory.search import MomentQuery, find_moments
from vljepa_ros.perception.memory.store import Filter, MemoryStore, open_store
from vljepa_ros.perception.memory.upkeep import compact_and_index
from vljepa_ros.perception.ring import ClipRing
from vljepa_ros.resources import NANO, model_dir

CLIP = Path(__file__).parents[2] / "test" / "fixtures" / "dense_clip" / "clip.mp4"
ROUNDS = 4  # in each of which stream, requests and control take their turns
REQUEST_INTERVAL_S = 0.25  # far more often than people and planners ask
WARM_UP = 20  # requests that do not count
OTHER_LANGUAGES = [
    *("die Tür ist offen", "der Roboter nimmt die Tasse", "ein Mensch betritt den Raum"),
    *("das Licht geht aus", "das Auto fährt", "ein Hund bellt", "jemand verlässt das Zimmer"),
    *("der Greifer lässt den Würfel fallen", "la porte s'ouvre", "le robot prend la tasse rouge"),
    *("une personne entre dans la pièce", "les lumières s'éteignent", "le chat dort"),
    *("la lampe est allumée", "il ne se passe rien", "el robot recoge la taza", "el perro ladra"),
    *("una persona entra en la habitación", "se apaga la luz", "la puerta está cerrada"),
    *("no pasa nada", "la persona sale", "il robot lascia cadere l'oggetto", "nulla accade"),
    *("una persona esce dalla stanza", "de deur gaat open", "het licht gaat uit"),
    *("er gebeurt niets", "robot podnosi kubek", "człowiek wchodzi do pokoju"),
    *("nic się nie dzieje", "дверь открывается", "робот берёт чашку", "ничего не происходит"),
    *("человек входит в комнату", "свет выключается", "ロボットがカップを取る", "ドアが開く"),
    *(
        "何も起きていない",
        "机器人拿起杯子",
        "门开了",
        "灯灭了",
        "没有发生任何事",
        "로봇이 컵을 집는다",
    ),
    *("문이 열린다", "아무 일도 없다", "الباب يفتح", "الروبوت يمسك الكوب", "لا شيء يحدث"),
    *("døren åbnes", "robotten tager koppen", "der sker ingenting", "dörren öppnas"),
    *("lampan släcks", "ingenting händer", "ovi avautuu", "a porta abre-se"),
    *("o robô pega o copo", "az ajtó kinyílik", "ușa se deschide"),
]
OTHER_SUBJECTS = (
    *("a dog", "the stock market", "an astronaut", "the queen", "a violin", "our neighbour"),
    *("the weather", "a whale", "the bank", "a tractor", "the committee", "a rainbow"),
)
OTHER_ACTS = (
    *("wins the tennis match", "explodes in the sky", "drives a red sports car"),
    *("writes a letter to the king", "runs through the forest", "bakes bread in the kitchen"),
    *("rises over the mountains", "plays chess with a robot", "catches fire"),
)
FILTERS = (0.001, 0.01, 0.1)  # shares of the rows that a filter keeps
TEXTS = 960  # different texts before a number is added to them


def bench_find(args: argparse.Namespace) -> dict[str, Any]:
    """Measure and return the figures, times in milliseconds."""
    note(f"filters on {args.rows} rows ...")
    filtered = filtered_search(args.rows)
    parts = frozenset({"vision", "predictor", "text"})
    nonsense = nonsense_scores(load_engine(model_dir(args.model), args.engine, 1, parts))
    if args.seconds == 0.0:
        return {"filtered": filtered, "nonsense": nonsense}
    with tempfile.TemporaryDirectory() as place, BenchGraph(args.model, args.engine) as graph:
        engine = load_engine(graph.folder, args.engine, 1, frozenset({"text"}))
        location = str(Path(place) / "memory")
        note(f"a memory of {args.rows} rows ...")
        store = open_store(location, engine.config.model_id, engine.config.dim, create=True)
        fill(store, args.rows, camera=CAMERA)
        graph.start_camera_and_nodes()
        memory = graph.start(
            "vljepa_ros.nodes.program",
            *("memory_node", "--ros-args", "-r", f"__ns:={graph.namespace}"),
            *("-p", f"cameras:={json.dumps([CAMERA])}", "-p", f"model:={json.dumps(args.model)}"),
            *("-p", f"location:={json.dumps(location)}"),
            *("-p", f"{CAMERA}.image_topic:={json.dumps(graph.topic)}"),
            ROS_DOMAIN_ID=str(BENCH_DOMAIN),
        )
        measured = _measure(graph, psutil.Process(memory.pid), store, engine, args.seconds)
        return {"filtered": filtered, "nonsense": nonsense, **measured}


def nonsense_scores(engine: Engine, step: int = 2) -> dict[str, Any]:
    """Share of texts whose best score among the clips of a video is .5 or above.

    `before`: by the model's calibration as it is; `now`: as `find` reads it for each text.

    Args:
        engine: Of the model.
        step: Images between two clips, of ten a second.
    """
    config = engine.config
    ring: ClipRing[NDArray[np.uint8]] = ClipRing(
        config.clip_frames,
        config.frame_interval,
        lambda bgr: model_input(bgr[..., ::-1], config.input_size),
    )
    seen = []
    for number, shot in enumerate(VideoFile(CLIP).shots()):
        stamp = round(1e8 * number)
        ring.push(stamp, shot.bgr, now=stamp / 1e9)
        if number % step == 0 and (taken := ring.take(stamp / 1e9)):
            (encoded,) = engine.encode([taken.clip], [None])
            seen.append(engine.embed([encoded.tokens], config.default_query)[0])
    rng = np.random.default_rng(0)
    letters = list("abcdefghijklmnopqrstuvwxyz0123456789")
    groups = {
        "letters": [
            " ".join("".join(rng.choice(letters, rng.integers(3, 9))) for _ in range(words))
            for words in rng.integers(1, 6, 400)
        ],
        "languages": OTHER_LANGUAGES,
        "other_worlds": [f"{who} {does}" for who in OTHER_SUBJECTS for does in OTHER_ACTS],
        "known_words": candidate_texts(TEXTS // 4),
        "vocabulary": [label for labels in config.vocabulary.values() for label in labels],
    }
    figures: dict[str, Any] = {"clips": len(seen)}
    for name, texts in groups.items():
        vectors = engine.encode_text(texts)
        best = (np.stack(seen) @ vectors.T).max(axis=0)
        before = independent_probabilities(best, config.calibration)
        now = [
            float(independent_probabilities(cosine, calibration_for(config, text, vector)))
            for cosine, text, vector in zip(best, texts, vectors, strict=True)
        ]
        shares = {way: np.mean(np.array(p) >= 0.5) for way, p in (("before", before), ("now", now))}
        figures[name] = {way: round(float(share), 4) for way, share in shares.items()}
    return figures


def filtered_search(rows: int, queries: int = 100) -> dict[str, dict[str, float]]:
    """What filters find that keep 0.1%, 1% and 10% of the rows, against exact search.

    `window`: a stretch of time, at a place of its own for each query. `camera`: one that sees what
    no other does, rows near one vector; most queries mean something else.
    """
    dim = 256
    block, meanings = robot_vectors(rows, dim)
    vectors = np.concatenate(
        [block(first, min(first + BLOCK, rows)) for first in range(0, rows, BLOCK)]
    )
    rng = np.random.default_rng(2)
    cameras = np.full(rows, CAMERA, object)
    for share in reversed(FILTERS):
        likeness = vectors @ vectors[rng.integers(rows)]
        cameras[np.argsort(-likeness)[: round(share * rows)]] = f"camera_{share:g}"
    asked = robot_queries(meanings, queries)
    figures = {}
    with tempfile.TemporaryDirectory() as place:
        store = open_store(place, "bench", dim, create=True)
        for first in range(0, rows, BLOCK):
            numbers = range(first, min(first + BLOCK, rows))
            store.append([made_row(i, vectors[i], cameras[i]) for i in numbers])
        compact_and_index(store)
        for share in FILTERS:
            kept = round(share * rows)
            firsts = rng.integers(rows - kept, size=queries)
            stamps = [made_row(first, vectors[0]).stamp for first in (*firsts, *(firsts + kept))]
            windows = [
                Filter(start=begin, end=end - 1)
                for begin, end in zip(stamps[:queries], stamps[queries:], strict=True)
            ]
            figures[f"window_{share:g}"] = _against_exact(store, asked, windows)
            named = [Filter(cameras=(f"camera_{share:g}",))] * queries
            figures[f"camera_{share:g}"] = _against_exact(store, asked, named)
    return figures


def _against_exact(
    store: MemoryStore, asked: NDArray[np.float32], filters: list[Filter]
) -> dict[str, float]:
    shares: list[float] = []
    times: dict[bool, list[float]] = {False: [], True: []}
    for vector, which in zip(asked, filters, strict=True):
        found: dict[bool, set[int]] = {}
        for exact in (False, True):
            begin = time.perf_counter()
            hits = store.nearest(vector, 10, which, exact=exact)
            times[exact].append(1000.0 * (time.perf_counter() - begin))
            found[exact] = {hit.row.stamp for hit in hits}
        shares.append(len(found[False] & found[True]) / len(found[True]))
    return {
        "recall_at_10": round(float(np.mean(shares)), 4),
        "nothing_found": round(float(np.mean(np.array(shares) == 0.0)), 4),
        "ms": round(float(np.median(times[False])), 2),
        "exact_ms": round(float(np.median(times[True])), 2),
    }


def stream_figures(stream: EmbeddingStream, stretches: list[tuple[int, int]]) -> dict[str, Any]:
    """Rate and latency of the images within stretches [begin, end) of nanoseconds.

    By the images' own stamps: an embedding that arrives late is not a frame that was lost.

    Raises:
        ProcessFailed: A stretch has no images.
    """
    rates: list[float] = []
    frames, seconds = 0, 0.0
    latencies: list[float] = []
    for begin, end in stretches:
        at = [i for i, stamp in enumerate(stream.stamps) if begin <= stamp < end]
        if len(at) < 2:
            raise ProcessFailed("the stream of embeddings ended")
        span = (stream.stamps[at[-1]] - stream.stamps[at[0]]) / 1e9
        frames += len(at) - 1
        seconds += span
        latencies += [stream.latencies[i] for i in at]
        rates.append(round((len(at) - 1) / span, 3))
    return {
        "fps": round(frames / seconds, 3),
        "fps_each": rates,
        "embedding_latency_ms": quantiles(latencies),
    }


def fresh_texts() -> Iterator[str]:
    """Yield texts that differ from each other, in an order without a pattern, without end."""
    texts = candidate_texts(TEXTS)
    order = np.random.default_rng(0).permutation(TEXTS)
    for number in itertools.count():
        turn, place = divmod(number, TEXTS)
        text = texts[order[place]]
        yield f"{text} {turn}" if turn else text


def _measure(
    graph: BenchGraph, memory: psutil.Process, store: MemoryStore, engine: Any, seconds: float
) -> dict[str, Any]:
    client = graph.client.connect("vljepa_ros/srv/FindMoments", "find_moments", START_TIMEOUT_S)
    graph.wait_for_stream()
    service = ros.interface("vljepa_ros/srv/FindMoments")
    fresh = fresh_texts()

    def ask(text: str) -> float:
        begin = time.perf_counter()
        reply = graph.client.call(client, service.Request(text=text, limit=10), START_TIMEOUT_S)
        taken = 1000.0 * (time.perf_counter() - begin)
        if reply.result.code or not reply.moments:
            raise ProcessFailed(f"find_moments found nothing: {reply.result.message}")
        return taken

    def bare(text: str) -> tuple[float, float]:
        vectors: list[Any] = []
        encoding = time_ms(lambda: vectors.extend(engine.encode_text([text])))
        query = MomentQuery(text)
        return encoding, time_ms(
            lambda: find_moments(store, query, vectors[0], engine.config.calibration)
        )

    def cpu_seconds() -> float:
        used = memory.cpu_times()
        return float(used.user + used.system)

    first = ask(next(fresh))
    for _ in range(WARM_UP):
        ask(next(fresh))
        bare(next(fresh))
    stretches: dict[str, list[tuple[int, int]]] = {"alone": [], "asked": [], "control": []}
    calls: list[float] = []
    known: list[float] = []
    bares: list[tuple[float, float]] = []
    resident = resident_mib(memory.pid)
    idle_cpu = idle_seconds = 0.0
    part = seconds / ROUNDS

    def repeat(work: Callable[[str], None]) -> None:
        due = time.monotonic()
        end = due + part
        while due < end:
            work(next(fresh))
            due = max(due + REQUEST_INTERVAL_S, time.monotonic())
            graph.spin(due - time.monotonic())

    def request(text: str) -> None:
        calls.append(ask(text))
        if len(calls) % 4 == 0:
            known.append(ask(text))

    for number in range(ROUNDS):
        note(f"round {number + 1} of {ROUNDS}: alone, asked, control; {part:g} s each ...")
        begin, began, used = time.time_ns(), time.monotonic(), cpu_seconds()
        graph.spin(part)
        idle_cpu += cpu_seconds() - used
        idle_seconds += time.monotonic() - began
        stretches["alone"].append((begin, begin := time.time_ns()))
        repeat(request)
        stretches["asked"].append((begin, begin := time.time_ns()))
        repeat(lambda text: bares.append(bare(text)))
        stretches["control"].append((begin, time.time_ns()))
    graph.spin(2.0)
    figures = {name: stream_figures(graph.stream, kind) for name, kind in stretches.items()}
    service_ms, bare_ms = quantiles(calls), quantiles([sum(pair) for pair in bares])
    return {
        "rows": store.count(),
        "find_moments_ms": service_ms,
        "known_text_ms": quantiles(known),
        "first_call_ms": round(first, 1),
        "bare_text_ms": quantiles([pair[0] for pair in bares]),
        "bare_search_ms": quantiles([pair[1] for pair in bares]),
        "bare_ms": bare_ms,
        "service_to_bare": round(service_ms["median"] / bare_ms["median"], 3),
        **figures,
        "fps_asked_to_alone": round(figures["asked"]["fps"] / figures["alone"]["fps"], 4),
        "memory_node_share_of_a_core": round(idle_cpu / idle_seconds, 4),
        "memory_node_mib": [resident, resident_mib(memory.pid)],
        "runtime": ros.RUNTIME,
    }


def main() -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add_model_options(parser, NANO)
    stretches = "of each of the three kinds of stretch, in four parts; 0: filters only"
    add_number_option(parser, "--seconds", 60.0, stretches, non_negative_seconds)
    rows = "in the memory at the start, as many as in 28 hours at one a second"
    add_number_option(parser, "--rows", 100_000, rows, natural_number, "N")
    return run_script(parser, bench_find, as_lines)


if __name__ == "__main__":
    sys.exit(main())
