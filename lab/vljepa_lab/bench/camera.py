"""A camera for benchmarks: real pictures at a fixed size and rate, from a process of its own.

    python -m vljepa_lab.bench.camera --topic /bench/image --fps 10 --seconds 60

Prints one JSON object at the end: the stamps of the images it sent, in nanoseconds.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vljepa_ros import ros


def pictures(clip: Path, width: int, height: int, count: int = 50) -> list[NDArray[np.uint8]]:
    """Read frames [height, width, 3] uint8 RGB of a video, evenly spread over it.

    Raises:
        FileNotFoundError: OpenCV cannot read it.
    """
    video = cv2.VideoCapture(str(clip))
    total = int(video.get(cv2.CAP_PROP_FRAME_COUNT))
    found: list[NDArray[np.uint8]] = []
    wanted = {round(i * max(total - 1, 0) / max(count - 1, 1)) for i in range(count)}
    for index in range(total):
        good, frame = video.read()
        if not good:
            break
        if index in wanted:
            scaled = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)
            found.append(np.ascontiguousarray(scaled[:, :, ::-1]).astype(np.uint8, copy=False))
    video.release()
    if not found:
        raise FileNotFoundError(f"no frame can be read from {clip}")
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Publish until the time is over or Ctrl-C."""
    parser = argparse.ArgumentParser(description="A camera for benchmarks.")
    parser.add_argument("--topic", required=True)
    parser.add_argument("--clip", type=Path, required=True)
    parser.add_argument("--domain", type=int, default=None)
    parser.add_argument("--fps", type=float, default=10.0)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--height", type=int, default=480)
    args = parser.parse_args(argv)
    # A script's background processes inherit that Ctrl-C is ignored; here it is the end.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    shown = pictures(args.clip, args.width, args.height)
    message_type = ros.interface("sensor_msgs/msg/Image")
    data = [array("B", picture.tobytes()) for picture in shown]
    ros.init(args=[], domain_id=args.domain)
    sent: list[int] = []
    try:
        node = ros.Node("image_feeder")
        publisher = node.create_publisher(message_type, args.topic, ros.sensor_data_qos)
        begin = time.monotonic()
        due = begin
        while due - begin < args.seconds:
            time.sleep(max(0.0, due - time.monotonic()))
            publisher.publish(_image(message_type, node, data[len(sent) % len(data)], args, sent))
            due += 1.0 / args.fps
        node.destroy_node()
    except KeyboardInterrupt:
        pass
    finally:
        ros.shutdown()
    json.dump({"stamps": sent}, sys.stdout)
    return 0


def _image(
    kind: Any, node: Any, data: array[int], args: argparse.Namespace, sent: list[int]
) -> Any:
    message = kind()
    message.height, message.width = args.height, args.width
    message.encoding, message.step = "rgb8", 3 * args.width
    message.data = data
    message.header.frame_id = "bench_camera"
    now = node.get_clock().now()  # last, so that the stamp is the moment of publishing
    message.header.stamp = now.to_msg()
    sent.append(now.nanoseconds)
    return message


if __name__ == "__main__":
    sys.exit(main())
