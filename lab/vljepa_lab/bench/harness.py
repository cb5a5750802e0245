"""What all benchmarks share: a graph of its own, samples, median and p99, one way to report.

A figure counts only beside a control that was measured in the same run: the bare model here, the
bare transport of `transport.py`, exact search of `memory.py`.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vljepa_lab.bench.samples import note
from vljepa_lab.results import add_result_options, provenance, write_result
from vljepa_ros import ros
from vljepa_ros.cli.client import GraphClient
from vljepa_ros.cli.options import CliError
from vljepa_ros.cli.processes import PackageProcess, ProcessFailed
from vljepa_ros.engines.protocol import Clip, Engine
from vljepa_ros.files import JsonMapping, JsonObject
from vljepa_ros.models.config import ModelError
from vljepa_ros.perception.bags.reading import BagError
from vljepa_ros.perception.frames import model_input
from vljepa_ros.perception.image_source import SourceError
from vljepa_ros.perception.memory.store import MemoryStoreError
from vljepa_ros.resources import model_dir

BENCH_DOMAIN = 74  # ROS domain that no other nodes use
CAMERA = "front"
IMAGE_SIZE = (640, 480)  # pixels: width, height
FPS = 10.0  # images a second
START_TIMEOUT_S = 60.0  # nodes load their model within seconds, on a busy machine in a minute


class BareModel:
    """One camera's work without ROS: scaling, X-Encoder with its cached frames, Predictor.

    Args:
        engine: The engine.
        pictures: [H, W, 3] uint8 RGB images, shown in turn.
        fps: Their rate; it decides which images make a clip, and so what the X-Encoder can take
            from its cache.
    """

    def __init__(self, engine: Engine, pictures: list[NDArray[np.uint8]], fps: float) -> None:
        self._engine = engine
        self._pictures = pictures
        self._shown = 0
        self._period = round(1e9 / fps)
        self._apart = max(1, round(engine.config.frame_interval * fps))
        self._clip = engine.config.clip_frames
        self._frames: deque[NDArray[np.uint8]] = deque(maxlen=self._apart * (self._clip - 1) + 1)
        self._state: Any = None
        while len(self._frames) < self._apart * (self._clip - 1):
            self._show()
        self.step()

    def step(self) -> None:
        """Take one new image and embed the clip that ends with it."""
        self._show()
        newest = self._shown - 1
        stamps = tuple((newest - self._apart * k) * self._period for k in range(self._clip))[::-1]
        clip = Clip(np.stack(list(self._frames)[:: self._apart]), stamps)
        (encoded,) = self._engine.encode([clip], [self._state])
        self._state = encoded.state
        self.tokens = encoded.tokens  # [N, D] float32, of the newest clip
        self._engine.embed([encoded.tokens], self._engine.config.default_query)

    def _show(self) -> None:
        picture = self._pictures[self._shown % len(self._pictures)]
        config = self._engine.config
        self._frames.append(
            model_input(picture, config.input_size, preprocessing=config.preprocessing)
        )
        self._shown += 1


class EmbeddingStream:
    """Embeddings as they arrive, and the stages of the node's diagnostics."""

    def __init__(self) -> None:
        self.stamps: list[int] = []  # nanoseconds, of the newest image
        self.latencies: list[float] = []  # milliseconds from that stamp to the arrival here
        self.published: list[float] = []  # milliseconds from that stamp to publishing
        self.arrivals: list[float] = []  # monotonic seconds
        self.stages: dict[str, dict[str, float]] = {}  # stage -> quantile -> milliseconds

    def on_embedding(self, message: ros.Message) -> None:
        """Note one embedding."""
        now = time.time_ns()
        stamp = message.header.stamp.sec * 1_000_000_000 + message.header.stamp.nanosec
        self.stamps.append(stamp)
        self.latencies.append((now - stamp) / 1e6)
        self.published.append(1000 * float(message.latency))
        self.arrivals.append(time.monotonic())

    def on_status(self, message: ros.Message) -> None:
        """Note the stages, `stage_ms.<stage>.<quantile>` in the diagnostics."""
        for status in message.status:
            for pair in status.values:
                if pair.key.startswith("stage_ms."):
                    stage, _, quantile = pair.key.removeprefix("stage_ms.").rpartition(".")
                    self.stages.setdefault(stage, {})[quantile] = round(float(pair.value), 3)

    def clear(self) -> None:
        """Forget the embeddings, not the stages."""
        for values in (self.stamps, self.latencies, self.published, self.arrivals):
            values.clear()  # type: ignore[attr-defined]

    def rate_since(self, began: float) -> float:
        """Messages a second since a monotonic time, from the first to the last of them."""
        counted = [moment for moment in self.arrivals if moment >= began]
        if len(counted) < 2:
            return 0.0
        return round((len(counted) - 1) / (counted[-1] - counted[0]), 3)


