"""`vljepa bench find`: how long `find_moments` takes while a robot streams, and what it costs the
stream.

A feeder publishes 640x480 pictures at 10 fps; perception and decoder run in one process, the memory
node in another, on a store that was filled before. Three things alternate: the stream alone; the
stream and a request every quarter of a second, each with a text that no node has seen; the stream
and the same work (text, search) in this process without any node, the control.
"""

from __future__ import annotations

import itertools
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vljepa_lab.evaluation.bench_memory import fill
from vljepa_lab.evaluation.bench_vqa import candidate_texts
from vljepa_lab.evaluation.graph_connection import GraphConnection
from vljepa_lab.evaluation.timing import quantiles
from vljepa_ros import ros
from vljepa_ros.cli.package_process import PackageProcess, ProcessFailed, resident_mib
from vljepa_ros.engines.load import load_engine
from vljepa_ros.perception.memory.search import MomentQuery, find_moments
from vljepa_ros.perception.memory.store import MemoryStore, open_store
from vljepa_ros.resources import model_dir

CAMERA = "front"
FPS = 10.0
ROUNDS = 4
EVERY = 0.25
"""Seconds from one request to the next: far more often than people and planners ask."""
WARM_UP = 20
WAIT = 60.0
TEXTS = 960


@dataclass
class _Stream:
    """Embeddings that arrived: their images' stamps (ns) and milliseconds from stamp to arrival."""

    stamps: list[int] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)

    def take(self, message: Any) -> None:
        stamp = message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec
        self.stamps.append(stamp)
        self.latencies.append((time.time_ns() - stamp) / 1e6)

    def figures(self, stretches: list[tuple[int, int]]) -> dict[str, Any]:
        """Rate and latency of the images within stretches [begin, end) of nanoseconds.

        By the images' own stamps: an embedding that arrives late is not a frame that was lost.
        """
        rates: list[float] = []
        frames, seconds = 0, 0.0
        latencies: list[float] = []
        for begin, end in stretches:
            at = [i for i, stamp in enumerate(self.stamps) if begin <= stamp < end]
            if len(at) < 2:
                raise ProcessFailed("the stream of embeddings ended")
            span = (self.stamps[at[-1]] - self.stamps[at[0]]) / 1e9
            frames += len(at) - 1
            seconds += span
            latencies += [self.latencies[i] for i in at]
            rates.append(round((len(at) - 1) / span, 3))
        return {
            "fps": round(frames / seconds, 3),
            "fps_each": rates,
            "embedding_latency_ms": quantiles(latencies),
        }


def bench_find(
    graph: GraphConnection,
    model: str,
    engine: str,
    seconds: float,
    rows: int,
    nodes_options: list[str],
    namespace: str,
    domain: int,
    note: Callable[[str], None],
) -> dict[str, Any]:
    """Measure and return the figures, times in milliseconds.

    :param seconds: of each of the three kinds of stretch, in four parts.
    :param rows: in the memory before anything is seen.
    :param nodes_options: how `vljepa up` is started so that `graph` meets its nodes.
    :param namespace: the nodes' own, absolute.
    :raises ProcessFailed: a node failed, or refused a request.
    :raises ModelError: the model cannot be loaded.
    :raises MemoryStoreError: the memory cannot be made.
    """
    folder = model_dir(model)
    loaded = load_engine(folder, engine, 1, frozenset({"text"}))
    topic = f"{namespace}/camera/image_raw"
    with tempfile.TemporaryDirectory() as place:
        location = str(Path(place) / "memory")
        note(f"a memory of {rows} rows ...")
        store = open_store(location, loaded.config.model_id, loaded.config.dim, create=True)
        fill(store, rows, camera=CAMERA)
        stream = _Stream()
        graph.subscribe(
            "vljepa_ros/msg/Embedding",
            f"{CAMERA}/embeddings",
            stream.take,
            ros.QoSProfile(depth=100),
        )
        nodes = PackageProcess(
            "vljepa_ros.cli.main",
            [
                *("up", "--source", "none", "--model", model, "--engine", engine),
                *("--camera", f"{CAMERA}={topic}"),
                *("--param", f"perception_node:{CAMERA}.max_rate:=30.0", *nodes_options),
            ],
        )
        memory = PackageProcess(
            "vljepa_ros.nodes.memory_node",
            [
                *("--ros-args", "-r", f"__ns:={namespace}"),
                *("-p", f"cameras:={json.dumps([CAMERA])}", "-p", f"model:={json.dumps(model)}"),
                *("-p", f"location:={json.dumps(location)}"),
                *("-p", f"{CAMERA}.image_topic:={json.dumps(topic)}"),
            ],
            {"ROS_DOMAIN_ID": str(domain)},
        )
        feeder = PackageProcess(
            "vljepa_lab.evaluation.image_feeder",
            [
                *("--topic", topic, "--clip", str(folder / "demo" / "clip.mp4")),
                *("--domain", str(domain), "--fps", str(FPS), "--seconds", "100000"),
            ],
        )
        with nodes, memory, feeder:
            processes = {"nodes": nodes, "memory": memory, "feeder": feeder}
            return _measure(graph, stream, processes, store, loaded, seconds, note)


