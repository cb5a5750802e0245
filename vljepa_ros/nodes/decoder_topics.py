"""The topics of the selective decoder: events of all cameras, and each camera's present state."""

from __future__ import annotations

import array
from collections.abc import Callable, Sequence
from typing import Any

from vljepa_ros import ros
from vljepa_ros.nodes.topics import LATCHED, Endpoints, age_of, to_nanoseconds, to_stamp
from vljepa_ros.perception.scoring import ScoredGroup
from vljepa_ros.perception.selective_decoder import SceneUpdate

_EVENT = "vljepa_ros/msg/SceneEvent"


class DecoderTopics(Endpoints):
    """Publishers from creation until `close`; usable from any thread.

    Args:
        node: A ROS node.
        cameras: Their names.
        model_id: Of the model that decodes.
        on_mismatch: See `Endpoints`.
    """

    def __init__(
        self, node: Any, cameras: Sequence[str], model_id: str, on_mismatch: Callable[[str], None]
    ) -> None:
        super().__init__(node, on_mismatch)
        self._model_id = model_id
        self._kind = ros.interface(_EVENT)
        self._events = self.publisher(_EVENT, "events")
        self._scenes = {
            camera: self.publisher(_EVENT, f"{camera}/scene", LATCHED) for camera in cameras
        }

    def has_subscribers(self, camera: str) -> bool:
        """Whether somebody subscribes to events or to this camera's state."""
        counts = self._events.get_subscription_count()
        return bool(counts + self._scenes[camera].get_subscription_count())

    def event(
        self,
        camera: str,
        header: Any,
        update: SceneUpdate,
        label: ScoredGroup | None,
        include_vector: bool,
        request: bool = False,
    ) -> Any:
        """Make a SceneEvent.

        Args:
            camera: Its name.
            header: Of the embedding that the state was confirmed with.
            update: What to publish.
            label: Scored labels, best first.
            include_vector: Whether it carries the state's embedding.
            request: Whether it answers a request.
        """
        stamp = to_nanoseconds(header.stamp)
        message = self._kind(
            header=header,
            onset=to_stamp(max(0, min(round(update.onset * 1e9), stamp))),
            sequence=update.sequence,
            camera=camera,
            model_id=self._model_id,
            reason=getattr(self._kind, "REQUEST" if request else update.reason.upper()),
            text=update.text,
            previous_text=update.previous_text,
            decoded=bool(update.decoded),
            confidence=float(update.confidence),
            change=float(update.change),
            latency=age_of(self._node, stamp),
        )
        if label is not None:
            message.label, message.label_score = label.labels[0], float(label.scores[0])
        if include_vector:
            message.vector = array.array("f", update.state.tobytes())
        return message

    def publish(self, event: Any, is_event: bool) -> None:
        """Latch the state of a camera; publish it on `events`, too, if it is an event."""
        self._scenes[event.camera].publish(event)
        if is_event:
            self._events.publish(event)
