"""The perception node: cameras in; embeddings, labels and answers out."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from vljepa_ros import ros
from vljepa_ros.engines.protocol import Engine
from vljepa_ros.models.config import ModelError
from vljepa_ros.nodes.camera_input import CameraInput, CameraParameters
from vljepa_ros.nodes.diagnostics import OK, Part
from vljepa_ros.nodes.model_node import ModelNode, ModelParameters
from vljepa_ros.nodes.parameters import Declared, live
from vljepa_ros.nodes.perception_output import PerceptionOutput
from vljepa_ros.nodes.perception_services import PerceptionServices
from vljepa_ros.perception.pipeline import EMBEDDINGS, LABELS, Pipeline
from vljepa_ros.perception.vocabulary import EncodedVocabulary, Vocabulary, from_groups, parse

_OWN_VOCABULARY = ("",)


@dataclass(frozen=True)
class PerceptionParameters(ModelParameters):
    """Parameters beside the common ones and those of each camera."""

    max_rate: float = live(5.0, "Clips a second and camera at most.", 0.1, 1000.0)
    labels: tuple[str, ...] = live(
        list(_OWN_VOCABULARY),
        "Labels to tell apart: groups 'prompt | label | label ...', or plain labels for the "
        "model's default prompt; a single empty text: the model's own vocabulary.",
    )
    abstain_below: float = live(
        -1.0, "Best score below which an answer is an abstention; -1: the model's own.", -1.0, 1.0
    )
    image_timeout: float = live(
        5.0, "Seconds without an image after which a camera is reported.", 0.5, 3600.0
    )


class PerceptionNode(ModelNode):
    """See `doc/architecture.md`, the flow of a frame. Options go to the ROS node."""

    model_parts = frozenset({"vision", "predictor", "text"})
    pipeline: Pipeline

    def __init__(self, **options: Any) -> None:
        self._camera_parameters: dict[str, Declared[CameraParameters]] = {}
        self._inputs: list[CameraInput] = []
        self._output: PerceptionOutput | None = None
        self._waiting: list[tuple[int, float, Any]] = []
        self.vocabulary_version = 0
        self.vocabulary: Vocabulary
        self._mismatch = ""
        super().__init__("perception_node", PerceptionParameters, **options)
        self._served = PerceptionServices(self)
        self._watchdog = self.create_timer(1.0, self._watch, clock=ros.steady_clock())
        self._patience = self.create_timer(0.2, self._give_up, clock=ros.steady_clock())

    @property
    def settings(self) -> PerceptionParameters:
        """The parameters, as they are now."""
        value = self.main.value
        assert isinstance(value, PerceptionParameters)
        return value

    @property
    def capabilities(self) -> frozenset[str]:
        """What the loaded model can do."""
        return self.engine.capabilities if self.engine is not None else frozenset()

    @property
    def abstain_below(self) -> float:
        """Score below which the best answer is an abstention."""
        own = self.settings.abstain_below
        return own if own >= 0 else self.pipeline.engine.config.calibration.abstain_below

    def declare_more(self) -> None:
        """Declare the parameters of each camera."""
        for camera in self.cameras:
            declared = Declared(self, CameraParameters, f"{camera}.")
            self._camera_parameters[camera] = declared
            self.declared.append(declared)

    def check_parameters(self, value: Any) -> None:
        """Refuse labels that are no vocabulary."""
        if isinstance(value, PerceptionParameters) and value.labels != _OWN_VOCABULARY:
            if self.engine and "encode_text" not in self.engine.capabilities:
                raise ModelError(
                    f"model '{self.engine.config.name}' cannot embed texts: it has no labels; "
                    "allowed: models of the families vl_jepa and dual_encoder"
                )
            default = self.engine.config.default_query if self.engine else "?"
            parse(value.labels, default)

    def apply(self) -> None:
        """Take over parameters that have changed."""
        if self.engine is None:
            return
        for camera in self._inputs:
            camera.apply(self.settings.max_rate)
        self._take_labels(self.engine)
        if self.worker is not None:
            self.worker.wake()

    def prepare(self, engine: Engine) -> None:
        """Make inputs, pipeline and outputs for a loaded model."""
        missing = {"score"} - engine.capabilities
        if missing:
            raise ModelError(f"model '{engine.config.name}' cannot {', '.join(sorted(missing))}")
        if "embed" not in engine.capabilities:
            self.get_logger().warning(
                f"model '{engine.config.name}' has no embeddings: questions are answered, but "
                "there are no embeddings, labels or events"
            )
        output = PerceptionOutput(self, self.cameras, engine, self._on_mismatch)
        self._output = output
        self._inputs = [
            CameraInput(
                self,
                camera,
                self._camera_parameters[camera],
                engine.config,
                partial(self._requested, camera),
                self._wake,
                self.settings.max_rate,
            )
            for camera in self.cameras
        ]
        feeds = [camera.feed for camera in self._inputs]
        self.pipeline = Pipeline(engine, feeds, output.publish, self._vocabulary_ready)
        self.vocabulary_version = 0
        self._take_labels(engine)

    def start(self) -> None:
        """Subscribe to the cameras; tell latecomers again what runs."""
        assert self._output is not None
        self._output.publish_model_info()
        if self.pipeline.labels.current is not None:
            self._output.publish_vocabulary(self.pipeline.labels.current)
        self.pipeline.watching = True
        for camera in self._inputs:
            camera.start()

    def stop(self) -> None:
        """Unsubscribe."""
        self.pipeline.watching = False
        for camera in self._inputs:
            camera.stop()

    def free(self) -> None:
        """Forget the model's pipeline."""
        for _, _, future in self._waiting:
            ros.complete(self, future, False)
        self._waiting.clear()
        if self._output is not None:
            self._output.close()
            self._output = None
        self._inputs = []
        del self.pipeline

    def step(self) -> float | None:
        """One batch, or a piece of a new vocabulary."""
        return self.pipeline.step()

    async def vocabulary_in_use(self, version: int) -> bool:
        """Wait until a version of the vocabulary is in use; False where that takes too long."""
        current = self.pipeline.labels.current
        if current is not None and current.version >= version:
            return True
        future = ros.Future()
        until = time.monotonic() + self.settings.request_timeout
        self._waiting.append((version, until, future))
        return bool(await future)

    def parts(self) -> Sequence[Part]:
        """Model, cameras and stages for the diagnostics."""
        found = list(super().parts())
        found += [camera.part(self.settings.image_timeout) for camera in self._inputs]
        if self.engine is not None:
            values: dict[str, object] = {
                "clips": self.pipeline.clips,
                "vocabulary_version": self.vocabulary_version,
                "labels": self.vocabulary.size,
                "vocabulary_pending": self.pipeline.labels.pending,
                "qos": self._mismatch,
            }
            for stage, (median, p99) in self.pipeline.stages.milliseconds().items():
                values[f"stage_ms.{stage}.median"] = median
                values[f"stage_ms.{stage}.p99"] = p99
            found.append(Part("pipeline", OK, f"{self.pipeline.clips} clips", values))
        return found

    def _take_labels(self, engine: Engine) -> None:
        labels = self.settings.labels
        if "encode_text" not in engine.capabilities:
            self.vocabulary = Vocabulary(())
            return
        if labels == _OWN_VOCABULARY:
            own = engine.config.vocabulary
            wanted = from_groups(own) if own else parse(["yes", "no"], engine.config.default_query)
        else:
            wanted = parse(labels, engine.config.default_query)
        if self.vocabulary_version and wanted == self.vocabulary:
            return
        self.vocabulary = wanted
        self.vocabulary_version += 1
        self.pipeline.labels.replace(self.vocabulary_version, wanted)

    def _vocabulary_ready(self, used: EncodedVocabulary) -> None:
        """In the worker's thread."""
        if self._output is not None:
            self._output.publish_vocabulary(used)
        for entry in [e for e in self._waiting if e[0] <= used.version]:
            self._waiting.remove(entry)
            ros.complete(self, entry[2], True)

    def _give_up(self) -> None:
        for entry in [e for e in self._waiting if time.monotonic() > e[1]]:
            self._waiting.remove(entry)
            ros.complete(self, entry[2], False)

    def _requested(self, camera: str) -> frozenset[str]:
        if self.settings.always_on:
            return frozenset({EMBEDDINGS, LABELS})
        return self._output.subscriptions(camera) if self._output else frozenset()

    def _wake(self) -> None:
        if self.worker is not None:
            self.worker.wake()

    def _watch(self) -> None:
        for camera in self._inputs:
            camera.watch(self.settings.image_timeout)

    def _on_mismatch(self, text: str) -> None:
        self._mismatch = text
        self.get_logger().warning(text, throttle_duration_sec=10.0)


def main(args: Sequence[str] | None = None) -> int:
    """Run the node until Ctrl-C; the exit code."""

    def make() -> list[Any]:
        node = PerceptionNode()
        node.autostart()
        return [node]

    return int(ros.run(make, list(sys.argv if args is None else args)))


if __name__ == "__main__":
    sys.exit(main())
