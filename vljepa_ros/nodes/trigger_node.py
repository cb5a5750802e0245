"""The trigger node: embeddings and labels in; which of many texts are true, told at their edges."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from vljepa_ros import ros
from vljepa_ros.models.config import ModelError
from vljepa_ros.nodes.diagnostics import ERROR, OK, WARN, Part
from vljepa_ros.nodes.parameters import live
from vljepa_ros.nodes.qos import LATCHED, mismatch_events
from vljepa_ros.nodes.trigger_camera import TriggerCamera
from vljepa_ros.nodes.trigger_texts import TriggerTexts
from vljepa_ros.nodes.worker_node import WorkerNode, WorkerParameters, run_node
from vljepa_ros.perception.triggers import (
    EncodedTriggers,
    Trigger,
    checked_triggers,
    parse_triggers,
    trigger_strings,
)
from vljepa_ros.perception.vocabulary import VocabularyError

_EVENTS = ros.QoSProfile(depth=1000, reliability=ros.ReliabilityPolicy.RELIABLE)  # all may fall


@dataclass(frozen=True)
class TriggerParameters(WorkerParameters):
    """Parameters beside the common ones."""

    triggers: tuple[str, ...] = live(
        [""],
        "Texts to watch for, each as 'text' or 'text | threshold'; a single empty text: none.",
    )
    threshold: float = live(
        0.5, "Calibrated score at which a trigger without a threshold rises.", 0.001, 0.999
    )
    release: float = live(0.8, "Share of its threshold below which a trigger falls.", 0.01, 1.0)
    settle: float = live(0.3, "Seconds for which a score must stay beyond its limit.", 0.0, 3600.0)
    camera_timeout: float = live(
        5.0, "Seconds without an embedding after which nothing is known any more.", 0.2, 3600.0
    )


class TriggerNode(WorkerNode):
    """It loads no model: texts are encoded by the perception node. Options go to the ROS node."""

    subject = "triggers"
    known = (*WorkerNode.known, ModelError, VocabularyError)
    works = False

    def __init__(self, **options: Any) -> None:
        self._wanted: tuple[Trigger, ...] = ()
        self._used: EncodedTriggers | None = None
        self._texts: TriggerTexts | None = None
        self._waiting: list[tuple[float, Any]] = []
        self._edges: Any = None
        self._vocabulary_topic: Any = None
        self._labels: frozenset[str] = frozenset()
        self._cameras: dict[str, TriggerCamera] = {}
        super().__init__("trigger_node", TriggerParameters, **options)
        self.serve("SetTriggers", "set_triggers", self._set_triggers)
        self._watching = self.create_timer(0.2, self._watch, clock=ros.steady_clock())

    @property
    def settings(self) -> TriggerParameters:
        """The parameters, as they are now."""
        value = self.main.value
        assert isinstance(value, TriggerParameters)
        return value

    def check_parameters(self, value: Any) -> None:
        """Refuse a list of triggers that cannot be used."""
        if isinstance(value, TriggerParameters):
            parse_triggers(value.triggers)

    def apply(self) -> None:
        """Take over parameters that have changed."""
        if self.opened:
            self._wanted = parse_triggers(self.settings.triggers)
            self._renew()

    def open(self) -> None:
        """Check the list and the model's configuration."""
        self._wanted = parse_triggers(self.settings.triggers)
        forgotten = partial(self._use, None, "MODEL_CHANGED")
        self._texts = TriggerTexts(self, self.settings.model, self._renewed, forgotten)
        self._texts.want([trigger.text for trigger in self._wanted])
        mismatch = mismatch_events("triggers", "publisher", self.warn)
        kind = ros.interface("vljepa_ros/msg/TriggerEvent")
        self._edges = self.create_publisher(kind, "triggers", _EVENTS, event_callbacks=mismatch)
        self._cameras = {
            camera: TriggerCamera(self, camera, self._edges, partial(self._texts.foreign, camera))
            for camera in self.cameras
        }

    def start(self) -> None:
        """Watch, if there is something to watch for."""
        self._vocabulary_topic = self.create_subscription(
            ros.interface("vljepa_ros/msg/Vocabulary"), "vocabulary", self._on_vocabulary, LATCHED
        )
        self._renew()
        self._listen(bool(self._wanted))

    def stop(self) -> None:
        """Watch no more; what was true falls."""
        self.destroy_subscription(self._vocabulary_topic)
        self._vocabulary_topic = None
        self._listen(False)
        self._use(None)

    def close(self) -> None:
        """Forget the texts' embeddings."""
        if self._texts is not None:
            self._texts.close()
            self._texts = None
        self._settle_waiting()
        for camera in self._cameras.values():
            camera.close()
        self.destroy_publisher(self._edges)
        self._cameras, self._used = {}, None

    def expire(self) -> None:
        """Answer requests whose time is over."""
        super().expire()
        now = time.monotonic()
        for entry in [entry for entry in self._waiting if now > entry[0]]:
            self._waiting.remove(entry)
            ros.complete(self, entry[1], None)

    def parts(self) -> Sequence[Part]:
        """Triggers and cameras for the diagnostics."""
        if self._texts is None:
            return []
        values = {"triggers": len(self._wanted), "model_id": self._texts.model_id}
        if self._texts.trouble:
            first = Part("triggers", ERROR, self._texts.trouble, values)
        elif not self.active:
            first = Part("triggers", WARN, "not active", values)
        elif not self._texts.complete:
            first = Part("triggers", WARN, "the texts are being encoded", values)
        else:
            first = Part("triggers", OK, f"{len(self._wanted)} triggers", values)
        timeout = self.settings.camera_timeout
        return [first, *(camera.part(timeout) for camera in self._cameras.values())]

    async def _set_triggers(self, request: Any, response: Any) -> Any:
        response.message = self.refusal(active=False)
        texts = self._texts
        if response.message or texts is None:
            return response
        try:
            wanted = checked_triggers(request.texts, request.thresholds)
            parameter = ros.Parameter("triggers", value=trigger_strings(wanted))
            (result,) = self.set_parameters([parameter])
            if not result.successful:
                response.message = result.reason
                return response
            if not texts.complete:
                future = ros.Future()
                until = time.monotonic() + self.settings.request_timeout
                self._waiting.append((until, future))
                texts.hurry()
                self._watch()
                await future
        except Exception as error:
            response.message = self.explain(error)
            return response
        response.success = True
        response.accepted = len(wanted)
        if not texts.complete or texts.trouble:
            why = texts.trouble or "the texts are still being encoded"
            response.message = f"accepted, but not watched yet: {why}"
        return response

    def _watch(self) -> None:
        """Five times a second: notice cameras that stopped, have texts encoded."""
        for camera in self._cameras.values():
            camera.watch(self.settings.camera_timeout)
        if self._texts is not None:
            self._texts.advance(self.settings.request_timeout)

    def _renewed(self) -> None:
        """Texts were encoded, or could not be."""
        assert self._texts is not None
        self._renew()
        if self._texts.complete or self._texts.trouble:
            self._settle_waiting()

    def _renew(self) -> None:
        """Compare with the list as it is now, as soon as its texts are encoded."""
        texts, p = self._texts, self.settings
        assert texts is not None
        texts.want([trigger.text for trigger in self._wanted])
        if self.active:
            self._listen(bool(self._wanted))
        if not self._wanted:
            self._use(None)
        elif texts.complete and texts.calibration is not None:
            args = (self._wanted, texts.vectors, texts.model_id, texts.calibration)
            self._use(EncodedTriggers(*args, p.threshold, p.release))

    def _on_vocabulary(self, message: Any) -> None:
        labels = frozenset(message.labels)
        mine = {trigger.text for trigger in self._wanted}
        changed = labels & mine != self._labels & mine
        self._labels = labels
        if changed:
            self._renew()

    def _use(self, triggers: EncodedTriggers | None, reason: str = "REMOVED") -> None:
        self._used = triggers
        for camera in self._cameras.values():
            camera.use(triggers, self.settings.settle, self._labels, reason)

    def _settle_waiting(self) -> None:
        for _, future in self._waiting:
            ros.complete(self, future, None)
        self._waiting = []

    def _listen(self, on: bool) -> None:
        for camera in self._cameras.values():
            camera.listen(on)


def main(args: Sequence[str] | None = None) -> int:
    """Run the node until Ctrl-C; the exit code."""
    return run_node(TriggerNode, sys.argv if args is None else args)


if __name__ == "__main__":
    sys.exit(main())
