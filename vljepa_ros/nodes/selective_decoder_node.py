"""The selective decoder: embeddings in, text out when the meaning of the scene has changed."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any

from vljepa_ros import ros
from vljepa_ros.engines.protocol import Engine
from vljepa_ros.models.config import ModelConfig, ModelError
from vljepa_ros.nodes.decoder_output import DecoderOutput
from vljepa_ros.nodes.decoder_parameters import DecoderParameters
from vljepa_ros.nodes.diagnostics import Part
from vljepa_ros.nodes.embedding_input import EmbeddingInput
from vljepa_ros.nodes.model_node import ModelNode
from vljepa_ros.nodes.qos import LATCHED
from vljepa_ros.nodes.state_keeper import StateKeeper
from vljepa_ros.nodes.turn_input import TurnInput
from vljepa_ros.nodes.worker_node import run_node
from vljepa_ros.perception.change.anchor_drift import AnchorDrift, AnchorDriftConfig
from vljepa_ros.perception.change.change_prior import TurnGuard, TurnGuardConfig
from vljepa_ros.perception.pipeline import PerceptionError
from vljepa_ros.perception.scoring import ScoredGroup, score_group
from vljepa_ros.perception.selective_decoder import SceneUpdate, SelectiveDecoder
from vljepa_ros.perception.vocabulary import VocabularyEncoder, from_groups

_MAX_GAP = 30.0  # seconds; a camera at the lowest max_rate is no broken stream
_AFTER_TURN = 1.0  # seconds beside the clip for which a turn is felt: the smoothing comes back
_FRESH = 1.0  # seconds since an embedding came, within which `describe` may use it


class SelectiveDecoderNode(ModelNode):
    """Decodes only at a change; `describe` decodes on demand. Options go to the ROS node."""

    model_parts = frozenset({"text", "decoder"})

    def __init__(self, **options: Any) -> None:
        self._inputs: dict[str, EmbeddingInput] = {}
        self._output: DecoderOutput | None = None
        self._labels: VocabularyEncoder | None = None
        self._vocabulary_topic: Any = None
        self._asked: list[tuple[str, float, Any]] = []
        self._turn: TurnInput | None = None
        self._turn_guards: list[TurnGuard] = []
        self._keeper: StateKeeper | None = None
        super().__init__("selective_decoder_node", DecoderParameters, **options)
        self.serve("Describe", "describe", self._describe)
        self._pulse = self.create_timer(0.2, self._beat, clock=ros.steady_clock())

    @property
    def settings(self) -> DecoderParameters:
        """The parameters, as they are now."""
        value = self.main.value
        assert isinstance(value, DecoderParameters)
        return value

    def apply(self) -> None:
        """Take over parameters that have changed."""
        for camera in self._inputs.values():
            detector = camera.decoder.detector
            assert isinstance(detector, AnchorDrift)
            assert self.engine is not None
            detector.configure(self._detection(self.engine))
            camera.decoder.heartbeat = self.settings.heartbeat
            if detector.guard is not None:
                detector.guard.config = self._guarding(self.engine)

    def prepare(self, engine: Engine) -> None:
        """Make a detector for each camera; go on where the last run ended."""
        if "generate" not in engine.capabilities:
            raise ModelError(f"model '{engine.config.name}' has no decoder")
        config = engine.config
        self._output = DecoderOutput(self, self.cameras, config.model_id, self.warn)
        for camera in self.cameras:
            guard = TurnGuard(self._guarding(engine))
            detector = AnchorDrift(self._detection(engine), guard)
            decoder = SelectiveDecoder(detector, engine.generate, self.settings.heartbeat)
            self._turn_guards.append(guard)
            self._inputs[camera] = EmbeddingInput(
                self, camera, config.model_id, decoder, self.wake_worker
            )
        self._labels = VocabularyEncoder(engine, lambda _: None)
        if self.settings.state_file:
            self._keeper = StateKeeper(self, self.settings.state_file, config, self._inputs)
            self._keeper.restore(self.settings.max_state_age)

    def start(self) -> None:
        """Listen to the vocabulary, and to embeddings as soon as somebody listens to us."""
        self._vocabulary_topic = self.create_subscription(
            ros.interface("vljepa_ros/msg/Vocabulary"), "vocabulary", self._on_vocabulary, LATCHED
        )
        if self.settings.turn_topic:
            self._turn = TurnInput(
                self, self.settings.turn_topic, self.settings.turn_type, self._turned
            )

    def stop(self) -> None:
        """Unsubscribe."""
        if self._vocabulary_topic is not None:
            self.destroy_subscription(self._vocabulary_topic)
            self._vocabulary_topic = None
        if self._turn is not None:
            self._turn.close()
            self._turn = None
        for camera in self._inputs.values():
            camera.listen(False)

    def free(self) -> None:
        """Keep what was told last, forget the detectors."""
        if self._keeper is not None:
            self._keeper.close()
        if self._output is not None:
            self._output.close()
            self._output = None
        self._inputs, self._turn_guards, self._labels, self._keeper = {}, [], None, None

    def step(self) -> float | None:
        """Take all embeddings that wait, in order."""
        news = False
        for name, camera in self._inputs.items():
            while (taken := camera.take()) is not None:
                news |= self._observe(name, camera, *taken)
        if self._keeper is not None:
            self._keeper.keep(news)
        if self._labels is not None and self._labels.pending:
            self._labels.advance()
            return 0.0
        return None

    def parts(self) -> Sequence[Part]:
        """Model, cameras, state file and turn guard for the diagnostics."""
        found = [*super().parts(), *(camera.part() for camera in self._inputs.values())]
        if self._keeper is not None:
            found.append(self._keeper.part())
        if self._turn is not None:
            found.append(self._turn.part())
        return found

    def _observe(self, name: str, camera: EmbeddingInput, message: Any, vector: Any) -> bool:
        """Tell what there is to tell; whether that was news."""
        if camera.query not in ("", message.query):
            camera.decoder.detector.reset()
        camera.query = message.query
        stamp = message.header.stamp.sec + message.header.stamp.nanosec * 1e-9
        said = camera.decoder.observe(stamp, vector)
        if said is None or self._output is None:
            return False
        label = self._label(said, message.query)
        include = self.settings.include_vector
        event = self._output.event(name, message.header, said, label, include)
        self._output.publish(event, said.is_event)
        return said.is_event

    def _label(self, said: SceneUpdate, query: str) -> ScoredGroup | None:
        """The labels of the first group, where they answer the query the embeddings answer."""
        current = self._labels.current if self._labels else None
        if current is None or self.engine is None or current.groups[0].group.prompt != query:
            return None
        return score_group(said.state, current.groups[0], self.engine.config.calibration)

    def _beat(self) -> None:
        """Listen while somebody listens; wake the worker; answer requests that wait."""
        if not self.active or self._output is None:
            return
        if self._turn is not None:
            self._turn.look()
        now = time.monotonic()
        asked = {camera for camera, _, _ in self._asked}
        for name, camera in self._inputs.items():
            wanted = self.settings.always_on or name in asked or self._output.listened(name)
            camera.listen(wanted)
        self.wake_worker()
        for entry in list(self._asked):
            camera = self._inputs[entry[0]]
            if camera.newest is not None and now - camera.arrived < _FRESH:
                self._asked.remove(entry)
                ros.complete(self, entry[2], True)
            elif now > entry[1]:
                self._asked.remove(entry)
                ros.complete(self, entry[2], False)

    async def _describe(self, request: Any, response: Any) -> Any:
        response.message = self.refusal(active=True)
        if response.message:
            return response
        try:
            name = self.which_camera(request.camera)
            camera = self._inputs[name]
            if camera.newest is None or time.monotonic() - camera.arrived >= _FRESH:
                future = ros.Future()
                until = time.monotonic() + self.settings.request_timeout
                self._asked.append((name, until, future))
                if not await future:
                    topic = self.resolve_topic_name(f"{name}/embeddings")
                    raise PerceptionError(
                        f"no embedding of camera '{name}' came on '{topic}' within "
                        f"{self.settings.request_timeout:g} s: is perception_node active?"
                    )
            response.event = await self.lend(lambda _: self._say(name, camera))
        except Exception as error:
            response.message = self.explain(error)
            return response
        response.success = True
        return response

    def _say(self, name: str, camera: EmbeddingInput) -> Any:
        """In the worker's thread: the state of now in words."""
        self.step()
        message, present = camera.newest, camera.decoder.detector.present
        if self._output is None or message is None or present is None:
            raise PerceptionError(f"no usable embedding of camera '{name}' yet")
        stamp = message.header.stamp.sec + message.header.stamp.nanosec * 1e-9
        said = camera.decoder.describe(stamp, present)
        label = self._label(said, message.query)
        include = self.settings.include_vector
        return self._output.event(name, message.header, said, label, include, request=True)

    def _on_vocabulary(self, message: Any) -> None:
        if self._labels is None or not message.labels:
            return
        first = message.prompts[0]
        pairs = zip(message.prompts, message.labels, strict=False)
        labels = [label for prompt, label in pairs if prompt == first]
        self._labels.replace(int(message.version), from_groups({first: labels}))
        self.wake_worker()

    def _turned(self, stamp: float, rate: float) -> None:
        for guard in self._turn_guards:
            guard.turn(stamp, rate)

    def _guarding(self, engine: Engine) -> TurnGuardConfig:
        p = self.settings
        return TurnGuardConfig(p.turn_rate, p.turn_factor, _span(engine.config) + _AFTER_TURN)

    def _detection(self, engine: Engine) -> AnchorDriftConfig:
        p = self.settings
        return AnchorDriftConfig(
            threshold=p.threshold,
            release=p.release,
            smoothing=p.smoothing,
            settle=p.settle,
            min_gap=p.min_gap,
            sensitivity=p.sensitivity,
            clip=_span(engine.config),
            max_gap=_MAX_GAP,
        )


def _span(model: ModelConfig) -> float:
    """Seconds that a clip spans."""
    return model.frame_interval * (model.clip_frames - 1)


def main(args: Sequence[str] | None = None) -> int:
    """Run the node until Ctrl-C; the exit code."""
    return run_node(SelectiveDecoderNode, sys.argv if args is None else args)


if __name__ == "__main__":
    sys.exit(main())
