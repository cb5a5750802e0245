"""The trigger node: embeddings and labels in; which of many texts are true, told at their edges."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vljepa_ros import ros
from vljepa_ros.models.config import Calibration, ModelError, load_config
from vljepa_ros.nodes.diagnostics import ERROR, OK, WARN, Part
from vljepa_ros.nodes.parameters import live
from vljepa_ros.nodes.qos import LATCHED, mismatch_events
from vljepa_ros.nodes.text_encoder_client import EncodedTexts, TextEncoderClient, TextEncoderError
from vljepa_ros.nodes.trigger_camera import TriggerCamera
from vljepa_ros.nodes.worker_node import WorkerNode, WorkerParameters, run_node
from vljepa_ros.perception.trigger_list import (
    Trigger,
    TriggerError,
    checked_triggers,
    parse_triggers,
    trigger_strings,
)
from vljepa_ros.perception.triggers import EncodedTriggers
from vljepa_ros.resources import model_dir, model_names

__all__ = ["TriggerNode", "TriggerParameters", "main"]

_PAUSE = 1.0  # seconds until texts that could not be encoded are sent again
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
    known = (*WorkerNode.known, ModelError, TriggerError)
    works = False

    def __init__(self, **options: Any) -> None:
        self._wanted: tuple[Trigger, ...] = ()
        self._vectors: dict[str, NDArray[np.float32]] = {}  # by text
        self._model_id = ""  # of the vectors
        self._calibration: tuple[str, Calibration] = ("", Calibration())  # of the model with an id
        self._used: EncodedTriggers | None = None
        self._texts: TextEncoderClient | None = None
        self._asking = False
        self._ask_again = 0.0
        self._trouble = ""
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
        config = load_config(model_dir(self.settings.model))
        self._calibration = (config.model_id, config.calibration)
        self._texts = TextEncoderClient(self, "encode_text")
        mismatch = mismatch_events("triggers", "publisher", self.warn)
        kind = ros.interface("vljepa_ros/msg/TriggerEvent")
        self._edges = self.create_publisher(kind, "triggers", _EVENTS, event_callbacks=mismatch)
        self._cameras = {
            camera: TriggerCamera(self, camera, self._edges, partial(self._foreign, camera))
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
        self._cameras, self._vectors, self._model_id = {}, {}, ""
        self._asking = False

    def expire(self) -> None:
        """Answer requests whose time is over."""
        super().expire()
        if self._texts is not None:
            self._texts.expire()
        now = time.monotonic()
        for entry in [entry for entry in self._waiting if now > entry[0]]:
            self._waiting.remove(entry)
            ros.complete(self, entry[1], None)

    def parts(self) -> Sequence[Part]:
        """Triggers and cameras for the diagnostics."""
        values = {"triggers": len(self._wanted), "model_id": self._model_id}
        if self._trouble:
            first = Part("triggers", ERROR, self._trouble, values)
        elif not self.active:
            first = Part("triggers", WARN, "not active", values)
        elif not self._encoded():
            first = Part("triggers", WARN, "the texts are being encoded", values)
        else:
            first = Part("triggers", OK, f"{len(self._wanted)} triggers", values)
        timeout = self.settings.camera_timeout
        return [first, *(camera.part(timeout) for camera in self._cameras.values())]

    async def _set_triggers(self, request: Any, response: Any) -> Any:
        response.message = self.refusal(active=False)
        if response.message:
            return response
        try:
            wanted = checked_triggers(request.texts, request.thresholds)
            parameter = ros.Parameter("triggers", value=trigger_strings(wanted))
            (result,) = self.set_parameters([parameter])
            if not result.successful:
                response.message = result.reason
                return response
            if not self._encoded():
                future = ros.Future()
                until = time.monotonic() + self.settings.request_timeout
                self._waiting.append((until, future))
                self._ask_again = 0.0
                self._watch()
                await future
        except Exception as error:
            response.message = self.explain(error)
            return response
        response.success = True
        response.accepted = len(wanted)
        if not self._encoded():
            why = self._trouble or "the texts are still being encoded"
            response.message = f"accepted, but not watched yet: {why}"
        return response

    def _watch(self) -> None:
        """Five times a second: notice cameras that stopped, have texts encoded."""
        for camera in self._cameras.values():
            camera.watch(self.settings.camera_timeout)
        if self._texts is None or self._asking or self._encoded():
            return
        if time.monotonic() < self._ask_again:
            return
        missing = [t.text for t in self._wanted if t.text not in self._vectors]
        self._asking = True
        patience = self.settings.request_timeout
        self._texts.request(missing, patience, partial(self._answered, tuple(missing)))

    def _encoded(self) -> bool:
        return all(trigger.text in self._vectors for trigger in self._wanted)

    def _answered(self, texts: tuple[str, ...], answer: EncodedTexts | TextEncoderError) -> None:
        self._asking = False
        self._ask_again = time.monotonic() + _PAUSE
        if isinstance(answer, TextEncoderError):
            self._trouble = str(answer)
            self.warn(f"triggers are not watched: {answer}")
            self._settle_waiting()
            return
        if answer.model_id != self._model_id:
            self._forget(answer.model_id)
        self._vectors.update(zip(texts, answer.vectors, strict=True))
        self._trouble = "" if self._calibrated(answer.model_id) else self._trouble
        self._renew()
        if self._encoded():
            self._settle_waiting()
        else:
            self._ask_again = 0.0  # texts encoded before were of another model

    def _renew(self) -> None:
        """Compare with the list as it is now, as soon as its texts are encoded."""
        texts = [trigger.text for trigger in self._wanted]
        self._vectors = {text: self._vectors[text] for text in texts if text in self._vectors}
        if self.active:
            self._listen(bool(self._wanted))
        if not self._wanted:
            self._trouble = ""
            self._use(None)
        elif self._encoded() and self._calibrated(self._model_id):
            p = self.settings
            vectors = np.stack([self._vectors[text] for text in texts])
            calibration = self._calibration[1]
            self._use(
                EncodedTriggers(
                    self._wanted, vectors, self._model_id, calibration, p.threshold, p.release
                )
            )

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

    def _forget(self, model_id: str) -> None:
        """Embeddings of the texts are of another model than the one now asked for."""
        self._vectors, self._model_id = {}, model_id
        if self._used is not None:
            self._use(None, "MODEL_CHANGED")

    def _foreign(self, camera: str, model_id: str) -> None:
        """Embeddings came that are of another model than the texts."""
        if not self._encoded() or self._asking or not self._model_id:
            return  # under way
        if model_id == self._model_id:
            return  # its calibration is unknown, which has been told
        self._trouble = (
            f"embeddings of camera '{camera}' come from model {model_id}, the texts were encoded "
            f"by model {self._model_id}; they are encoded again"
        )
        self.warn(self._trouble)
        self._forget("")
        self._ask_again = time.monotonic() + _PAUSE

    def _calibrated(self, model_id: str) -> bool:
        """Whether the calibration of a model is known; found among the shipped ones, too."""
        if self._calibration[0] == model_id:
            return True
        for name in (self.settings.model, *model_names()):
            try:
                config = load_config(model_dir(name))
            except ModelError:
                continue
            if config.model_id == model_id:
                self._calibration = (model_id, config.calibration)
                return True
        self._trouble = (
            f"the texts were encoded by model {model_id}, whose calibration is unknown: set the "
            "parameter model to its folder"
        )
        self.warn(self._trouble)
        return False

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
