"""`vljepa bench graph`: from a camera's image to its embedding, process to process.

A feeder publishes 640x480 pictures at 10 fps, a perception node embeds each by the newest-frame
rule, and this process takes the time at which the embedding arrives. Controls in the same run: the
bare model, before and after, and the bare transport of the same image between two processes.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from vljepa_lab.evaluation import transport_bench
from vljepa_lab.evaluation.bare_model import BareModel
from vljepa_lab.evaluation.graph_connection import GraphConnection
from vljepa_lab.evaluation.image_feeder import pictures
from vljepa_lab.evaluation.timing import drift_per_minute, quantiles
from vljepa_ros import ros
from vljepa_ros.cli.package_process import PackageProcess, ProcessFailed, resident_mib
from vljepa_ros.engines.load import load_engine
from vljepa_ros.resources import model_dir

SIZE = (640, 480)
FPS = 10.0
WARM_UP = 5.0  # seconds of the stream that do not count
CAMERA = "front"
SAMPLES = 150  # of the bare model, before and again after


def bench_graph(
    graph: GraphConnection,
    model: str,
    engine: str,
    seconds: float,
    nodes_options: list[str],
    topic: str,
    domain: int,
    note: Callable[[str], None],
) -> dict[str, Any]:
    """Measure and return the figures, times in milliseconds.

    :param nodes_options: how the nodes are started so that `graph` meets them.
    :param topic: absolute name of the image topic.
    :raises ProcessFailed: a process of the benchmark failed, or nothing came.
    :raises ModelError: the model cannot be loaded.
    """
    folder = model_dir(model)
    clip = folder / "demo" / "clip.mp4"
    bare = BareModel(load_engine(folder, engine), pictures(clip, *SIZE), FPS)
    note("bare model ...")
    bare_ms = bare.measure(SAMPLES, warm_up=30)
    note("bare transport ...")
    try:
        transport = transport_bench.measure(
            ["--width", str(SIZE[0]), "--height", str(SIZE[1]), "--fps", "30"], domain
        )
    except RuntimeError as error:
        raise ProcessFailed(str(error)) from error
    stream = _Stream()
    reliable = ros.QoSProfile(depth=10)
    graph.subscribe(
        "vljepa_ros/msg/Embedding", f"{CAMERA}/embeddings", stream.on_embedding, reliable
    )
    graph.subscribe(
        "diagnostic_msgs/msg/DiagnosticArray", "/diagnostics", stream.on_status, reliable
    )
    nodes = PackageProcess(
        "vljepa_ros.cli.main",
        [
            *("up", "--source", "none", "--no-decoder", "--model", model, "--engine", engine),
            *("--camera", f"{CAMERA}={topic}"),
            *("--param", f"perception_node:{CAMERA}.max_rate:=30.0", *nodes_options),
        ],
    )
    feeder = PackageProcess(
        "vljepa_lab.evaluation.image_feeder",
        [
            *("--topic", topic, "--clip", str(clip), "--domain", str(domain)),
            *("--fps", str(FPS), "--seconds", "100000"),
        ],
    )
    note(f"the graph, {seconds:g} s ...")
    with nodes, feeder:
        _run(graph, stream, [nodes, feeder], seconds)
        rss = resident_mib(nodes.pid)
        feeder.stop()
        sent = json.loads(feeder.finish(1.0))["stamps"]
        nodes.stop()
    note("bare model again ...")
    bare_ms += bare.measure(SAMPLES, warm_up=30)
    return _figures(stream, sent, bare_ms, transport, rss)


class _Stream:
    """Embeddings as they arrive."""

    def __init__(self) -> None:
        self.stamps: list[int] = []  # nanoseconds, of the newest image
        self.latencies: list[float] = []  # milliseconds from that stamp to the arrival here
        self.published: list[float] = []  # milliseconds from that stamp to publishing
        self.stages: dict[str, float] = {}

    def on_embedding(self, message: Any) -> None:
        now = time.time_ns()
        stamp = message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec
        self.stamps.append(stamp)
        self.latencies.append((now - stamp) / 1e6)
        self.published.append(1000 * float(message.latency))

    def on_status(self, message: Any) -> None:
        for status in message.status:
            for pair in status.values:
                if pair.key.startswith("stage_ms."):
                    self.stages[pair.key.removeprefix("stage_ms.")] = float(pair.value)

    def forget(self) -> None:
        self.stamps.clear()
        self.latencies.clear()
        self.published.clear()


def _run(
    graph: GraphConnection, stream: _Stream, processes: list[PackageProcess], seconds: float
) -> None:
    end = time.monotonic() + 60.0
    while not stream.stamps:
        graph.spin(lambda: bool(stream.stamps), timeout=0.5)
        for process in processes:
            process.check()
        if time.monotonic() > end:
            raise ProcessFailed(f"no embedding within 60 s: {processes[0].output()[-400:]}")
    graph.spin(lambda: False, timeout=WARM_UP)
    stream.forget()
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        graph.spin(lambda: False, timeout=min(1.0, left))
        for process in processes:
            process.check()


def _figures(
    stream: _Stream,
    sent: list[int],
    bare_ms: list[float],
    transport: dict[str, Any],
    rss: float | None,
) -> dict[str, Any]:
    first, last = stream.stamps[0], stream.stamps[-1]
    offered = [stamp for stamp in sent if first <= stamp <= last]
    span = (last - first) / 1e9
    latency, bare = quantiles(stream.latencies), quantiles(bare_ms)
    seconds = [(stamp - first) / 1e9 for stamp in stream.stamps]
    return {
        "latency_ms": latency,
        "published_ms": quantiles(stream.published),
        "bare_model_ms": bare,
        "transport_ms": transport["latency_ms"] | {"n": transport["received"]},
        "stages_ms": _nested(stream.stages),
        "fps": round((len(stream.stamps) - 1) / span, 3) if span > 0 else 0.0,
        "offered_fps": round((len(offered) - 1) / span, 3) if span > 0 else 0.0,
        "dropped": len(offered) - len(set(offered) & set(stream.stamps)),
        "rss_mib": None if rss is None else round(rss, 1),
        "latency_growth_ms_per_minute": round(drift_per_minute(seconds, stream.latencies), 3),
        "latency_to_limit": round(latency["median"] / (1.5 * bare["median"] + 5.0), 3),
        "seconds": round(span, 1),
        "image": f"{SIZE[0]}x{SIZE[1]} rgb8",
        "runtime": ros.RUNTIME,
    }


def _nested(stages: dict[str, float]) -> dict[str, dict[str, float]]:
    """`x_encoder.median` -> {x_encoder: {median}}."""
    found: dict[str, dict[str, float]] = {}
    for name, value in sorted(stages.items()):
        stage, _, quantile = name.rpartition(".")
        found.setdefault(stage, {})[quantile] = round(value, 3)
    return found
