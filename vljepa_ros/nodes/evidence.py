"""Publishes the image that led to each scene event and to each trigger that became true."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import cv2
import numpy as np

from vljepa_ros import ros
from vljepa_ros.nodes.diagnostics import Part, checked
from vljepa_ros.nodes.lifecycle_node import LifecycleNode
from vljepa_ros.nodes.topics import RESULTS, Endpoints, to_nanoseconds
from vljepa_ros.perception.frames import FrameDecoder
from vljepa_ros.perception.image_encodings import FrameError, LevelRange

RECENT = 10  # images of a camera until its clip is encoded: a third of a second at 30 Hz
KEPT = 16  # images that ended a clip: 3 s at 5 Hz; a 640x480 image takes 0.9 MB
JPEG_QUALITY = 90
_SNAPSHOT = "rosbag2_interfaces/srv/Snapshot"


class Evidence(Endpoints):
    """Keeps recent images and publishes those that led to an event, from `start` to `close`.

    Args:
        node: A lifecycle node.
        snapshot_service: Service of rosbag2's recorder that is called with each event, or empty.
    """

    def __init__(self, node: LifecycleNode[Any], snapshot_service: str) -> None:
        super().__init__(node, node.warn)
        self._lock = threading.Lock()
        self._decoders: dict[str, FrameDecoder] = {}
        self._recent: dict[str, deque[tuple[int, Any]]] = {}
        self._kept: dict[str, deque[tuple[int, Any]]] = {}
        self._snapshot_service = snapshot_service
        self._snapshot: Any = None
        self._called: Any = None
        self._publish: Callable[[Any], None] = lambda message: None
        self._published = self._missing = 0
        self._trouble = ""

    def start(self) -> None:
        """Subscribe to events and triggers; does nothing if already started."""
        if self.is_open:
            return
        self._publish = self.publisher("vljepa_ros/msg/Evidence", "evidence", RESULTS).publish
        self.subscribe("vljepa_ros/msg/SceneEvent", "events", self._on_event)
        self.subscribe("vljepa_ros/msg/TriggerEvent", "triggers", self._on_trigger)
        if self._snapshot_service:
            kind = ros.find_interface(_SNAPSHOT)
            if kind is None:
                self._report(f"snapshot_service needs {_SNAPSHOT}, which is not installed")
            else:
                self._snapshot = self._node.create_client(kind, self._snapshot_service)

    def close(self) -> None:
        """Forget the images and unsubscribe."""
        super().close()
        if self._snapshot is not None:
            self._node.destroy_client(self._snapshot)
            self._snapshot = None
        with self._lock:
            self._recent, self._kept = {}, {}

    def receive(self, camera: str, stamp: int, message: ros.Message, decoder: FrameDecoder) -> None:
        """Keep an image message, which may lead to an event.

        Args:
            camera: Its camera.
            stamp: Nanoseconds, as in the results of this image.
            message: A sensor_msgs/Image or CompressedImage.
            decoder: Has the camera's crop and rotation.
        """
        if self.is_open:
            with self._lock:
                self._decoders[camera] = decoder
                self._recent.setdefault(camera, deque(maxlen=RECENT)).append((stamp, message))

    def keep(self, camera: str, stamp: int) -> None:
        """Keep the image at `stamp` nanoseconds for longer, as it ended a clip; in any thread."""
        with self._lock:
            for one in self._recent.get(camera, ()):
                if one[0] == stamp:
                    self._kept.setdefault(camera, deque(maxlen=KEPT)).append(one)

    def part(self) -> Part:
        """State for the diagnostics."""
        values = {"published": self._published, "missing": self._missing}
        return checked("evidence", self._trouble, f"{self._published} pictures", values)

    def _on_event(self, message: ros.Message) -> None:
        self._add(message.camera, message.header, message.event_id, message.text)

    def _on_trigger(self, message: ros.Message) -> None:
        status = message.trigger
        if status.state == status.STATE_TRUE:
            cause = f"{status.owner}/{status.id}: {status.text}"
            self._add(status.camera, message.header, message.event_id, cause)

    def _add(self, camera: str, header: ros.Message, event_id: str, cause: str) -> None:
        stamp = to_nanoseconds(header.stamp)
        with self._lock:
            kept = dict(self._kept.get(camera, ()))
            decoder = self._decoders.get(camera)
        if decoder is None or stamp not in kept:
            self._missing += 1
            self._report(f"no evidence: the image that led to '{event_id}' is no longer kept")
            return
        evidence = ros.interface("vljepa_ros/msg/Evidence")(
            header=header, event_id=event_id, camera=camera, cause=cause
        )
        try:
            evidence.image.data = _jpeg(kept[stamp], decoder)
        except FrameError as error:
            self._report(f"no evidence: the image that led to '{event_id}' cannot be used: {error}")
            return
        evidence.image.header, evidence.image.format = header, "jpeg"
        self._published += 1
        self._trouble = ""
        self._publish(evidence)
        if self._snapshot is not None:
            if self._snapshot.service_is_ready():
                if self._called is not None:  # a recorder that does not answer
                    self._snapshot.remove_pending_request(self._called)
                self._called = self._snapshot.call_async(self._snapshot.srv_type.Request())
            else:
                self._report(f"snapshot_service '{self._snapshot_service}' is not available")

    def _report(self, trouble: str) -> None:
        self._trouble = trouble
        self._node.warn(trouble)


def _jpeg(message: ros.Message, decoder: FrameDecoder) -> bytes:
    """An image cropped and rotated as the camera's parameters say, at full resolution."""
    part = replace(decoder, levels=LevelRange()).view(message)
    turned = np.ascontiguousarray(np.rot90(part[..., ::-1], k=-(decoder.rotate // 90)))
    _, data = cv2.imencode(".jpg", turned, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return bytes(data)
