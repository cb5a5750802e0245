"""The topics of the selective decoder: events of all cameras, and each camera's present state."""

from __future__ import annotations

import array
import threading
from collections.abc import Callable, Sequence

from vljepa_ros import ros
from vljepa_ros.nodes.topics import (
    REPEATED,
    Endpoints,
    age_of,
    to_duration,
    to_nanoseconds,
    to_stamp,
)
from vljepa_ros.perception.selective_decoder import SceneUpdate

_EVENT = "vljepa_ros/msg/SceneEvent"


class DecoderTopics(Endpoints):
    """Publishes events and states from creation until `close`; usable from any thread.

    Args:
        node: A ROS node.
        cameras: Their names.
        model_id: Model that decodes.
        on_mismatch: See `Endpoints`.
    """

    def __init__(
        self,
        node: ros.Node,
        cameras: Sequence[str],
        model_id: str,
        on_mismatch: Callable[[str], None],
    ) -> None:
        super().__init__(node, on_mismatch)
        self._model_id = model_id
        self._kind = ros.interface(_EVENT)
        self._events = self.publisher(_EVENT, "events")
        self._scenes = {
            camera: self.publisher(_EVENT, f"{camera}/scene", REPEATED) for camera in cameras
        }
        self._lock = threading.Lock()
        self._present = {camera: self._kind(camera=camera, model_id=model_id) for camera in cameras}

    def has_subscribers(self, camera: str) -> bool:
        """Whether events or this camera's state have subscribers."""
        counts = self._events.get_subscription_count()
        return bool(counts + self._scenes[camera].get_subscription_count())

    def event(
        self,
        camera: str,
        header: ros.Message,
        update: SceneUpdate,
        include_vector: bool,
        in_domain: bool = True,
    ) -> ros.Message:
        """Make a SceneEvent.

        Args:
            camera: Its name.
            header: Of the embedding that the state was confirmed with.
            update: What to publish.
            include_vector: Whether it carries the state's embedding.
            in_domain: As in the embedding.
        """
        stamp = to_nanoseconds(header.stamp)
        age = age_of(self._node, stamp)
        message = self._kind(
            header=header,
            event_id=f"scene/{camera}/{stamp}" if update.is_event else "",
            onset=to_stamp(max(0, min(round(update.onset * 1e9), stamp))),
            sequence=update.sequence,
            corrects_sequence=update.corrects,
            camera=camera,
            model_id=self._model_id,
            reason=getattr(self._kind, update.reason.upper()),
            text=update.text,
            previous_text=update.previous_text,
            decoded=bool(update.decoded),
            confidence=float(update.confidence),
            change=float(update.change),
            in_domain=in_domain,
            age=to_duration(age),
            latency=age,
        )
        if include_vector:
            message.vector = array.array("f", update.state.tobytes())
        return message

    def publish(self, event: ros.Message, is_event: bool) -> None:
        """Latch the state of a camera; publish it on `events`, too, if it is an event."""
        with self._lock:
            self._present[event.camera] = event
            self._scenes[event.camera].publish(event)
        if is_event:
            self._events.publish(event)

    def restore(self, camera: str, update: SceneUpdate) -> None:
        """Take over what was published before a restart; `repeat_state` publishes it."""
        header = ros.interface("std_msgs/msg/Header")(stamp=to_stamp(round(update.stamp * 1e9)))
        self._present[camera] = self.event(camera, header, update, include_vector=False)

    def repeat_state(self, camera: str, newest: ros.Message | None, stale: bool) -> None:
        """Publish the present state again, as a heartbeat.

        Args:
            camera: Its name.
            newest: Its newest embedding, or None.
            stale: Whether that is too old to describe the present.
        """
        with self._lock:
            message = self._present[camera]
            message.reason, message.event_id = self._kind.HEARTBEAT, ""
            message.stale, message.latency = stale or newest is None, 0.0
            if newest is not None:
                stamp = to_nanoseconds(newest.header.stamp)
                message.age = to_duration(age_of(self._node, stamp))
                message.in_domain = newest.in_domain
            self._scenes[camera].publish(message)
