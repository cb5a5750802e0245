"""The selective decoder: turns embeddings into text when the meaning of the scene has changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from vljepa_ros import ros
from vljepa_ros.engines.protocol import Engine
from vljepa_ros.models.config import ModelError
from vljepa_ros.nodes.decoder_camera import AUTO_STATE, DecoderCamera, StateKeeper
from vljepa_ros.nodes.decoder_topics import DecoderTopics
from vljepa_ros.nodes.diagnostics import Part
from vljepa_ros.nodes.model_node import ModelNode, ModelParameters
from vljepa_ros.nodes.parameters import live, read_only
from vljepa_ros.nodes.topics import LATCHED, REPEAT_S, Endpoints, to_seconds
from vljepa_ros.nodes.turn_input import TurnInput, TurnParameters
from vljepa_ros.perception.change.anchor_drift import RANGES, AnchorDriftConfig
from vljepa_ros.perception.pipeline import PerceptionError
from vljepa_ros.perception.selective_decoder import SceneUpdate


@dataclass(frozen=True)
class DecoderParameters(TurnParameters, ModelParameters):
    """Parameters in addition to the common ones."""

    sensitivity: float = live(
        AnchorDriftConfig.sensitivity,
        "Expected false alarms per hour of a camera with occasional disturbances; others have "
        "fewer. The parameter to change first.",
        *RANGES["sensitivity"],
    )
    threshold: float = live(
        -1.0,
        "Cosine distance from the last published state below which nothing changed; -1: the "
        "model's change_threshold.",
        -1.0,
        2.0,
    )
    release: float = live(
        AnchorDriftConfig.release,
        "Share of the threshold below which a suspected change is dropped.",
        *RANGES["release"],
    )
    smoothing: float = live(
        AnchorDriftConfig.smoothing, "Time constant of the smoothing, seconds.", 0.0, 60.0
    )
    settle: float = live(
        AnchorDriftConfig.settle,
        "Seconds that a strong change must last before it is published; weaker ones, returns to "
        "the previous state and changes after a long quiet take several times as long.",
        0.0,
        60.0,
    )
    min_gap: float = live(
        AnchorDriftConfig.min_gap,
        "Minimum seconds between two changes; a change published too early is corrected "
        "afterwards.",
        0.0,
        3600.0,
    )
    min_confidence: float = live(
        -1.0,
        "Confidence below which an event has no text; -1: 0 with a Y-Decoder, else the model's "
        "abstain_below.",
        -1.0,
        1.0,
    )
    include_vector: bool = live(False, "Put the state's embedding into events.")
    turn_factor: float = live(
        20.0,
        "Factor on the threshold while the robot turns, and until no clip shows the turn; at 20 "
        "no change is published meanwhile.",
        1.0,
        100.0,
    )
    state_file: str = read_only(
        AUTO_STATE,
        "File that keeps the last published state, so that a restart does not publish it again; "
        "auto: in $ROS_HOME/vljepa_ros (~/.ros/vljepa_ros), named after the node; empty: none.",
    )
    max_state_age: float = live(
        300.0, "Age in seconds above which a state from before a restart is discarded.", 0.0, 1e7
    )


class SelectiveDecoderNode(ModelNode[DecoderParameters]):
    """Decodes only at a change; `describe` decodes on demand. Options go to the ROS node."""

    model_parts = frozenset({"decoder"})
    _topics: DecoderTopics

    def __init__(self, **options: object) -> None:
        self._inputs: dict[str, DecoderCamera] = {}
        self._turn: TurnInput | None = None
        self._keeper: StateKeeper | None = None
        super().__init__("selective_decoder_node", DecoderParameters, **options)
        self._heartbeat = Endpoints(self)
        self.serve("Describe", "describe", self._describe, needs_active=lambda request: True)

    def apply(self) -> None:
        """Take over parameters that have changed."""
        for camera in self._inputs.values():
            camera.apply()

    def prepare(self, engine: Engine) -> Callable[[], float | None]:
        """Create a decoder for each camera and restore its last state."""
        if engine.config.family == "token_vlm":
            raise ModelError(f"model '{engine.config.name}' has no embeddings: there is no decoder")
        config, p = engine.config, self.settings
        self._topics = DecoderTopics(self, self.cameras, config.model_id, self.warn)
        self._inputs = {name: DecoderCamera(self, name, engine) for name in self.cameras}
        if p.state_file:
            self._keeper = StateKeeper(self, p.state_file, config, self._inputs)
            self._keeper.restore(p.max_state_age)
        for name, camera in self._inputs.items():
            if camera.decoder.last is not None:
                self._topics.restore(name, camera.decoder.last)
        return self._take_embeddings

    def start(self) -> None:
        """Publish the states once a second; `watch` subscribes to embeddings."""
        p = self.settings
        self._heartbeat.repeat(REPEAT_S, self._repeat_states)
        self._heartbeat.subscribe(
            "vljepa_ros/msg/ModelInfo", "model_info", self._compare_models, LATCHED
        )
        if p.turn_topic:
            self._turn = TurnInput(self, p.turn_topic, p.turn_type, self._on_turn_rate)

    def stop(self) -> None:
        """Unsubscribe."""
        self._heartbeat.close()
        if self._turn is not None:
            self._turn.close()
            self._turn = None
        for camera in self._inputs.values():
            camera.listen(False)

    def free(self) -> None:
        """Keep the last published state, forget the detectors."""
        if self._keeper is not None:
            self._keeper.close()
        if (topics := vars(self).pop("_topics", None)) is not None:
            topics.close()
        self._inputs, self._keeper = {}, None

    def parts(self) -> Sequence[Part]:
        """Model, cameras, state file and turn guard for the diagnostics."""
        found = [*super().parts(), *(camera.part() for camera in self._inputs.values())]
        return found + [part.part() for part in (self._keeper, self._turn) if part is not None]

    def _take_embeddings(self) -> float | None:
        """Process the queued messages in order; in the worker's thread."""
        for name, camera in self._inputs.items():
            while (message := camera.inbox.take()) is not None:
                if not hasattr(message, "vector"):
                    camera.take_labels(message)
                elif camera.speaks:
                    self._observe(name, camera, message)
        if self._keeper is not None:
            self._keeper.keep(False)
        return None

    def _observe(self, name: str, camera: DecoderCamera, message: ros.Message) -> None:
        """Process an embedding and publish an update, after it is stored for a restart."""
        if camera.query not in ("", message.query):
            camera.detector.reset()
        camera.query = message.query
        camera.watch_colour(message)
        vector = np.array(message.vector, np.float32)
        stamp = to_seconds(message.header.stamp)
        update = camera.decoder.observe(stamp, vector, message.in_domain)
        if update is None:
            return
        if update.is_event and self._keeper is not None:
            self._keeper.keep(True)
        self._topics.publish(self._event(name, message, update), update.is_event)

    def _event(self, name: str, message: ros.Message, update: SceneUpdate) -> ros.Message:
        vector = self.settings.include_vector
        return self._topics.event(name, message.header, update, vector, message.in_domain)

    def _repeat_states(self, grown_stale: bool = False) -> None:
        """Publish each camera's state again, or only those of cameras that have just stopped."""
        for name, camera in self._inputs.items():
            before = camera.stale
            camera.stale = not camera.topic.is_open or bool(camera.topic.stale)
            if not grown_stale or (camera.stale and not before):
                self._topics.repeat_state(name, camera.newest, camera.stale)

    def watch(self) -> None:
        """Subscribe while there are subscribers or a `describe` is pending."""
        if not self.active:
            return
        if self._turn is not None:
            self._turn.try_subscribe()
        requested, always = self.pending.keys, self.settings.always_on
        for name, camera in self._inputs.items():
            camera.listen(always or name in requested or self._topics.has_subscribers(name))
            camera.topic.watch()
        self._repeat_states(grown_stale=True)
        self.worker.wake()
        self.pending.complete(True, lambda name: self._inputs[name].fresh)

    async def _describe(self, request: ros.Message, response: ros.Message) -> None:
        name, timeout = self.which_camera(request.camera), self.settings.request_timeout
        camera = self._inputs[name]
        if not camera.fresh and not await self.pending.wait(name, timeout):
            lacking = "label" if camera.newest is not None and not camera.speaks else "embedding"
            topic = self.resolve_topic_name(f"{name}/{lacking}s")
            raise PerceptionError(
                f"no {lacking} of camera '{name}' arrived on '{topic}' within {timeout:g} s: is "
                "perception_node active?"
            )
        response.event = await self.run_in_worker(lambda _: self._present(name, camera))

    def _present(self, name: str, camera: DecoderCamera) -> ros.Message:
        """Decode the present state; in the worker's thread."""
        self._take_embeddings()
        message, present = camera.newest, camera.decoder.present
        if message is None or present is None:
            raise PerceptionError(f"no usable embedding of camera '{name}' yet")
        update = camera.decoder.describe(to_seconds(message.header.stamp), present)
        return self._event(name, message, update)

    def _compare_models(self, info: ros.Message) -> None:
        """Compare the models even while no embeddings are subscribed to."""
        for camera in self._inputs.values():
            camera.topic.compare(info)

    def _on_turn_rate(self, stamp: float, rate: float) -> None:
        for camera in self._inputs.values():
            camera.guard.turn(stamp, rate)
