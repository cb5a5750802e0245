"""A camera's pictures for the console: JPEG, at the size and rate that a page needs."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from vljepa_ros import ros
from vljepa_ros.nodes.image_topic import ImageTopic
from vljepa_ros.perception.frames import FrameDecoder
from vljepa_ros.perception.image_encodings import Pixels

QUALITY = 75
TIMEOUT_S = 3.0  # without a picture, until that is reported
WAIT_S = 1.0  # for the next picture, until a page is answered that there is none
# The server has a thread for each request, and OpenCV loses a kilobyte with each thread that ends.
_ENCODER = ThreadPoolExecutor(1, "console_pictures")


@dataclass(frozen=True)
class CameraView:
    """The parameters of a camera in perception_node that decide which pictures it sees."""

    name: str
    topic: str
    transport: str
    crop: tuple[int, ...]
    rotate: int


class ConsoleCamera:
    """Subscribes to a camera until `close`, and encodes a picture when a page requests it.

    Images above the rate are left in the middleware: taking them would cost more than the rest.

    Args:
        node: A ROS node that can `warn`.
        view: What to show.
        width: Of a picture, pixels; a smaller one stays as it is.
        rate: Pictures per second at most.

    Attributes:
        trouble: Why there is no picture; empty: there is one.
    """

    def __init__(self, node: ros.Node, view: CameraView, width: int, rate: float) -> None:
        # For OpenCV's first use in this process: its threads wait busily after each picture, half
        # a percent of a core.
        os.environ.setdefault("OPENCV_FOR_THREADS_NUM", "1")
        self.view, self.trouble = view, ""
        self._width, self._timeout = width, max(TIMEOUT_S, 3.0 / rate)
        self._decoder = FrameDecoder(width, crop=view.crop)
        self._changed = threading.Condition()
        self._message: Any = None
        self._is_due = True
        self._number = self._encoded = 0
        self._jpeg = b""
        self._images = ImageTopic(node, view.topic, view.transport)
        self._images.receivers.append(self._receive)
        self._images.start(ros.GatedCallbackGroup(lambda: self._is_due))
        self._images.repeat(1.0 / rate, self._let_one_through)

    def close(self) -> None:
        """Unsubscribe."""
        self._images.close()

    def look_for_trouble(self) -> None:
        """Check whether images arrive; every few seconds, in the executor's thread."""
        missing = self._images.trouble(self._timeout)
        self.trouble = missing and missing + self._images.other_topics()

    def picture(self, after: int) -> tuple[int, bytes] | None:
        """Wait for the next picture after a number; returns it with its own number.

        A number larger than any returned so far stems from a console that has ended.

        Raises:
            FrameError: The image cannot be converted.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._number not in (0, after), WAIT_S):
                return None
            number, message = self._number, self._message
        return number, _ENCODER.submit(self._as_jpeg, number, message).result()

    def _let_one_through(self) -> None:
        self._is_due = True

    def _receive(self, message: ros.Message, _: object) -> None:
        self._is_due = False
        with self._changed:
            self._message = message
            self._number += 1
            self._changed.notify_all()

    def _as_jpeg(self, number: int, message: ros.Message) -> bytes:
        """Encode a picture, or return that of another page; in the encoder's thread."""
        if self._encoded != number:
            self._jpeg, self._encoded = self._encode(message), number
        return self._jpeg

    def _encode(self, message: ros.Message) -> bytes:
        image = self._decoder.view(message)
        is_bgr = image.strides[2] < 0  # as a view; OpenCV would copy all of it
        image = image[..., ::-1] if is_bgr else image
        axis = 0 if self.view.rotate in (90, 270) else 1  # that is across in the end
        while image.shape[axis] >= 2 * self._width and min(image.shape[:2]) > 1:
            even = image[: image.shape[0] & ~1, : image.shape[1] & ~1]
            image = _resized(even, 0.5, cv2.INTER_AREA)  # ten times as fast as at another scale
        if image.shape[axis] > self._width:
            image = _resized(image, self._width / image.shape[axis], cv2.INTER_LINEAR)
        bgr = image if is_bgr else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        turned = np.ascontiguousarray(np.rot90(bgr, k=-(self.view.rotate // 90)))
        done, jpeg = cv2.imencode(".jpg", turned, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        return bytes(jpeg) if done else b""


def _resized(image: Pixels, scale: float, how: int) -> Pixels:
    height, width = image.shape[:2]
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(image, size, interpolation=how), np.uint8)
