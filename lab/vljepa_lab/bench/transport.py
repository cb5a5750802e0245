"""How long an image takes from one process to another.

``python -m vljepa_lab.bench.transport`` starts two processes, a publisher and a
subscription made as any node makes them, on whichever runtime is in use. Latency is from just
before `publish` to the subscription's callback, by the host's monotonic clock, so it includes
encoding, sending, waking up and decoding. One JSON object on standard output.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from vljepa_ros import ros

_WARM_UP = 10  # messages that do not count
_TOPIC = "transport_bench/image"
_SILENCE = 2.0  # seconds without a message that end the measurement


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--width", type=int, default=640, help="pixels (default %(default)s)")
    parser.add_argument("--height", type=int, default=480, help="pixels (default %(default)s)")
    parser.add_argument("--fps", type=float, default=30.0, help="images a second")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long to publish")
    parser.add_argument("--reliable", action="store_true", help="reliable, not best effort")
    parser.add_argument("--publisher", action="store_true", help=argparse.SUPPRESS)
    return parser


def _qos(options: argparse.Namespace) -> Any:
    policy = ros.ReliabilityPolicy
    return ros.QoSProfile(
        depth=5, reliability=policy.RELIABLE if options.reliable else policy.BEST_EFFORT
    )


def _publish(options: argparse.Namespace) -> None:
    node = ros.Node("transport_bench_publisher")
    image = ros.interface("sensor_msgs/msg/Image")
    publisher = node.create_publisher(image, _TOPIC, _qos(options))
    deadline = time.monotonic() + 15.0
    while not publisher.get_subscription_count():
        if time.monotonic() > deadline:
            raise SystemExit("transport_bench: no subscription appeared within 15 s")
        time.sleep(0.01)
    time.sleep(0.3)  # let the subscription see us, too
    pixels = np.random.default_rng(0).integers(
        0, 256, options.width * options.height * 3, dtype=np.uint8
    )
    message = image(
        height=options.height, width=options.width, encoding="rgb8", step=options.width * 3
    )
    message.data = pixels.tobytes()
    start = time.monotonic()
    for count in range(round(options.fps * options.seconds)):
        pause = start + count / options.fps - time.monotonic()
        if pause > 0:
            time.sleep(pause)
        message.header.frame_id = str(count)
        sec, nanosec = divmod(time.monotonic_ns(), 10**9)
        message.header.stamp.sec, message.header.stamp.nanosec = sec, nanosec
        publisher.publish(message)
    time.sleep(0.5)
    node.destroy_node()


def _subscribe(options: argparse.Namespace, publisher: list[str]) -> dict[str, Any]:
    node = ros.Node("transport_bench_subscription")
    latencies: list[float] = []
    last = time.monotonic()

    def receive(message: Any) -> None:
        nonlocal last
        last = time.monotonic()
        stamp = message.header.stamp
        latencies.append((time.monotonic_ns() - stamp.sec * 10**9 - stamp.nanosec) / 1e6)

    node.create_subscription(ros.interface("sensor_msgs/msg/Image"), _TOPIC, receive, _qos(options))
    executor = ros.SingleThreadedExecutor()
    executor.add_node(node)
    child = subprocess.Popen(publisher)
    try:
        while child.poll() is None or time.monotonic() - last < _SILENCE:
            executor.spin_once(timeout_sec=0.1)
    finally:
        child.kill()
        child.wait()
        node.destroy_node()
    counted = sorted(latencies[_WARM_UP:])
    if not counted:
        raise SystemExit("transport_bench: no image arrived")
    return {
        "runtime": ros.RUNTIME,
        "width": options.width,
        "height": options.height,
        "fps": options.fps,
        "reliable": options.reliable,
        "sent": round(options.fps * options.seconds),
        "received": len(latencies),
        "latency_ms": {
            "median": round(statistics.median(counted), 3),
            "p99": round(counted[int(len(counted) * 0.99)], 3),
            "max": round(counted[-1], 3),
        },
    }


def measure(arguments: Sequence[str] = (), domain_id: int | None = None) -> dict[str, Any]:
    """Run the measurement in processes of its own and return its JSON object.

    Args:
        arguments: As on the command line.
        domain_id: ROS domain; None: the environment's.

    Raises:
        RuntimeError: It failed; the message is what was printed.
    """
    environment = dict(os.environ)
    if domain_id is not None:
        environment["ROS_DOMAIN_ID"] = str(domain_id)
    result = subprocess.run(
        [sys.executable, "-m", "vljepa_lab.bench.transport", *arguments],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    if result.returncode != 0:
        raise RuntimeError(f"transport_bench failed: {result.stderr.strip()}")
    report: dict[str, Any] = json.loads(result.stdout)
    return report


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    options = _parser().parse_args(arguments)
    ros.init([])
    try:
        if options.publisher:
            _publish(options)
        else:
            command = [sys.executable, "-m", "vljepa_lab.bench.transport", "--publisher"]
            print(json.dumps(_subscribe(options, command + arguments)))
    finally:
        ros.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
