"""Publishes the results of the perception node."""

from __future__ import annotations

import array
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from vljepa_ros import ros
from vljepa_ros.engines.protocol import Engine
from vljepa_ros.nodes.lifecycle_node import LifecycleNode
from vljepa_ros.nodes.topics import LATCHED, REPEATED, Endpoints, age_of, to_stamp
from vljepa_ros.perception.pipeline import EMBEDDINGS, LABELS, Observation
from vljepa_ros.perception.scoring import ScoredGroup
from vljepa_ros.perception.vocabulary import EncodedVocabulary, Group

_KINDS = {
    EMBEDDINGS: "vljepa_ros/msg/Embedding",
    LABELS: "vljepa_ros/msg/SceneLabels",
    "classification": "vision_msgs/msg/Classification",
}


def label_group(scored: ScoredGroup, most: int) -> ros.Message:
    """A msg/LabelGroup with at most `most` labels."""
    kind = ros.interface("vljepa_ros/msg/Label")
    best = zip(scored.labels[:most], scored.scores, scored.similarities, strict=False)
    return ros.interface("vljepa_ros/msg/LabelGroup")(
        prompt=scored.prompt,
        none_score=scored.none_score,
        labels=[
            kind(text=text, score=float(score), similarity=float(similarity))
            for text, score, similarity in best
        ],
    )


class PerceptionTopics(Endpoints):
    """Publishers of the perception node from creation until `close`.

    `publish` may be called from the worker's thread.

    Args:
        node: Has the parameter `always_on`.
        cameras: Their names.
        engine: The engine whose results are published.
        on_mismatch: See `Endpoints`.

    Attributes:
        taught_version: Version of the taught labels, see msg/ModelInfo.
    """

    def __init__(
        self,
        node: LifecycleNode[Any],
        cameras: Sequence[str],
        engine: Engine,
        on_mismatch: Callable[[str], None],
    ) -> None:
        super().__init__(node, on_mismatch)
        self._engine = engine
        self.taught_version = 0
        found = {name: ros.find_interface(kind) for name, kind in _KINDS.items()}
        self._messages: dict[str, Any] = {name: kind for name, kind in found.items() if kind}
        self._result: Any = ros.find_interface("vision_msgs/msg/ObjectHypothesis")
        self._publishers = {
            camera: {
                name: self.publisher(_KINDS[name], f"{camera}/{name}") for name in self._messages
            }
            for camera in cameras
        }
        self._vocabulary = self.publisher("vljepa_ros/msg/Vocabulary", "vocabulary", LATCHED)
        self._info = self.publisher("vljepa_ros/msg/ModelInfo", "model_info", REPEATED)

    def subscriptions(self, camera: str) -> frozenset[str]:
        """Results of a camera with subscribers: EMBEDDINGS, LABELS; with `always_on` both."""
        if self._node.settings.always_on:
            return frozenset({EMBEDDINGS, LABELS})
        return frozenset(
            EMBEDDINGS if name == EMBEDDINGS else LABELS
            for name, publisher in self._publishers[camera].items()
            if publisher.get_subscription_count()
        )

    def publish(self, seen: Observation) -> float:
        """Publish one observation on the topics of its camera.

        Returns:
            Its age in seconds.
        """
        age = age_of(self._node, seen.stamp)
        publishers, config = self._publishers[seen.camera], self._engine.config
        message = self._messages[EMBEDDINGS](
            camera=seen.camera,
            model_id=config.model_id,
            query=config.default_query,
            in_domain=seen.in_domain,
            saturation=seen.saturation,
            latency=age,
            clip_start=to_stamp(seen.clip_start),
            vector=array.array("f", seen.embedding.tobytes()),
        )
        message.header.stamp, message.header.frame_id = to_stamp(seen.stamp), seen.tag
        publishers[EMBEDDINGS].publish(message)
        if not seen.groups:
            return age
        top = self._node.settings.top_labels
        labels = self._messages[LABELS](
            header=message.header,
            camera=seen.camera,
            model_id=config.model_id,
            vocabulary_version=seen.vocabulary_version,
            in_domain=seen.in_domain,
            latency=age_of(self._node, seen.stamp),
            groups=[label_group(group, top) for group in seen.groups],
        )
        publishers[LABELS].publish(labels)
        if "classification" in publishers and self._result is not None:
            first = seen.groups[0]
            classification = self._messages["classification"](header=message.header)
            classification.results = [
                self._result(class_id=label, score=float(score))
                for label, score in zip(first.labels[:top], first.scores, strict=False)
            ]
            publishers["classification"].publish(classification)
        return age

    def publish_vocabulary(self, used: EncodedVocabulary, owner: Callable[[Group], str]) -> None:
        """Publish the vocabulary in use, latched; `owner` returns who set a group."""
        kind = ros.interface("vljepa_ros/msg/VocabularyGroup")
        groups = [
            kind(
                prompt=group.prompt,
                owner=owner(group),
                cameras=list(group.cameras),
                labels=list(group.labels),
            )
            for group in used.vocabulary.groups
        ]
        self._vocabulary.publish(
            ros.interface("vljepa_ros/msg/Vocabulary")(
                version=used.version, model_id=self._engine.config.model_id, groups=groups
            )
        )

    def publish_model_info(self) -> None:
        """Publish the model that runs, latched; repeated, it is the heartbeat of this node."""
        config, info = self._engine.config, self._engine.info
        names = ("name", "model_id", "family", "domain", "clip_frames", "input_size")
        sizes = ("dim", "visual_dim")
        scores = config.calibration
        self._info.publish(
            ros.interface("vljepa_ros/msg/ModelInfo")(
                stamp=self._node.get_clock().now().to_msg(),
                **{name: getattr(config, name) for name in names + sizes},
                frame_interval=float(config.frame_interval),
                **asdict(info),
                capabilities=sorted(self._engine.capabilities),
                calibration_id=scores.id,
                taught_version=self.taught_version,
                logit_scale=float(scores.logit_scale),
                none_similarity=float(scores.none_similarity),
                abstain_below=float(scores.abstain_below),
            )
        )
