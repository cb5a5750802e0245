"""How old an image is when its embedding is there, at several rates of camera and clips.

    python lab/bench/bench_phase.py --seconds 20

Ring, worker and pipeline of the perception node run in this process, without a transport. The
camera's clock runs a little fast, so that its images pass all phases of the clips' rate, and each
image comes up to a tenth of a period early or late. Control: the bare model, before and after.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from typing import Any

import numpy as np

from vljepa_lab.bench.camera import pictures
from vljepa_lab.bench.harness import (
    CAMERA,
    IMAGE_SIZE,
    BareModel,
    as_lines,
    run_script,
)
from vljepa_lab.bench.samples import measure_ms, quantiles
from vljepa_ros import ros
from vljepa_ros.cli.options import add_model_options, add_number_option
from vljepa_ros.engines.load import load_engine
from vljepa_ros.engines.protocol import Engine
from vljepa_ros.nodes.topics import image_message
from vljepa_ros.perception.frames import FrameDecoder
from vljepa_ros.perception.pipeline import EMBEDDINGS, CameraFeed, Observation, Pipeline
from vljepa_ros.perception.ring import ClipRing
from vljepa_ros.perception.worker import Worker
from vljepa_ros.resources import NANO, model_dir

RATES = ((25.0, 5.0), (30.0, 5.0), (10.0, 10.0), (30.0, 12.0), (10.0, 30.0))
"""Images a second, and clips a second at most."""
FAST = 1.002  # how much the camera's clock runs ahead
JITTER = 0.1  # of a period, either way
BARE_STEPS = 60


def watch(engine: Engine, messages: list[Any], fps: float, rate: float, seconds: float) -> Any:
    """Milliseconds from each image that an embedding is of to that embedding."""
    config, ages = engine.config, []
    decoder = FrameDecoder(config.input_size, preprocessing=config.preprocessing)
    ring: ClipRing[Any] = ClipRing(config.clip_frames, config.frame_interval, decoder)
    feed = CameraFeed(CAMERA, ring, rate, frozenset({EMBEDDINGS}))

    def publish(seen: Observation) -> float:
        ages.append((time.monotonic_ns() - seen.stamp) / 1e6)
        return 0.0

    def fail(error: Exception) -> None:
        raise error

    pipeline = Pipeline(engine, [feed], publish, lambda vocabulary: None)
    pipeline.watching = True
    worker, random = Worker(fail), np.random.default_rng(0)
    worker.start(pipeline.step)
    begin, pause = time.monotonic(), threading.Event()
    for number in range(round(seconds * fps)):
        due = begin + (number + random.uniform(-JITTER, JITTER)) / fps / FAST
        pause.wait(max(0.0, due - time.monotonic()))
        now = time.monotonic_ns()
        ring.push(now, messages[number % len(messages)], now=now / 1e9)
        worker.wake()
    worker.stop()
    span = config.frame_interval * (config.clip_frames - 1)
    of_all = len(ages) / (seconds - span) / min(fps * FAST, rate)
    return quantiles(ages[2:]) | {"of_the_rate": round(of_all, 3)}


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Measure each pair of rates."""
    folder = model_dir("nano")
    engine = load_engine(model_dir(args.model), args.engine, threads=1)
    shown = pictures(folder / "demo" / "clip.mp4", *IMAGE_SIZE)
    header = ros.interface("std_msgs/msg/Header")()
    messages = [image_message(header, picture) for picture in shown]
    bare = BareModel(engine, shown, 10.0)
    bare_ms = measure_ms(bare.step, BARE_STEPS, BARE_STEPS)
    found = {
        f"{fps:g} fps at {rate:g} Hz": watch(engine, messages, fps, rate, args.seconds)
        for fps, rate in RATES
    }
    return found | {"bare_model_ms": quantiles(bare_ms + measure_ms(bare.step, BARE_STEPS))}


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="bench_phase.py", description=__doc__)
    add_model_options(parser, NANO)
    add_number_option(parser, "--seconds", 20.0, "length of each stream")
    return run_script(parser, measure, as_lines)


if __name__ == "__main__":
    sys.exit(main())
