"""What nodes cost while nothing is asked of them, how soon one sees, and four cameras at full rate.

    python lab/bench/bench_nodes.py --save benchmarks/results/nodes.json
    python lab/bench/bench_nodes.py --parts unsubscribed --seconds 60

triggers  trigger_node on four cameras: without triggers, with 100 on each and no embeddings, and
          with five embeddings a second. Processor time, as shares of a core.
unsubscribed  perception_node at 640x480 and 30 Hz while nothing subscribes to its results, beside a
          plain subscriber of the same topic at the same time; then one question about the frames.
start     from starting the process to its first embedding, beside a process that only loads the
          model and embeds one clip.
cameras   four cameras at 30 Hz: embeddings a second, how old they are, and how long a question
          takes, beside the same questions while each camera sends one image a second.

All of it on the built-in runtime, or on rclpy where that can be imported.
"""

from __future__ import annotations

import argparse
import array
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from vljepa_lab.bench.harness import (
    BENCH_DOMAIN,
    CAMERA,
    START_TIMEOUT_S,
    BenchGraph,
    EmbeddingStream,
    as_lines,
    run_script,
)
from vljepa_lab.bench.samples import drift_per_minute, note, quantiles, time_ms
from vljepa_ros import ros
from vljepa_ros.cli.options import CliError, add_model_options, add_number_option, natural_number
from vljepa_ros.cli.processes import PackageProcess, ProcessFailed
from vljepa_ros.engines.load import load_engine
from vljepa_ros.engines.protocol import Clip
from vljepa_ros.nodes.topics import REPEATED, RESULTS
from vljepa_ros.resources import NANO, model_dir

CAMERAS = (CAMERA, "left", "right", "rear")
TRIGGERS = 100  # of each camera
DIM = 256
RATE_HZ = 5.0  # embeddings a second and camera, the node's default
FPS = 30.0
WINDOWS = 5  # into which the measured time is cut, to see how much the figures vary
WARM_UP_S = 5.0
QUESTION = ("is the door open or closed?", ("open", "closed", "half open", "not to be seen"))
QUESTION_INTERVAL_S = 0.05
EMBEDDING = "vljepa_ros/msg/Embedding"


def cpu_seconds(process: PackageProcess) -> float:
    """Processor time of all threads of a process so far."""
    return float(sum(psutil.Process(process.pid).cpu_times()[:2]))


def shares(
    processes: dict[str, PackageProcess], spin: Callable[[float], None], seconds: float
) -> dict[str, list[float]]:
    """Share of a core that each process takes, in each of WINDOWS windows at the same time."""
    spin(WARM_UP_S)
    found: dict[str, list[float]] = {name: [] for name in processes}
    for _ in range(WINDOWS):
        begin, used = time.monotonic(), {n: cpu_seconds(p) for n, p in processes.items()}
        spin(seconds / WINDOWS)
        took = time.monotonic() - begin
        for name, process in processes.items():
            found[name].append(round((cpu_seconds(process) - used[name]) / took, 4))
    return found


def start_node(graph: BenchGraph, node: str, namespace: str = "", **settings: Any) -> Any:
    """Start one node in a process of its own."""
    given = [x for k, v in settings.items() for x in ("-p", f"{k}:={json.dumps(v)}")]
    where = ("--ros-args", "-r", f"__ns:={namespace or graph.namespace}")
    domain = {"ROS_DOMAIN_ID": str(BENCH_DOMAIN)}
    return graph.start("vljepa_ros.nodes.program", node, *where, *given, **domain)


def start_camera(graph: BenchGraph, topics: list[str], fps: float) -> PackageProcess:
    """Start a process that publishes 640x480 images on each topic."""
    return graph.start(
        "vljepa_lab.bench.camera",
        *("--topic", *topics, "--clip", str(graph.clip), "--domain", str(BENCH_DOMAIN)),
        *("--fps", str(fps), "--seconds", "100000"),
    )