class BenchGraph:
    """Nodes under test in a namespace of their own; use it as a context manager.

    Args:
        model: Name or folder of the model.
        engine: Name of its engine.

    Raises:
        ModelError: No such model.
    """

    def __init__(self, model: str, engine: str) -> None:
        self.folder = model_dir(model)
        self.clip = model_dir("nano") / "demo" / "clip.mp4"
        self.stream = EmbeddingStream()
        self._model = ["--model", model, "--engine", engine]
        name = f"bench_{os.getpid()}"
        self.client = GraphClient(name, BENCH_DOMAIN)
        self.namespace = self.client.namespace
        self.topic = f"{self.namespace}/camera/image_raw"
        self._options = ["--domain", str(BENCH_DOMAIN), "--namespace", name]
        self._processes: list[PackageProcess] = []

    def __enter__(self) -> BenchGraph:
        self.client.__enter__()
        qos, stream = ros.QoSProfile(depth=100), self.stream
        embedding, status = "vljepa_ros/msg/Embedding", "diagnostic_msgs/msg/DiagnosticArray"
        self.client.subscribe(embedding, f"{CAMERA}/embeddings", stream.on_embedding, qos)
        self.client.subscribe(status, "/diagnostics", stream.on_status, qos)
        return self

    def __exit__(self, *error: object) -> None:
        for process in reversed(self._processes):
            process.__exit__()
        self.client.__exit__()

    def start(self, module: str, *arguments: str, **environment: str) -> PackageProcess:
        """Start a process that is ended with the graph."""
        process = PackageProcess(module, arguments, environment)
        process.__enter__()
        self._processes.append(process)
        return process

    def start_nodes(self, *options: str) -> PackageProcess:
        """Start `vljepa up`, its decoder without a state file."""
        keep_nothing = ("--param", "selective_decoder_node:state_file:=''")
        return self.start(
            "vljepa_ros.cli.main", "up", *self._model, *self._options, *keep_nothing, *options
        )

    def start_camera_and_nodes(self, *options: str) -> tuple[PackageProcess, PackageProcess]:
        """Start a camera in a process of its own, and nodes that embed each of its images."""
        camera = f"{CAMERA}={self.topic}"
        nodes = self.start_nodes(
            *("--source", "none", "--camera", camera, *options),
            *("--param", f"perception_node:{CAMERA}.max_rate:=30.0"),
        )
        feeder = self.start(
            "vljepa_lab.bench.camera",
            *("--topic", self.topic, "--clip", str(self.clip), "--domain", str(BENCH_DOMAIN)),
            *("--fps", str(FPS), "--seconds", "100000"),
        )
        return nodes, feeder

    def spin(self, seconds: float) -> None:
        """Receive for a while, in which no process may end.

        Raises:
            ProcessFailed: One ended.
        """
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.client.spin(lambda: False, timeout=min(1.0, left))
            self.check()

    def wait_for_stream(self, count: int = 10) -> None:
        """Wait for the first embeddings.

        Raises:
            ProcessFailed: They did not come in time, or a process ended.
        """
        end = time.monotonic() + START_TIMEOUT_S
        while not self.client.spin(lambda: len(self.stream.stamps) >= count, timeout=0.5):
            self.check()
            if time.monotonic() > end:
                raise ProcessFailed(
                    f"no stream within {START_TIMEOUT_S:g} s: {self._processes[0].output()[-400:]}"
                )

    def end(self, process: PackageProcess) -> None:
        """End a process that was started here."""
        self._processes.remove(process)
        process.__exit__()

    def check(self) -> None:
        """Raise ProcessFailed if a process ended."""
        for process in self._processes:
            process.check()


def report(
    args: argparse.Namespace,
    measure: Callable[[], JsonObject],
    text: Callable[[JsonObject], str],
) -> int:
    """Measure, add the provenance, save, print as `text` or JSON; returns the exit code 0.

    Raises:
        CliError: A foreseen failure, in one line.
    """
    try:
        result = measure() | {"run": provenance()}
        write_result(result, args.save)
    except (ProcessFailed, ModelError, SourceError, BagError, MemoryStoreError, OSError) as error:
        raise CliError(str(error)) from error
    except ImportError as error:
        raise CliError(f"{error.name} is not installed: pip install {error.name}") from error
    if args.save is not None:
        note(f"written to {args.save}")
    print(json.dumps(result) if args.json else text(result))
    return 0


def run_script(
    parser: argparse.ArgumentParser,
    measure: Callable[[argparse.Namespace], JsonObject],
    text: Callable[[JsonObject], str],
    argv: Sequence[str] | None = None,
) -> int:
    """Run a benchmark as a script: `report` with the errors as one line and exit code 1."""
    add_result_options(parser)
    args = parser.parse_args(argv)
    try:
        return report(args, lambda: measure(args), text)
    except CliError as error:
        note(f"{parser.prog}: {error}")
        return 1


def as_lines(result: JsonMapping, prefix: str = "") -> str:
    """One line for each figure, nested names joined by dots."""
    lines: list[str] = []
    for name, value in result.items():
        if isinstance(value, Mapping):
            lines.append(as_lines(value, f"{prefix}{name}."))
        else:
            lines.append(f"{prefix}{name:<{max(1, 44 - len(prefix))}} {value}")
    return "\n".join(lines)


def as_json(result: JsonMapping) -> str:
    """JSON for reading."""
    return json.dumps(result, indent=2)
