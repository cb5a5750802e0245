"""`vljepa bench graph`: from a camera's image to its embedding, process to process.

A camera publishes 640x480 pictures at 10 fps, a perception node embeds each by the newest-frame
rule, and this process takes the time at which the embedding arrives. Controls in the same run: the
bare model, before and after, and the bare transport of the same image between two processes.
"""

from __future__ import annotations

import json

from vljepa_lab.bench import transport
from vljepa_lab.bench.camera import pictures
from vljepa_lab.bench.harness import (
    BENCH_DOMAIN,
    FPS,
    IMAGE_SIZE,
    BareModel,
    BenchGraph,
    EmbeddingStream,
)
from vljepa_lab.bench.samples import drift_per_minute, measure_ms, note, quantiles, resident_mib
from vljepa_ros import ros
from vljepa_ros.engines.load import load_engine
from vljepa_ros.files import JsonObject

WARM_UP_S = 5.0  # of the stream, not counted
SAMPLES = 150  # steps of the bare model, before and again after
UNCOUNTED_SAMPLES = 30


def bench_graph(model: str, engine: str, seconds: float) -> JsonObject:
    """Measure for `seconds` seconds and return the figures, times in milliseconds.

    Raises:
        ProcessFailed: A process of the benchmark failed, or nothing came.
        ModelError: The model cannot be loaded.
    """
    width, height = IMAGE_SIZE
    with BenchGraph(model, engine) as graph:
        shown = pictures(graph.clip, width, height)
        bare = BareModel(load_engine(graph.folder, engine), shown, FPS)
        note("bare model ...")
        bare_ms = measure_ms(bare.step, SAMPLES, UNCOUNTED_SAMPLES)
        note("bare transport ...")
        transported = transport.measure(
            graph.client, graph.clip, BENCH_DOMAIN, width=width, height=height
        )
        note(f"the graph, {seconds:g} s ...")
        nodes, feeder = graph.start_camera_and_nodes("--no-decoder")
        graph.wait_for_stream(1)
        graph.spin(WARM_UP_S)
        graph.stream.clear()
        graph.spin(seconds)
        rss = resident_mib(nodes.pid)
        feeder.stop()
        sent = json.loads(feeder.finish(1.0))["stamps"]
        nodes.stop()
        note("bare model again ...")
        bare_ms += measure_ms(bare.step, SAMPLES, UNCOUNTED_SAMPLES)
        return _figures(graph.stream, sent, bare_ms, transported, rss)


def _figures(
    stream: EmbeddingStream,
    sent: list[int],
    bare_ms: list[float],
    transported: JsonObject,
    rss: float,
) -> JsonObject:
    first, last = stream.stamps[0], stream.stamps[-1]
    offered = [stamp for stamp in sent if first <= stamp <= last]
    span = (last - first) / 1e9
    latency, bare = quantiles(stream.latencies), quantiles(bare_ms)
    seconds = [(stamp - first) / 1e9 for stamp in stream.stamps]
    return {
        "latency_ms": latency,
        "published_ms": quantiles(stream.published),
        "bare_model_ms": bare,
        "transport_ms": transported["latency_ms"] | {"n": transported["received"]},
        "stages_ms": dict(sorted(stream.stages.items())),
        "fps": round((len(stream.stamps) - 1) / span, 3) if span > 0 else 0.0,
        "offered_fps": round((len(offered) - 1) / span, 3) if span > 0 else 0.0,
        "dropped": len(offered) - len(set(offered) & set(stream.stamps)),
        "rss_mib": round(rss, 1),
        "latency_growth_ms_per_minute": round(drift_per_minute(seconds, stream.latencies), 3),
        "latency_to_limit": round(latency["median"] / (1.5 * bare["median"] + 5.0), 3),
        "seconds": round(span, 1),
        "image": "{}x{} rgb8".format(*IMAGE_SIZE),
        "runtime": ros.RUNTIME,
    }