def triggers(args: argparse.Namespace) -> dict[str, Any]:
    """Shares of a core; this process plays perception_node."""
    with BenchGraph(args.model, args.engine) as graph:
        node = ros.Node("perception_node", namespace=graph.namespace)
        executor = ros.SingleThreadedExecutor()
        executor.add_node(node)
        vectors = np.random.default_rng(0).normal(size=(TRIGGERS + 1, DIM)).astype(np.float32)
        vectors[:TRIGGERS] += 1.5 * vectors[-1]  # texts of one model resemble each other
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        info = ros.interface("vljepa_ros/msg/ModelInfo")(
            model_id="bench", capabilities=["presence"], logit_scale=20.0, none_similarity=0.7
        )
        heartbeat = node.create_publisher(type(info), "model_info", REPEATED)
        node.create_timer(0.5, lambda: heartbeat.publish(info))

        def encode(request: Any, response: Any) -> Any:
            rows, count = [int(text) for text in request.texts], len(request.texts)
            response.model_id, response.dim = "bench", DIM
            response.vectors = array.array("f", vectors[rows].tobytes())
            response.logit_scales = array.array("f", [20.0] * count)
            response.none_similarities = array.array("f", [0.7] * count)
            response.least = array.array("f", [0.0] * count)
            return response

        node.create_service(ros.interface("vljepa_ros/srv/EncodeText"), "encode_text", encode)
        state = ros.interface("vljepa_ros/msg/TriggerState")
        message = ros.interface(EMBEDDING)(model_id="bench")
        topics = [node.create_publisher(type(message), f"{n}/embeddings", RESULTS) for n in CAMERAS]
        seen = [0]

        def see() -> None:
            seen[0] += 1
            message.vector = array.array("f", vectors[seen[0] // 10 % TRIGGERS].tobytes())
            message.header.stamp = message.clip_start = node.get_clock().now().to_msg()
            for topic in topics:
                topic.publish(message)

        def spin(seconds: float) -> None:
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                executor.spin_once(timeout_sec=0.1)

        texts, found = [str(i) for i in range(TRIGGERS)], {}
        for name, watched, seeing in (
            ("without_triggers", [""], False),
            ("without_embeddings", texts, False),
            ("with_embeddings", texts, True),
        ):
            note(f"trigger_node {name} ...")
            if seeing:
                node.create_timer(1 / RATE_HZ, see)
            states: list[Any] = []
            watch = node.create_subscription(state, f"{CAMERA}/trigger_state", states.append, 1)
            process = start_node(graph, "trigger_node", cameras=list(CAMERAS), triggers=watched)
            end = time.monotonic() + START_TIMEOUT_S
            while not states and time.monotonic() < end:
                spin(0.5)
            node.destroy_subscription(watch)
            found[name] = shares({"node": process}, spin, args.seconds)["node"]
            graph.check()
            graph.end(process)
        executor.remove_node(node)
        node.destroy_node()
    return found


def unsubscribed(args: argparse.Namespace) -> dict[str, Any]:
    """Shares of a core of perception_node and of a plain subscriber of the same images."""
    with BenchGraph(args.model, args.engine) as graph:
        apart = f"{graph.namespace}_unsubscribed"  # in the graph's own, this process subscribes
        settings = {"cameras": [CAMERA], "model": args.model, f"{CAMERA}.image_topic": graph.topic}
        processes = {
            "perception": start_node(graph, "perception_node", apart, **settings),
            "subscriber": graph.start("bench_nodes", "--subscriber", graph.topic),
        }
        client = graph.client.connect(
            "vljepa_ros/srv/AnswerQuestion", f"{apart}/answer_question", START_TIMEOUT_S
        )
        start_camera(graph, [graph.topic], FPS)

        why = [""]

        def answered() -> bool:
            reply = graph.client.call(client, question(), START_TIMEOUT_S)
            why[0] = reply.result.message
            graph.spin(0.5)
            return not reply.result.code

        if not graph.client.spin(answered, START_TIMEOUT_S):  # both receive images by then
            raise ProcessFailed(f"no question is answered: {why[0]}")
        note("perception_node without subscribers to its results, and a plain subscriber ...")
        found: dict[str, Any] = dict(shares(processes, graph.spin, args.seconds))
        pairs = zip(found["perception"], found["subscriber"], strict=True)
        apart_by = [round(100 * (mine - plain), 2) for mine, plain in pairs]
        kept = answered()
    return found | {
        "points_above": apart_by,
        "median_points_above": float(np.median(apart_by)),
        "frames_kept_for_a_question": kept,
    }


def question(camera: str = CAMERA) -> Any:
    """A request about one camera."""
    asked = ros.interface("vljepa_ros/msg/Question")(text=QUESTION[0], candidates=list(QUESTION[1]))
    return ros.interface("vljepa_ros/srv/AnswerQuestion").Request(camera=camera, question=asked)


def start(args: argparse.Namespace) -> dict[str, Any]:
    """Seconds from starting perception_node to its first model_info and its first embedding."""
    found: dict[str, list[float]] = {"active": [], "first_embedding": [], "bare_process": []}
    with BenchGraph(args.model, args.engine) as graph:
        received: list[float] = []
        graph.client.subscribe(
            "vljepa_ros/msg/ModelInfo",
            "model_info",
            lambda message: received.append(time.monotonic()),
            REPEATED,
        )
        start_camera(graph, [graph.topic], FPS)
        settings = {"cameras": [CAMERA], "model": args.model, f"{CAMERA}.image_topic": graph.topic}
        for number in range(args.starts + 1):  # the first fills the disk's cache
            note(f"start {number} of {args.starts} ...")
            graph.stream.clear()
            received.clear()
            begin = time.monotonic()
            process = start_node(graph, "perception_node", **settings)
            graph.wait_for_stream(1)
            found["first_embedding"].append(graph.stream.arrivals[0] - begin)
            found["active"].append(received[0] - begin)
            graph.end(process)
            begin = time.monotonic()
            with PackageProcess("bench_nodes", ["--bare", "--model", args.model]) as bare:
                bare.finish(START_TIMEOUT_S)
            found["bare_process"].append(time.monotonic() - begin)
        config = load_engine(graph.folder, args.engine, 1, frozenset({"vision"})).config
    figures: dict[str, Any] = {name: quantiles(values[1:]) for name, values in found.items()}
    return figures | {"clip_spans_s": config.frame_interval * (config.clip_frames - 1)}


def embed_one_clip(model: str) -> None:
    """Load a model without ROS and embed one clip."""
    engine = load_engine(model_dir(model), parts=frozenset({"vision", "predictor", "text"}))
    config, size = engine.config, engine.config.input_size
    frames = np.zeros((config.clip_frames, size, size, 3), np.uint8)
    encoded = engine.encode([Clip(frames, tuple(range(len(frames))))], [None])
    engine.embed([encoded[0].tokens], config.default_query)


def cameras(args: argparse.Namespace) -> dict[str, Any]:
    """Four cameras at 30 Hz: rates and ages of their embeddings, and questions meanwhile."""
    with BenchGraph(args.model, args.engine) as graph:
        topics = {name: f"{graph.namespace}/{name}/image" for name in CAMERAS}
        streams = {name: EmbeddingStream() for name in CAMERAS}
        for name, stream in streams.items():
            qos = ros.QoSProfile(depth=100)
            graph.client.subscribe(EMBEDDING, f"{name}/embeddings", stream.on_embedding, qos)
        start_node(
            graph,
            "perception_node",
            cameras=list(CAMERAS),
            model=args.model,
            **{f"{name}.image_topic": topic for name, topic in topics.items()},
        )
        client = graph.client.connect(
            "vljepa_ros/srv/AnswerQuestion", "answer_question", START_TIMEOUT_S
        )

        def ask(name: str) -> None:
            reply = graph.client.call(client, question(name), START_TIMEOUT_S)
            if reply.result.code:
                raise ProcessFailed(f"a question was refused: {reply.result.message}")

        def questions() -> dict[str, float | int]:
            taken = []
            for number in range(args.samples):
                taken.append(time_ms(lambda n=number: ask(CAMERAS[n % len(CAMERAS)])))
                graph.spin(QUESTION_INTERVAL_S)
            return quantiles(taken)

        found: dict[str, Any] = {}
        for name, fps in (("at_1_fps", 1.0), ("at_30_fps", FPS)):
            note(f"four cameras {name} ...")
            graph.stream.clear()
            camera = start_camera(graph, list(topics.values()), fps)
            graph.wait_for_stream(3)
            for stream in streams.values():
                stream.clear()
            began = time.monotonic()
            asked = questions()
            graph.spin(max(0.0, args.seconds - (time.monotonic() - began)))
            found[name] = {
                "question_ms": asked,
                "embeddings_per_s": {n: one.rate_since(began) for n, one in streams.items()},
                "age_ms": quantiles([age for one in streams.values() for age in one.published]),
                "age_growth_ms_per_minute": round(
                    max(drift_per_minute(s.arrivals, s.published) for s in streams.values()), 2
                ),
            }
            graph.end(camera)
    slow, fast = found["at_1_fps"]["question_ms"], found["at_30_fps"]["question_ms"]
    return found | {"question_p99_ratio": round(fast["p99"] / slow["p99"], 2)}


PARTS: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    part.__name__: part for part in (triggers, unsubscribed, start, cameras)
}


def subscribe(topic: str) -> None:
    """Receive images, as a node does that does nothing with them, until Ctrl-C."""
    signal.signal(signal.SIGINT, lambda *_: os._exit(0))
    ros.init(args=[], domain_id=BENCH_DOMAIN)
    node = ros.Node("plain_subscriber")
    image = ros.interface("sensor_msgs/msg/Image")
    node.create_subscription(image, topic, lambda message: None, ros.sensor_data_qos)
    ros.spin(node)


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Measure the parts that are asked for."""
    unknown = [name for name in args.parts if name not in PARTS]
    if unknown:
        raise CliError(f"parts are {unknown}, allowed: {', '.join(PARTS)}")
    # The processes that it starts find this file, too.
    path = str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")
    os.environ["PYTHONPATH"] = os.pathsep.join(path)
    return {name: PARTS[name](args) for name in args.parts} | {"runtime": ros.RUNTIME}


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="bench_nodes.py", description=__doc__)
    add_model_options(parser, NANO)
    parts = f"of {','.join(PARTS)} (default: all)"
    parser.add_argument(
        "--parts", type=lambda text: text.split(","), default=[*PARTS], metavar="LIST", help=parts
    )
    add_number_option(parser, "--seconds", 30.0, "of each figure")
    add_number_option(parser, "--samples", 300, "questions", natural_number, "N")
    add_number_option(parser, "--starts", 10, "starts", natural_number, "N")
    parser.add_argument("--subscriber", metavar="TOPIC", help=argparse.SUPPRESS)
    parser.add_argument("--bare", action="store_true", help=argparse.SUPPRESS)
    args, _ = parser.parse_known_args()
    if args.subscriber:
        subscribe(args.subscriber)
    elif args.bare:
        embed_one_clip(args.model)
    else:
        return run_script(parser, measure, as_lines)
    return 0


if __name__ == "__main__":
    sys.exit(main())
