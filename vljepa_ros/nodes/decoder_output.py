"""What the selective decoder says: events of all cameras, and each camera's present state,
latched."""

from __future__ import annotations

import array
from collections.abc import Callable, Sequence
from typing import Any

from vljepa_ros import ros
from vljepa_ros.nodes.qos import LATCHED, RESULTS, mismatch_events
from vljepa_ros.perception.scoring import ScoredGroup
from vljepa_ros.perception.selective_decoder import SceneUpdate


class DecoderOutput:
    """Publishers from creation until `close`; usable from any thread.

    :param warn: given one line about subscribers whose quality of service does not fit.
    """

    def __init__(
        self, node: Any, cameras: Sequence[str], model_id: str, warn: Callable[[str], None]
    ) -> None:
        self._node = node
        self._model_id = model_id
        self._kind = ros.interface("vljepa_ros/msg/SceneEvent")
        self._events = node.create_publisher(
            self._kind,
            "events",
            RESULTS,
            event_callbacks=mismatch_events("events", "publisher", warn),
        )
        self._scenes = {
            camera: node.create_publisher(
                self._kind,
                f"{camera}/scene",
                LATCHED,
                event_callbacks=mismatch_events(f"{camera}/scene", "publisher", warn),
            )
            for camera in cameras
        }

    def close(self) -> None:
        """Destroy the publishers."""
        for publisher in (self._events, *self._scenes.values()):
            self._node.destroy_publisher(publisher)

    def listened(self, camera: str) -> bool:
        """Whether somebody wants to know of this camera."""
        counts = self._events.get_subscription_count()
        return bool(counts + self._scenes[camera].get_subscription_count())

    def event(
        self,
        camera: str,
        header: Any,
        said: SceneUpdate,
        label: ScoredGroup | None,
        include_vector: bool,
        request: bool = False,
    ) -> Any:
        """A SceneEvent.

        :param header: of the embedding that the state was confirmed with.
        :param request: whether somebody asked for it.
        """
        now = self._node.get_clock().now().nanoseconds
        stamp = header.stamp.sec * 1_000_000_000 + header.stamp.nanosec
        onset = max(0, min(round(said.onset * 1e9), stamp))
        message = self._kind(
            header=header,
            onset=ros.Time(nanoseconds=onset).to_msg(),
            sequence=said.sequence,
            camera=camera,
            model_id=self._model_id,
            reason=getattr(self._kind, "REQUEST" if request else said.reason.upper()),
            text=said.text,
            previous_text=said.previous_text,
            decoded=bool(said.decoded),
            confidence=float(said.confidence),
            change=float(said.change),
            latency=(now - stamp) / 1e9,
        )
        if label is not None:
            message.label, message.label_score = label.labels[0], float(label.scores[0])
        if include_vector:
            message.vector = array.array("f", said.state.tobytes())
        return message

    def publish(self, event: Any, news: bool) -> None:
        """Latch the state of a camera; as an event, too, where it is news."""
        self._scenes[event.camera].publish(event)
        if news:
            self._events.publish(event)
