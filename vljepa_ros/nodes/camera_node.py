"""A camera for machines without one: plays images and, where known, their ground truth."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from vljepa_ros import ros
from vljepa_ros.files import JsonObject
from vljepa_ros.nodes.diagnostics import ERROR, Diagnostics, Part, Warnings, checked
from vljepa_ros.nodes.image_topic import TYPES
from vljepa_ros.nodes.lifecycle_node import NAMESPACE
from vljepa_ros.nodes.parameters import NodeParameters, ParameterGroup, live, read_only
from vljepa_ros.nodes.topics import IMAGES_OUT, Endpoints, image_message, jpeg_message
from vljepa_ros.perception.image_source import ImageSource, Shot, SourceError, open_source


@dataclass(frozen=True)
class CameraNodeParameters:
    """Parameters of the camera node."""

    source: str = read_only(
        "demo",
        "demo (the shipped clip), world (the simulated world), a video file, a folder of images, "
        "or a webcam: /dev/video0, or its index in quotes.",
    )
    rate: float = live(0.0, "Images per second; 0: the source's own rate.", 0.0, 240.0)
    width: int = read_only(0, "Width in pixels; 0: the source's own.", 0, 7680)
    height: int = read_only(0, "Height in pixels; 0: the source's own.", 0, 4320)
    loop: bool = live(True, "Start again at the end of the source; stamps keep increasing.")
    encoding: str = live("rgb8", "Encoding of raw images.", choices=("rgb8", "bgr8"))
    transport: str = read_only(
        "raw",
        "raw: sensor_msgs/Image on `image`; compressed: JPEG on `image/compressed`.",
        choices=tuple(TYPES),
    )
    frame_id: str = live("camera_optical_frame", "header.frame_id of the images.")
    seed: int = read_only(0, "Scene of the simulated world.", 0, 2**31 - 1)


class CameraNode(ros.Node):
    """Publishes `image`, and `ground_truth` where it is known. Options go to the ROS node."""

    def __init__(self, **options: Any) -> None:
        super().__init__("camera_node", **{"namespace": NAMESPACE, **options})
        self._main = ParameterGroup(self, CameraNodeParameters)
        self._table = NodeParameters(self, [self._main], apply=self._set_pace)
        transport, publisher = self._main.value.transport, Endpoints(self).publisher
        topic = "image/compressed" if transport == "compressed" else "image"
        self._images = publisher(TYPES[transport], topic, IMAGES_OUT)
        self._truth = publisher("std_msgs/msg/String", "ground_truth")
        self._source: ImageSource | None = None
        self._shots: Iterator[Shot] = iter(())
        self._waiting: Shot | None = None  # read ahead, to know when it is due
        self._due = 0.0  # of the next image, on the steady clock
        self._rate = 1.0
        self._published = 0
        self._trouble = "; ".join(self._table.problems.values())
        self._pace: Any = None
        self._warnings = Warnings(self)
        self._diagnostics = Diagnostics(self, self._parts)
        if not self._trouble:
            self._open()
        if self._trouble:
            self.get_logger().error(f"no images: {self._trouble}")

    def destroy_node(self) -> None:
        """Close the source, then destroy the node."""
        if self._source is not None:
            self._source.close()
            self._source = None
        super().destroy_node()

    def _open(self) -> None:
        settings = self._main.value
        try:
            size = (settings.width, settings.height)
            self._source = open_source(settings.source, settings.seed, size, settings.rate)
        except SourceError as error:
            self._trouble = str(error)
            return
        self._shots = self._source.shots()
        self._set_pace()

    def _set_pace(self) -> None:
        """Time the images by the steady clock: simulated time does not change a camera's rate."""
        if self._source is None:
            return
        self._rate = self._main.value.rate or self._source.rate
        self._due = time.monotonic()
        self._wait(1.0 / self._rate)

    def _wait(self, seconds: float) -> None:
        """Publish the next image one period after this one was due, without catching up."""
        now = time.monotonic()
        self._due = max(self._due + seconds, now)
        if self._pace is None:
            self._pace = self.create_timer(self._due - now, self._play, clock=ros.steady_clock())
        else:  # one timer for all images: rclpy keeps a little of each that is destroyed
            self._pace.timer_period_ns = round((self._due - now) * 1e9)
            self._pace.reset()

    def _play(self) -> None:
        assert self._source is not None
        shot = self._waiting or self._next()
        self._waiting = None
        if shot is None:
            return
        now = self.get_clock().now()
        header = ros.interface("std_msgs/msg/Header")(
            stamp=now.to_msg(), frame_id=self._main.value.frame_id
        )
        self._images.publish(self._as_message(shot, header))
        self._published, self._trouble = self._published + 1, ""
        if shot.truth is not None:
            self._truth.publish(self._as_fact(shot.truth, now.nanoseconds))
        gap = 1.0 / self._rate
        if shot.time is not None:
            self._waiting = self._next()
            if self._waiting is None:
                return
            later = (self._waiting.time or 0.0) - shot.time
            if later > 0.0:  # not so where it begins again
                gap = later * self._source.rate / self._rate
        self._wait(gap)

    def _next(self) -> Shot | None:
        """The next image; None after the last, which also ends the timer."""
        assert self._source is not None
        try:
            shot = next(self._shots, None)
            if shot is None and self._main.value.loop and not self._source.live:
                self._shots = self._source.shots()
                shot = next(self._shots, None)
        except SourceError as error:
            self._stop(str(error))
            return None
        if self._source.left_out:
            self._warnings.warn(self._source.left_out, "left out")
        if shot is None:
            self._stop("the source has ended")
        return shot

    def _stop(self, why: str) -> None:
        self._trouble = why
        self.get_logger().warning(f"no more images: {why}")
        self.destroy_timer(self._pace)
        self._pace = None

    def _as_message(self, shot: Shot, header: ros.Message) -> ros.Message:
        settings = self._main.value
        bgr: Any = shot.bgr
        height = settings.height or bgr.shape[0]
        width = settings.width or bgr.shape[1]
        if (height, width) != bgr.shape[:2]:
            bgr = cv2.resize(
                np.ascontiguousarray(bgr), (width, height), interpolation=cv2.INTER_AREA
            )
        if settings.transport == "compressed":
            return jpeg_message(header, bgr)
        pixels = bgr if settings.encoding == "bgr8" else bgr[..., ::-1]
        return image_message(header, pixels, settings.encoding)

    def _as_fact(self, truth: JsonObject, stamp: int) -> ros.Message:
        """The ground truth of an image as JSON, stamps in nanoseconds.

        The age of the event is scaled by the playback rate.
        """
        assert self._source is not None
        age = max(0.0, float(truth["stamp"]) - float(truth.get("event_start") or truth["stamp"]))
        begin = stamp - round(age * self._source.rate / self._rate * 1e9)
        fact = {**truth, "stamp": stamp, "event_start": max(0, begin)}
        return ros.interface("std_msgs/msg/String")(data=json.dumps(fact))

    def _parts(self) -> list[Part]:
        values: dict[str, object] = {
            "source": self._main.value.source,
            "published": self._published,
            "left_out": self._source.left_out if self._source else "",
        }
        return [checked("source", self._trouble, f"{self._published} images", values, ERROR)]
