"""What a frame costs on one core: image message to embedding, beside the bare graph.

    python lab/bench/bench_frame.py --model everyday --samples 60

The process keeps to one core and counts processor time, which waiting for a busy core is no part
of. In each round every work takes its turn: the message to the model's input (raw and JPEG), the
whole frame (raw message to embedding), the engine and the bare graph on an input that is ready, and
the text side on a new text. The least of the rounds is what the work costs on a quiet machine.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np

from vljepa_lab.bench.camera import pictures
from vljepa_lab.bench.harness import IMAGE_SIZE, as_lines, run_script
from vljepa_ros.cli.options import add_model_options, add_number_option, natural_number
from vljepa_ros.engines.load import load_engine
from vljepa_ros.engines.protocol import Clip
from vljepa_ros.perception.frames import FrameDecoder
from vljepa_ros.resources import model_dir

UNCOUNTED = 3  # rounds


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Milliseconds of processor time of each work: least and median."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    cv2.setNumThreads(1)
    engine = load_engine(model_dir(args.model), args.engine, threads=1)
    config = engine.config
    decoder = FrameDecoder(config.input_size, preprocessing=config.preprocessing)
    width, height = IMAGE_SIZE
    shown = pictures(model_dir("nano") / "demo" / "clip.mp4", width, height)[0]
    raw = SimpleNamespace(
        height=height, width=width, encoding="bgr8", is_bigendian=0, step=3 * width,
        data=shown[..., ::-1].tobytes(),
    )  # fmt: skip
    jpeg = SimpleNamespace(format="jpeg", data=cv2.imencode(".jpg", shown[..., ::-1])[1].tobytes())
    ready = np.stack([decoder(raw)] * config.clip_frames)
    stamps = iter(range(1 << 62))

    def embed(frames: Any) -> None:
        clip = Clip(frames, tuple(next(stamps) for _ in range(len(frames))))
        engine.embed([engine.encode([clip], [None])[0].tokens], config.default_query)

    def whole() -> None:
        embed(np.stack([decoder(raw)] * config.clip_frames))

    works: dict[str, Callable[[], object]] = {
        "input from a raw message": lambda: decoder(raw),
        "input from a JPEG message": lambda: decoder(jpeg),
        "whole frame": whole,
        "engine on a ready input": lambda: embed(ready),
        "a new text": lambda: engine.encode_text([f"a thing number {next(stamps)}"]),
    }
    bare = bare_graph(config, ready)
    if bare is not None:
        works["bare graph"] = bare
    found: dict[str, list[float]] = {name: [] for name in works}
    for round_ in range(args.samples + UNCOUNTED):
        for name, work in works.items():
            begin = time.process_time()
            work()
            if round_ >= UNCOUNTED:
                found[name].append(1000 * (time.process_time() - begin))
    return {
        "ms": {
            name: {"least": round(min(v), 2), "median": round(float(np.median(v)), 2)}
            for name, v in found.items()
        },
        "image": f"{width}x{height}",
        "input": config.input_size,
    }


def bare_graph(config: Any, frames: Any) -> Callable[[], object] | None:
    """The graph of a model with one for all vision, on ONNX Runtime alone; else None."""
    if "vision" not in config.files:
        return None
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    file = str(config.path("vision"))
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"frames": frames})


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="bench_frame.py", description=__doc__)
    add_model_options(parser)
    add_number_option(parser, "--samples", 60, "rounds", natural_number, "N")
    return run_script(parser, measure, as_lines)


if __name__ == "__main__":
    sys.exit(main())
