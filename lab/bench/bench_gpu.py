"""Everything about speed that needs a GPU, in one command of at most nine minutes.

    python lab/bench/bench_gpu.py --out gpu.json
    python lab/bench/bench_gpu.py --device cpu --tiny --parts device,eager8    # its mechanics

Needs this repository, torch and transformers; downloads nothing, and uses no ROS. Each part is a
process of its own with a limit of its own, and the JSON is written after each: an interruption, a
crash or a hang loses one part. What is not installed is a line of its part (`refused`).

device       the GPU, and the matrix peak that the shares below are of
eager8, 16   full size, random weights, 8 or 16 frames: eager in fp32 and bf16, CUDA graphs in bf16;
             batches of 1 to 8, 1 and 8 queries about the same visual tokens
compiled     `torch.compile` beside eager, 8 frames
nano         the embedded model on every engine
cameras      four cameras at 30 Hz through ring, pipeline and worker, with questions meanwhile
onnxruntime  the full size exported, on ONNX Runtime's CUDA provider
tensorrt     the same on TensorRT, built here
train        `vljepa train nano` for the minutes that are left
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from vljepa_lab.bench.samples import note, quantiles
from vljepa_lab.results import provenance, write_result
from vljepa_ros.cli.options import add_number_option
from vljepa_ros.models.config import ModelError

LEAST_S = 5.0  # a part that has less is not begun
QUERIES = (1, 8)
BATCHES = (1, 2, 4, 8)
CAMERAS, FPS, RATE_HZ = 4, 30.0, 5.0
QUESTION_INTERVAL_S = 0.2
ROOT = Path(__file__).parents[2]

Settings = argparse.Namespace
Save = Callable[[dict[str, Any]], None]
"""Keeps what a part has found so far."""


def device(args: Settings, save: Save) -> None:
    """What runs here, and operations a second of square matrix products."""
    import torch

    from vljepa_lab.bench.engine_setup import peak_flops

    found: dict[str, Any] = {"torch": torch.__version__, "cuda": torch.version.cuda}
    if args.device == "cuda":
        properties = torch.cuda.get_device_properties(0)
        found |= {"name": properties.name, "gib": round(properties.total_memory / 2**30, 1)}
    save(found)
    for precision in ("fp32", "bf16"):
        found[f"peak_tflops_{precision}"] = round(peak_flops(args.device, precision) / 1e12, 3)
        save(found)


def _engines(
    args: Settings, save: Save, engines: tuple[str, ...], model: str = "full", **sizes: Any
) -> None:
    """`vljepa bench engine` on some engines; one that cannot run is a line of `refused`."""
    from vljepa_lab.bench.engine import BenchSettings, bench_engine
    from vljepa_lab.bench.engine_setup import loader

    config, load = loader(model, model == "full", args.tiny and model == "full", 0)
    shapes = {"frames": (8,), "queries": QUERIES, "batches": BATCHES} | sizes
    if args.tiny:
        shapes |= {"queries": (1,), "batches": (1, 2)}
    settings = BenchSettings(engines, samples=5 if args.tiny else 15, **shapes)
    save(bench_engine(config, load, settings))


def eager8(args: Settings, save: Save) -> None:
    """Full size, 8 frames."""
    _engines(args, save, ("torch:bf16", "torch-graphs:bf16"))


def eager16(args: Settings, save: Save) -> None:
    """Full size, 16 frames."""
    _engines(args, save, ("torch:bf16", "torch-graphs:bf16"), frames=(16,))


def compiled(args: Settings, save: Save) -> None:
    """Full size, compiled: each shape takes a minute, so few of them."""
    _engines(args, save, ("torch:bf16", "torch-compiled:bf16"), batches=(1, 8), queries=(1,))


def nano(args: Settings, save: Save) -> None:
    """The embedded model."""
    names = ("onnxruntime", "onnxruntime-cuda", "torch-graphs:bf16", "torch:bf16")
    _engines(args, save, names, "nano", frames=(), batches=(1, 8), queries=(1,))


def onnxruntime(args: Settings, save: Save) -> None:
    """Full size, exported."""
    name = "onnxruntime-cuda" if args.device == "cuda" else "onnxruntime"
    _engines(args, save, (name,), batches=(1, 8), queries=(1,))


def tensorrt(args: Settings, save: Save) -> None:
    """Full size, exported and built."""
    _engines(args, save, ("torch:bf16", "tensorrt:bf16"), batches=(1, 8), queries=(1,))


def cameras(args: Settings, save: Save) -> None:
    """The full size, then nano, with four cameras in this process, without a transport."""
    from vljepa_lab.bench.engine_setup import loader

    found: dict[str, Any] = {}
    best = "torch-graphs:bf16" if args.device == "cuda" else "torch:fp32"
    for model, name in (("full", best), ("nano", "auto")):
        try:
            _, load = loader(model, model == "full", args.tiny and model == "full", 0)
            note(f"four cameras, {model} on {name} ...")
            found[model] = _stream(load(name), 2.0 if args.tiny else 8.0)
        except (ModelError, ImportError) as error:
            found[model] = {"refused": str(error)}
        save(found)


def _stream(engine: Any, seconds: float) -> dict[str, Any]:
    """Rates, ages of the embeddings, and how long a question takes meanwhile."""
    from vljepa_ros.perception.frames import FrameDecoder
    from vljepa_ros.perception.pipeline import EMBEDDINGS, CameraFeed, Observation, Pipeline
    from vljepa_ros.perception.ring import ClipRing
    from vljepa_ros.perception.worker import Request, Worker

    config = engine.config
    interval = 1.0 / config.clip_frames  # else most of the time would be the wait for a clip
    decoder = FrameDecoder(config.input_size, preprocessing=config.preprocessing)
    feeds = [
        CameraFeed(
            f"camera{number}",
            ClipRing(config.clip_frames, interval, decoder),
            RATE_HZ,
            frozenset({EMBEDDINGS}),
        )
        for number in range(CAMERAS)
    ]
    random, ages, asked = np.random.default_rng(0), [], []
    pixels = random.integers(0, 256, (16, 480, 640, 3), np.uint8)
    messages = [
        SimpleNamespace(height=480, width=640, encoding="rgb8", is_bigendian=0, step=1920,
                        data=picture.tobytes())
        for picture in pixels
    ]  # fmt: skip

    def publish(seen: Observation) -> float:
        ages.append((time.monotonic_ns() - seen.stamp) / 1e6)
        return 0.0

    def fail(error: Exception) -> None:
        raise error

    def ask(camera: CameraFeed) -> None:
        begin = time.monotonic()

        def answer(request: Any) -> None:
            if camera.encoded is not None:
                engine.embed([camera.encoded[1].tokens], config.default_query)
                asked.append(1000 * (time.monotonic() - begin))

        worker.submit(Request(answer, lambda result, error: None, 10.0))

    pipeline = Pipeline(engine, feeds, publish, lambda vocabulary: None)
    pipeline.watching, pipeline.judges_domain = True, False
    worker = Worker(fail)
    worker.start(pipeline.step)
    begin = time.monotonic()
    for number in range(round((1.0 + seconds) * FPS)):
        time.sleep(max(0.0, begin + number / FPS - time.monotonic()))
        for feed in feeds:
            feed.ring.push(
                time.monotonic_ns(), messages[number % len(messages)], now=time.monotonic()
            )
        if number % round(QUESTION_INTERVAL_S * FPS) == 0:
            ask(feeds[number % CAMERAS])
        worker.wake()
    worker.stop()
    return {
        "engine": engine.info.engine,
        "embeddings_per_s": round(len(ages) / seconds, 2),
        "asked_per_s": CAMERAS * RATE_HZ,
        "age_ms": quantiles(ages),
        "question_ms": quantiles(asked),
        "stages_ms": pipeline.stages.milliseconds(),
    }


def train(args: Settings, save: Save) -> None:
    """`vljepa train nano` until the time is over; its last lines."""
    minutes = max(0.2, (args.limit - 15.0) / 60)
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "vljepa_ros.cli.main", "train", "nano"]
        command += ["--data", f"{folder}/data", "--run", f"{folder}/run", "--device", args.device]
        command += ["--budget-minutes", f"{minutes:.2f}", "--scenes", "200"]
        command += ["--furnished-scenes", "0", "--gate", "0", "0", "--workers", "8"]
        command += ["--text-minutes", "0.5", "--dense-minutes", "0.5"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = (done.stdout + done.stderr).splitlines()[-12:]
    save({"minutes": round(minutes, 2), "exit_code": done.returncode, "last_lines": lines})


@dataclass(frozen=True)
class Part:
    """One part of the run.

    Attributes:
        run: Does it.
        limit: Seconds after which it is ended; what it has kept by then counts.
    """

    run: Callable[[Settings, Save], None]
    limit: float


PARTS = {
    part.run.__name__: part
    for part in (
        *(Part(device, 30), Part(eager8, 100), Part(nano, 45), Part(cameras, 60)),
        *(Part(eager16, 80), Part(compiled, 100), Part(tensorrt, 110), Part(onnxruntime, 80)),
        Part(train, 540),
    )
}


def run_all(args: Settings) -> int:
    """Run the parts one after the other; 0 if the time was enough to begin all."""
    end = time.monotonic() + 60.0 * args.minutes
    result: dict[str, Any] = {"device": args.device, "tiny": args.tiny, "parts": {}}
    result["run"] = provenance()
    for name in args.parts:
        # a CPU is slower, and proves what is done, not how fast
        limit = min(PARTS[name].limit * (10 if args.tiny else 1), end - time.monotonic())
        note(f"{name}: at most {max(0.0, limit):.0f} s ...")
        begin = time.monotonic()
        found = {"not_run": "no time was left"} if limit < LEAST_S else run_part(name, limit, args)
        result["parts"][name] = found | {"seconds": round(time.monotonic() - begin, 1)}
        write_result(result, args.out)
    note(f"written to {args.out}")
    return int(any("not_run" in found for found in result["parts"].values()))


def run_part(name: str, limit: float, args: Settings) -> dict[str, Any]:
    """What one part found, and why it ended if it did not finish."""
    with tempfile.TemporaryDirectory() as folder:
        kept, log = Path(folder) / "found.json", Path(folder) / "log"
        command = [sys.executable, sys.argv[0], "--run", name, "--out", str(kept)]
        command += ["--device", args.device, *["--tiny"] * args.tiny]
        command += ["--limit", str(limit), "--parent", str(os.getpid())]
        path = os.pathsep.join((str(ROOT), str(ROOT / "lab"), os.environ.get("PYTHONPATH", "")))
        with log.open("w") as output:
            process = subprocess.Popen(
                command,
                stdout=output,
                stderr=output,
                env={**os.environ, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1"},
                start_new_session=True,
            )
            try:
                code: int | None = process.wait(limit)
            except subprocess.TimeoutExpired:
                code = None
            finally:  # what it started, too
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
        found: dict[str, Any] = json.loads(kept.read_text()) if kept.exists() else {}
        if code is None:
            found["not_finished"] = f"within {limit:.0f} s"
        elif code:
            lines = [line for line in log.read_text().splitlines() if line.strip()]
            found["failed"] = {"exit_code": code, "last_lines": lines[-4:]}
        return found


def run_one(args: Settings) -> int:
    """In a process of its own: one part; it ends with the process that started it."""

    def watch() -> None:
        while os.getppid() == args.parent:
            time.sleep(0.5)
        os.killpg(os.getpgrp(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()

    def save(found: dict[str, Any]) -> None:
        write_result(found, args.out)

    PARTS[args.run].run(args, save)
    return 0


def main() -> int:
    """Command line; returns the exit code."""
    first = (__doc__ or "").split("\n")[0]
    parser = argparse.ArgumentParser(prog="bench_gpu.py", description=first)
    parser.add_argument("--out", type=Path, default=Path("gpu.json"), metavar="FILE")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tiny", action="store_true", help="small sizes, which a CPU can run")
    parser.add_argument(
        "--parts",
        type=lambda text: text.split(","),
        default=[*PARTS],
        metavar="LIST",
        help=f"of {','.join(PARTS)} (default: all)",
    )
    add_number_option(parser, "--minutes", 8.8, "for all of it")
    parser.add_argument("--run", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--limit", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--parent", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    if args.run:
        return run_one(args)
    unknown = [name for name in args.parts if name not in PARTS]
    if unknown:
        parser.error(f"parts are {unknown}, allowed: {', '.join(PARTS)}")
    return run_all(args)


if __name__ == "__main__":
    sys.exit(main())
