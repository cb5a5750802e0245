"""What the perception node says: its topics, and its results as messages."""

from __future__ import annotations

import array
from collections.abc import Callable, Sequence
from typing import Any

from vljepa_ros import ros
from vljepa_ros.engines.protocol import Engine
from vljepa_ros.nodes.qos import LATCHED, RESULTS, mismatch_events
from vljepa_ros.perception.pipeline import EMBEDDINGS, LABELS, Observation
from vljepa_ros.perception.vocabulary import EncodedVocabulary


class PerceptionOutput:
    """Publishers from creation until `close`; `publish` may be called from the worker's thread.

    :param warn: given one line about subscribers whose quality of service does not fit.
    """

    def __init__(
        self, node: Any, cameras: Sequence[str], engine: Engine, warn: Callable[[str], None]
    ) -> None:
        self._node = node
        self._engine = engine
        self._warn = warn
        self._embedding = ros.interface("vljepa_ros/msg/Embedding")
        self._labels = ros.interface("vljepa_ros/msg/SceneLabels")
        self._classification = ros.find_interface("vision_msgs/msg/Classification")
        self._result = ros.find_interface("vision_msgs/msg/ObjectHypothesis")
        self._vocabulary_kind = ros.interface("vljepa_ros/msg/Vocabulary")
        self._info_kind = ros.interface("vljepa_ros/msg/ModelInfo")
        kinds = {"embeddings": self._embedding, "labels": self._labels}
        if self._classification is not None:
            kinds["classification"] = self._classification
        self._publishers = {
            camera: {
                name: self._create(kind, f"{camera}/{name}", RESULTS)
                for name, kind in kinds.items()
            }
            for camera in cameras
        }
        self._vocabulary = self._create(self._vocabulary_kind, "vocabulary", LATCHED)
        self._info = self._create(self._info_kind, "model_info", LATCHED)

    def close(self) -> None:
        """Destroy the publishers."""
        for publishers in self._publishers.values():
            for publisher in publishers.values():
                self._node.destroy_publisher(publisher)
        self._node.destroy_publisher(self._vocabulary)
        self._node.destroy_publisher(self._info)

    def subscriptions(self, camera: str) -> frozenset[str]:
        """Which of a camera's results somebody subscribes to: EMBEDDINGS, LABELS."""
        count = {
            name: publisher.get_subscription_count()
            for name, publisher in self._publishers[camera].items()
        }
        labels = count["labels"] + count.get("classification", 0)
        found = {EMBEDDINGS: count["embeddings"], LABELS: labels}
        return frozenset(name for name, subscribers in found.items() if subscribers)

    def publish(self, seen: Observation) -> float:
        """Publish one observation on the topics of its camera; returns its age in seconds."""
        age = self._latency(seen)
        publishers = self._publishers[seen.camera]
        stamp = ros.Time(nanoseconds=seen.stamp).to_msg()
        message = self._embedding(
            camera=seen.camera,
            model_id=self._engine.config.model_id,
            query=self._engine.config.default_query,
            latency=self._latency(seen),
            clip_start=ros.Time(nanoseconds=seen.clip_start).to_msg(),
            vector=array.array("f", seen.embedding.tobytes()),
        )
        message.header.stamp, message.header.frame_id = stamp, seen.tag
        publishers["embeddings"].publish(message)
        if not seen.groups:
            return age
        labels = self._labels(
            camera=seen.camera,
            model_id=self._engine.config.model_id,
            vocabulary_version=seen.vocabulary_version,
            latency=self._latency(seen),
        )
        labels.header = message.header
        for group in seen.groups:
            labels.prompts += [group.prompt] * len(group.labels)
            labels.labels += list(group.labels)
        labels.scores = array.array("f", [float(s) for g in seen.groups for s in g.scores])
        labels.similarities = array.array(
            "f", [float(s) for g in seen.groups for s in g.similarities]
        )
        publishers["labels"].publish(labels)
        if self._classification is not None and self._result is not None:
            first = seen.groups[0]
            found = self._classification(header=message.header)
            found.results = [
                self._result(class_id=label, score=float(score))
                for label, score in zip(first.labels, first.scores, strict=True)
            ]
            publishers["classification"].publish(found)
        return age

    def publish_vocabulary(self, used: EncodedVocabulary) -> None:
        """Publish the vocabulary in use, latched."""
        message = self._vocabulary_kind(version=used.version, model_id=self._engine.config.model_id)
        for group in used.vocabulary.groups:
            message.prompts += [group.prompt] * len(group.labels)
            message.labels += list(group.labels)
        self._vocabulary.publish(message)

    def publish_model_info(self) -> None:
        """Publish what runs, latched."""
        config, info = self._engine.config, self._engine.info
        self._info.publish(
            self._info_kind(
                name=config.name,
                model_id=config.model_id,
                family=config.family,
                dim=config.dim,
                clip_frames=config.clip_frames,
                frame_interval=float(config.frame_interval),
                input_size=config.input_size,
                engine=info.engine,
                device=info.device,
                precision=info.precision,
                capabilities=sorted(self._engine.capabilities),
            )
        )

    def _create(self, kind: Any, topic: str, qos: Any) -> Any:
        events = mismatch_events(topic, "publisher", self._warn)
        return self._node.create_publisher(kind, topic, qos, event_callbacks=events)

    def _latency(self, seen: Observation) -> float:
        return (self._node.get_clock().now().nanoseconds - seen.stamp) / 1e9
