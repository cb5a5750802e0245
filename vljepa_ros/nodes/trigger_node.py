"""The trigger node: embeddings and labels in; which of many texts are true, published at edges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from vljepa_ros import ros
from vljepa_ros.models.config import ModelError
from vljepa_ros.nodes.diagnostics import ERROR, OK, WARN, Part
from vljepa_ros.nodes.lifecycle_node import LifecycleNode, LifecycleParameters
from vljepa_ros.nodes.parameters import live
from vljepa_ros.nodes.topics import LATCHED, Endpoints
from vljepa_ros.nodes.trigger_camera import TriggerCamera
from vljepa_ros.nodes.trigger_texts import TriggerTexts
from vljepa_ros.perception.triggers import (
    EncodedTriggers,
    Trigger,
    checked_triggers,
    parse_triggers,
    trigger_strings,
)
from vljepa_ros.perception.vocabulary import PresenceError, VocabularyError

EDGES = ros.QoSProfile(
    depth=1000, reliability=ros.ReliabilityPolicy.RELIABLE
)  # all may fall at once


@dataclass(frozen=True)
class TriggerParameters(LifecycleParameters):
    """Parameters in addition to the common ones."""

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


class TriggerNode(LifecycleNode[TriggerParameters]):
    """Loads no model: texts are encoded by the perception node. Options go to the ROS node."""

    subject = "triggers"
    codes = LifecycleNode.codes | {ModelError: "UNSUPPORTED", VocabularyError: "BAD_REQUEST"}

    def __init__(self, **options: Any) -> None:
        self.used: EncodedTriggers | None = None
        self._wanted: tuple[Trigger, ...] = ()
        self._texts: TriggerTexts
        self._labels: frozenset[str] = frozenset()
        self._cameras: dict[str, TriggerCamera] = {}
        super().__init__("trigger_node", TriggerParameters, **options)
        self._edges = Endpoints(self, self.warn)
        self._vocabulary = Endpoints(self)
        self.serve("SetTriggers", "set_triggers", self._set_triggers)
        self._pulse = self.create_timer(0.2, self._watch, clock=ros.steady_clock())

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
        """Check the list and the model's configuration; all work is done by the executor."""
        self._wanted = parse_triggers(self.settings.triggers)
        on_reset = partial(self._use, None, "MODEL_CHANGED")
        self._texts = TriggerTexts(self, self._on_encoded, on_reset)
        self._texts.set_texts([trigger.text for trigger in self._wanted])
        edges = self._edges.publisher("vljepa_ros/msg/TriggerEvent", "triggers", EDGES)
        mismatch = self._texts.on_model_mismatch
        self._cameras = {
            camera: TriggerCamera(self, camera, edges, partial(mismatch, camera))
            for camera in self.cameras
        }

    def start(self) -> None:
        """Watch, if there is something to watch for."""
        self._vocabulary.subscribe(
            "vljepa_ros/msg/Vocabulary", "vocabulary", self._on_vocabulary, LATCHED
        )
        self._renew()
        self._listen(bool(self._wanted))

    def stop(self) -> None:
        """Watch no more; what was true falls."""
        self._vocabulary.close()
        self._listen(False)
        self._use(None)

    def close(self) -> None:
        """Forget the texts' embeddings."""
        self._texts.close()
        for camera in self._cameras.values():
            camera.close()
        self._edges.close()
        self._cameras, self.used = {}, None

    def parts(self) -> Sequence[Part]:
        """Triggers and cameras for the diagnostics."""
        texts = self._texts
        values = {"triggers": len(self._wanted), "model_id": texts.model_id}
        if texts.trouble:
            state = ERROR, texts.trouble
        elif not self.active:
            state = WARN, "not active"
        elif not texts.complete:
            state = WARN, "the texts are being encoded"
        elif refused := self._refused:
            state = ERROR, str(refused)
        else:
            state = OK, f"{len(self._wanted)} triggers"
        cameras = [camera.part() for camera in self._cameras.values()]
        return [Part("triggers", *state, values), *cameras]

    async def _set_triggers(self, request: Any, response: Any) -> None:
        wanted, texts = checked_triggers(request.texts, request.thresholds), self._texts
        parameter = ros.Parameter("triggers", value=trigger_strings(wanted))
        (result,) = self.set_parameters([parameter])
        if not result.successful:
            raise VocabularyError(result.reason)
        if not texts.complete:
            encoded = self.pending.wait("texts", self.settings.request_timeout)
            texts.retry_now()
            texts.request_missing(self.settings.request_timeout)
            await encoded
        response.accepted = len(wanted)
        if not texts.complete or texts.trouble:
            why = texts.trouble or "the texts are still being encoded"
            response.result = self.result("PENDING", f"accepted, but not watched yet: {why}")
        elif refused := self._refused:
            raise refused

    @property
    def _refused(self) -> PresenceError | None:
        """Which texts the model cannot judge; None if there are none."""
        calibration = self._texts.calibration
        alone = [trigger.text for trigger in self._wanted if trigger.text not in self._labels]
        if calibration is None or calibration.judges_presence or not alone:
            return None
        return PresenceError(
            f"{len(alone)} of {len(self._wanted)} triggers are not watched, the first is "
            f"'{alone[0]}', allowed: labels of the vocabulary"
        )

    def _watch(self) -> None:
        """Five times a second: notice cameras that stopped, have texts encoded."""
        for camera in self._cameras.values():
            camera.watch(self.settings.camera_timeout)
        if self.opened:
            self._texts.request_missing(self.settings.request_timeout)

    def _on_encoded(self) -> None:
        """Texts were encoded, or could not be."""
        self._renew()
        if self._texts.complete or self._texts.trouble:
            self.pending.complete(None, lambda key: key == "texts")

    def _renew(self) -> None:
        """Compare with the list as it is now, as soon as its texts are encoded."""
        texts, p = self._texts, self.settings
        texts.set_texts([trigger.text for trigger in self._wanted])
        if self.active:
            self._listen(bool(self._wanted))
        if not self._wanted:
            self._use(None)
        elif texts.complete and texts.calibration is not None:
            args = (self._wanted, texts.vectors, texts.model_id, texts.calibration)
            self._use(EncodedTriggers(*args, p.threshold, p.release))

    def _on_vocabulary(self, message: Any) -> None:
        labels = frozenset(label for group in message.groups for label in group.labels)
        mine = {trigger.text for trigger in self._wanted}
        changed = labels & mine != self._labels & mine
        self._labels = labels
        if changed:
            self._renew()

    def _use(self, triggers: EncodedTriggers | None, reason: str = "REMOVED") -> None:
        self.used = triggers
        for camera in self._cameras.values():
            camera.use(triggers, self.settings.settle, self._labels, reason)

    def _listen(self, on: bool) -> None:
        for camera in self._cameras.values():
            camera.listen(on)
