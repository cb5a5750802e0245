"""A camera for benchmarks: real pictures at a fixed size and rate, from a process of its own.

    python -m vljepa_lab.bench.camera --topic /bench/image --fps 10 --seconds 60

Begins with the first subscription. Prints one JSON object at the end: the stamps of the images it
sent, in nanoseconds.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vljepa_ros import ros
from vljepa_ros.nodes.topics import image_message
from vljepa_ros.perception.image_source import VideoFile


def pictures(clip: Path, width: int, height: int, count: int = 50) -> list[NDArray[np.uint8]]:
    """Read frames [height, width, 3] uint8 RGB of a video, evenly spread over it.

    Raises:
        SourceError: OpenCV cannot read it.
    """
    frames = [np.asarray(shot.bgr, np.uint8) for shot in VideoFile(clip).shots()]
    wanted = np.unique(np.linspace(0, len(frames) - 1, count).round().astype(int))
    scaled = [cv2.resize(frames[i], (width, height), interpolation=cv2.INTER_AREA) for i in wanted]
    return [np.ascontiguousarray(frame[:, :, ::-1], np.uint8) for frame in scaled]


def image_qos(reliable: bool) -> Any:
    """Return the profile of the camera's images, by default as sensors publish them."""
    if reliable:
        return ros.QoSProfile(depth=5, reliability=ros.ReliabilityPolicy.RELIABLE)
    return ros.sensor_data_qos


def main(argv: Sequence[str] | None = None) -> int:
    """Publish until the time is over or Ctrl-C."""
    parser = argparse.ArgumentParser(description="A camera for benchmarks.")
    parser.add_argument("--topic", nargs="+", required=True, help="several: as many cameras")
    parser.add_argument("--clip", type=Path, required=True)
    parser.add_argument("--domain", type=int, default=None)
    parser.add_argument("--fps", type=float, default=10.0)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--height", type=int, default=480)
    parser.add_argument("--reliable", action="store_true")
    args = parser.parse_args(argv)
    # A script's background processes inherit that Ctrl-C is ignored; here it is the end.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    ros.init(args=[], domain_id=args.domain)
    sent: list[int] = []
    try:
        node = ros.Node("image_feeder")
        shown = pictures(args.clip, args.width, args.height)
        header = ros.interface("std_msgs/msg/Header")(frame_id="bench_camera")
        messages = [image_message(header, picture) for picture in shown]
        kind, qos = type(messages[0]), image_qos(args.reliable)
        publishers = [node.create_publisher(kind, topic, qos) for topic in args.topic]
        while not all(publisher.get_subscription_count() for publisher in publishers):
            time.sleep(0.01)
        time.sleep(0.3)  # until the subscription knows this publisher, too
        begin = time.monotonic()
        for number in range(round(args.fps * args.seconds)):
            time.sleep(max(0.0, begin + number / args.fps - time.monotonic()))
            message = messages[number % len(messages)]
            now = node.get_clock().now()  # last, so that the stamp is the moment of publishing
            message.header.stamp = now.to_msg()
            sent.append(now.nanoseconds)
            for publisher in publishers:
                publisher.publish(message)
        time.sleep(0.5)  # until the last image has arrived
        node.destroy_node()
    except KeyboardInterrupt:
        pass
    finally:
        ros.shutdown()
    json.dump({"stamps": sent}, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
