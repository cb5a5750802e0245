"""The perception node: cameras in; embeddings, labels and answers out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vljepa_ros import ros
from vljepa_ros.engines.protocol import Engine
from vljepa_ros.models.calibration import EncodedText
from vljepa_ros.models.config import ModelError
from vljepa_ros.nodes.camera_input import CameraInput, CameraParameters
from vljepa_ros.nodes.diagnostics import OK, Part
from vljepa_ros.nodes.evidence import Evidence
from vljepa_ros.nodes.image_topic import ImageTopic
from vljepa_ros.nodes.model_node import ModelNode, ModelParameters
from vljepa_ros.nodes.parameters import live, read_only
from vljepa_ros.nodes.perception_topics import PerceptionTopics
from vljepa_ros.nodes.question_services import QuestionServices
from vljepa_ros.nodes.teaching import Teaching
from vljepa_ros.nodes.topics import HEARTBEAT_S, Endpoints
from vljepa_ros.nodes.vocabulary_services import NO_LABELS, VocabularyServices
from vljepa_ros.perception.pipeline import EMBEDDINGS, Observation, Pipeline
from vljepa_ros.perception.vocabulary import EncodedVocabulary


@dataclass(frozen=True)
class PerceptionParameters(ModelParameters):
    """Parameters in addition to the common ones and those of each camera."""

    max_rate: float = live(
        5.0,
        "Clips per second and camera at most, on average: after a late image the next clip may "
        "follow sooner.",
        0.1,
        1000.0,
    )
    labels: tuple[str, ...] = live(
        list(NO_LABELS),
        "Labels to choose among: groups 'prompt | label | label ...', or plain labels for the "
        "model's default prompt; a single empty text: the model's own vocabulary.",
    )
    top_labels: int = live(100, "Number of labels published per group, best first.", 1, 10000)
    abstain_below: float = live(
        -1.0, "Score that an answer needs; -1: the model's own threshold.", -1.0, 1.0
    )
    answer_max_age: float = live(
        0.0,
        "Maximum age of the newest image in seconds, for questions without max_age; 0: the length "
        "of a clip and 2 s.",
        0.0,
        1e9,
    )
    evidence: bool = live(
        False, "Publish the image that led to each event and to each trigger that became true."
    )
    snapshot_service: str = read_only(
        "",
        "With evidence: service of a rosbag2 recorder in snapshot mode that is called with each "
        "event, such as /rosbag2_recorder/snapshot; empty: none.",
        ros_name=True,
    )
    memory: str = read_only(
        "~/.vljepa/memory", "Store of memory_node, for teaching labels from past frames."
    )
    judge_domain: bool = live(
        True,
        "Mark images that are far from the model's domain, and answer no questions about them; "
        "only where the model folder describes its domain.",
    )
    image_timeout: float = live(
        4.0, "Seconds without an image after which a camera is reported.", 0.5, 3600.0
    )


class PerceptionNode(ModelNode[PerceptionParameters]):
    """Encodes cameras and answers questions while active. Options go to the ROS node."""

    model_parts = frozenset({"vision", "predictor", "text"})
    camera_kind = CameraParameters
    pipeline: Pipeline
    _topics: PerceptionTopics

    def __init__(self, **options: object) -> None:
        self._inputs: list[CameraInput] = []
        self._images: dict[tuple[str, str], ImageTopic] = {}
        self._mismatch = ""
        self._silent = 0
        super().__init__("perception_node", PerceptionParameters, **options)
        self._heartbeat = Endpoints(self)
        self._evidence = Evidence(self, self.settings.snapshot_service)
        self.vocabulary = VocabularyServices(self)
        self.questions = QuestionServices(self)
        self.teaching = Teaching(self, self._on_taught)
        self._watchdog = self.create_timer(1.0, self._check_cameras, clock=ros.steady_clock())

    def check_parameters(self, value: object) -> None:
        """Refuse labels that do not form a vocabulary."""
        if isinstance(value, PerceptionParameters | CameraParameters):
            self.vocabulary.check_labels(value.labels, self.engine)

    def apply(self) -> None:
        """Take over parameters that have changed."""
        if self.engine is not None:
            for camera in self._inputs:
                camera.apply()
            self._collect_evidence()
            self.pipeline.judges_domain = self.settings.judge_domain
            self.vocabulary.refresh()
            self.worker.wake()

    def prepare(self, engine: Engine) -> Callable[[], float | None]:
        """Create inputs, pipeline and topics for a loaded model."""
        if "score" not in engine.capabilities:
            raise ModelError(f"model '{engine.config.name}' cannot score")
        if "embed" not in engine.capabilities:
            self.get_logger().warning(
                f"model '{engine.config.name}' has no embeddings: questions are answered, but "
                "there are no embeddings, labels or events"
            )
        self._topics = PerceptionTopics(self, self.cameras, engine, self._on_mismatch)
        for camera in self.cameras:
            settings = self.camera_parameters[camera].value
            topic = ImageTopic(self, settings.image_topic, settings.transport)
            topic = self._images.setdefault((topic.topic, topic.transport), topic)
            made = CameraInput(self, camera, engine.config, self._subscribed, topic, self._evidence)
            self._inputs.append(made)
        feeds = [camera.feed for camera in self._inputs]
        self.pipeline = Pipeline(engine, feeds, self._publish, self._on_vocabulary)
        self.pipeline.judges_domain = self.settings.judge_domain
        self.vocabulary.pipeline = self.questions.pipeline = self.pipeline
        self.vocabulary.version = 0
        self.teaching.open(self.pipeline)
        self.vocabulary.refresh()
        return self.pipeline.step

    def start(self) -> None:
        """Subscribe to the cameras and republish the latched topics."""
        self._topics.publish_model_info()
        self._heartbeat.repeat(HEARTBEAT_S, self._topics.publish_model_info)
        self.teaching.start()
        if self.pipeline.labels.current is not None:
            self._publish_vocabulary(self.pipeline.labels.current)
        self.pipeline.watching = True
        for topic in self._images.values():
            topic.start()
        self._collect_evidence()

    def stop(self) -> None:
        """Unsubscribe."""
        self._heartbeat.close()
        self.teaching.stop()
        self._evidence.close()
        self.pipeline.watching = False
        for topic in self._images.values():
            topic.close()
        for camera in self._inputs:
            camera.stop()

    def free(self) -> None:
        """Free the pipeline and the publishers."""
        if (topics := vars(self).pop("_topics", None)) is not None:
            topics.close()
        self._inputs, self._images = [], {}
        self.teaching.close()
        for owner in (self, self.vocabulary, self.questions):
            vars(owner).pop("pipeline", None)

    def parts(self) -> Sequence[Part]:
        """Model, cameras and stages for the diagnostics."""
        values: dict[str, object] = {
            "clips": self.pipeline.clips,
            "vocabulary_version": self.vocabulary.version,
            "labels": self.vocabulary.vocabulary.size,
            "vocabulary_pending": self.pipeline.labels.pending,
            "qos": self._mismatch,
        }
        for stage, (median, p99) in self.pipeline.stages.milliseconds().items():
            values[f"stage_ms.{stage}.median"] = median
            values[f"stage_ms.{stage}.p99"] = p99
        pipeline = Part("pipeline", OK, f"{self.pipeline.clips} clips", values)
        cameras = (camera.part() for camera in self._inputs)
        found = [*super().parts(), *cameras, pipeline, *self.teaching.parts()]
        return [*found, self._evidence.part()] if self._evidence.is_open else found

    def _collect_evidence(self) -> None:
        """Start or stop evidence as its parameter says, while the node is active."""
        if self.settings.evidence and self.pipeline.watching:
            self._evidence.start()
        else:
            self._evidence.close()

    def _publish(self, seen: Observation) -> float:
        """Publish an observation and return its age in seconds; in the worker's thread."""
        self._evidence.keep(seen.camera, seen.stamp)
        clip = self.pipeline.cameras[seen.camera].encoded
        if clip is not None:
            self.teaching.observe(seen, clip[0].clip.frames)
        return self._topics.publish(seen)

    def _on_vocabulary(self, used: EncodedVocabulary) -> None:
        """Publish the vocabulary that is now in use; in the worker's thread."""
        self._publish_vocabulary(used)
        self.vocabulary.on_vocabulary(used)

    def _publish_vocabulary(self, used: EncodedVocabulary) -> None:
        self._topics.publish_vocabulary(used, self.vocabulary.owner_of)

    def _subscribed(self, camera: str) -> frozenset[str]:
        """The results of a camera that have subscribers or are needed to teach a label."""
        wanted = self._topics.subscriptions(camera)
        return wanted | {EMBEDDINGS} if self.teaching.wants(camera) else wanted

    def _on_taught(self, labels: dict[str, EncodedText]) -> None:
        """Use changed taught labels, and publish their version if the node is active."""
        self.vocabulary.teach(labels)
        self._topics.taught_version += 1
        if self.active:
            self._topics.publish_model_info()

    def watch(self) -> None:
        """Report a camera that has stopped without waiting for the next diagnostics."""
        silent = sum(camera.silent for camera in self._inputs)
        if silent > self._silent:
            self.diagnostics.publish()
        self._silent = silent

    def _check_cameras(self) -> None:
        for camera in self._inputs:
            camera.watch()
        if self.opened:
            self.teaching.watch()

    def _on_mismatch(self, text: str) -> None:
        self._mismatch = text
        self.warn(text)