def _measure(
    graph: GraphConnection,
    stream: _Stream,
    processes: dict[str, PackageProcess],
    store: MemoryStore,
    engine: Any,
    seconds: float,
    note: Callable[[str], None],
) -> dict[str, Any]:
    def spin(length: float) -> None:
        graph.spin(lambda: False, timeout=length)
        for process in processes.values():
            process.check()

    client = graph.connect("vljepa_ros/srv/FindMoments", "find_moments", WAIT)
    if not graph.spin(lambda: len(stream.stamps) >= 10, timeout=WAIT):
        raise ProcessFailed(f"no stream within {WAIT:g} s: {processes['nodes'].output()[-400:]}")
    service = ros.interface("vljepa_ros/srv/FindMoments")
    fresh = _fresh_texts()

    def ask(text: str) -> float:
        begin = time.perf_counter()
        reply = graph.call(client, service.Request(text=text, limit=10), WAIT)
        taken = 1000.0 * (time.perf_counter() - begin)
        if not reply.success or not reply.scores:
            raise ProcessFailed(f"find_moments found nothing: {reply.message}")
        return taken

    def bare(text: str) -> tuple[float, float]:
        begin = time.perf_counter()
        (vector,) = engine.encode_text([text])
        encoded = time.perf_counter()
        find_moments(store, MomentQuery(text), vector, engine.config.calibration)
        end = time.perf_counter()
        return 1000.0 * (encoded - begin), 1000.0 * (end - encoded)

    memory_pid = processes["memory"].pid
    first = ask(next(fresh))
    for _ in range(WARM_UP):
        ask(next(fresh))
        bare(next(fresh))
    stretches: dict[str, list[tuple[int, int]]] = {"alone": [], "asked": [], "control": []}
    calls: list[float] = []
    known: list[float] = []
    bares: list[tuple[float, float]] = []
    resident = resident_mib(memory_pid)
    idle_cpu = idle_seconds = 0.0
    part = seconds / ROUNDS

    def each(work: Callable[[str], None]) -> None:
        due = time.monotonic()
        end = due + part
        while due < end:
            work(next(fresh))
            due = max(due + EVERY, time.monotonic())
            spin(max(0.0, due - time.monotonic()))

    def request(text: str) -> None:
        calls.append(ask(text))
        if len(calls) % 4 == 0:
            known.append(ask(text))

    for number in range(ROUNDS):
        note(f"round {number + 1} of {ROUNDS}: alone, asked, control; {part:g} s each ...")
        begin, began, used = time.time_ns(), time.monotonic(), _cpu_seconds(memory_pid)
        spin(part)
        idle_cpu += _cpu_seconds(memory_pid) - used
        idle_seconds += time.monotonic() - began
        stretches["alone"].append((begin, begin := time.time_ns()))
        each(request)
        stretches["asked"].append((begin, begin := time.time_ns()))
        each(lambda text: bares.append(bare(text)))
        stretches["control"].append((begin, time.time_ns()))
    spin(2.0)
    figures = {name: stream.figures(kind) for name, kind in stretches.items()}
    service_ms = quantiles(calls)
    bare_ms = quantiles([sum(pair) for pair in bares])
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
        "memory_node_mib": [resident, resident_mib(memory_pid)],
        "runtime": ros.RUNTIME,
    }


def _fresh_texts() -> Iterator[str]:
    """Texts that differ from each other, in an order without a pattern; they never end."""
    texts = candidate_texts(TEXTS)
    order = np.random.default_rng(0).permutation(TEXTS)
    for number in itertools.count():
        turn, place = divmod(number, TEXTS)
        text = texts[order[place]]
        yield f"{text} {turn}" if turn else text


def _cpu_seconds(pid: int) -> float:
    """Processor time that a process has used, all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
