"""How long an image takes from one process to another.

``python -m vljepa_lab.bench.transport`` starts the benchmarks' camera in a process of its own and
subscribes to it as any node does, on whichever runtime is in use. Latency is from just before
`publish` to the subscription's callback, so it includes encoding, sending, waking up and decoding.
One JSON object on standard output.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vljepa_lab.bench.camera import image_qos
from vljepa_ros import ros
from vljepa_ros.cli.client import GraphClient
from vljepa_ros.cli.processes import PackageProcess, ProcessFailed
from vljepa_ros.files import JsonObject
from vljepa_ros.nodes.topics import to_nanoseconds
from vljepa_ros.perception.image_source import demo_clip

_WARM_UP = 10  # messages that do not count
_START_TIMEOUT_S = 15.0  # in which the camera starts and finds the subscription
_SILENCE_S = 2.0  # without a message that end the measurement


def measure(
    client: GraphClient,
    clip: Path,
    domain: int,
    *,
    width: int = 640,
    height: int = 480,
    fps: float = 30.0,
    seconds: float = 10.0,
    reliable: bool = False,
) -> JsonObject:
    """Receive images from a camera in a process of its own.

    Args:
        client: Receives them.
        clip: The video that the camera shows.
        domain: ROS domain of the client.
        width: Of the images, pixels.
        height: Of the images, pixels.
        fps: Images a second.
        seconds: For which the camera publishes.
        reliable: Both sides reliable, not best effort.

    Raises:
        ProcessFailed: The camera failed, or no image arrived.
    """
    topic = f"{client.namespace}/transport_bench/image"
    latencies: list[float] = []

    def receive(message: ros.Message) -> None:
        latencies.append((time.time_ns() - to_nanoseconds(message.header.stamp)) / 1e6)

    client.subscribe("sensor_msgs/msg/Image", topic, receive, image_qos(reliable))
    sizes = {"--width": width, "--height": height, "--fps": fps, "--seconds": seconds}
    places = {"--topic": topic, "--clip": clip, "--domain": domain}
    options = [str(part) for option in (sizes | places).items() for part in option]
    with PackageProcess("vljepa_lab.bench.camera", options + ["--reliable"] * reliable) as camera:
        client.spin(camera.ended, seconds + _START_TIMEOUT_S)
        sent = len(json.loads(camera.finish(0.1))["stamps"])
    client.spin(lambda: len(latencies) >= sent, _SILENCE_S)
    counted = latencies[_WARM_UP:]
    if not counted:
        raise ProcessFailed("transport_bench: no image arrived")
    median, p99 = np.median(counted), np.quantile(counted, 0.99)
    found = {"median": median, "p99": p99, "max": max(counted)}
    return {
        "runtime": ros.RUNTIME,
        "width": width,
        "height": height,
        "fps": fps,
        "reliable": reliable,
        "sent": sent,
        "received": len(latencies),
        "latency_ms": {name: round(float(value), 3) for name, value in found.items()},
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--width", type=int, default=640, help="pixels (default %(default)s)")
    parser.add_argument("--height", type=int, default=480, help="pixels (default %(default)s)")
    parser.add_argument("--fps", type=float, default=30.0, help="images a second")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long to publish")
    parser.add_argument("--reliable", action="store_true", help="reliable, not best effort")
    options = parser.parse_args(argv)
    domain = int(os.environ.get("ROS_DOMAIN_ID", "0"))
    try:
        with GraphClient(f"bench_{os.getpid()}", domain) as client:
            print(json.dumps(measure(client, demo_clip(), domain, **vars(options))))
    except ProcessFailed as error:
        raise SystemExit(str(error)) from error
    return 0


if __name__ == "__main__":
    sys.exit(main())
