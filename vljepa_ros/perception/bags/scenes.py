"""Embeddings of a bag to scenes: stretches of constant meaning, each with a text and a label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.engines.protocol import Engine
from vljepa_ros.perception.bags.records import EmbeddedClip
from vljepa_ros.perception.bags.segmentation import segment_stream
from vljepa_ros.perception.memory.row import SAMPLE, SEGMENT, Row
from vljepa_ros.perception.scoring import score_group
from vljepa_ros.perception.vocabulary import EncodedGroup, Group

DECODED_AT_ONCE = 32


@dataclass(frozen=True)
class Scene:
    """One stretch of one camera.

    clips: its embeddings, by stamp. vector: [D] float32, their mean, L2 norm 1. best: index of the
    clip nearest to the mean. confidence, label_score: 0..1. change: cosine distance from the scene
    before it, 0 for the first of a camera.
    """

    camera: str
    clips: tuple[EmbeddedClip, ...]
    vector: NDArray[np.float32]
    best: int
    text: str
    decoded: bool
    confidence: float
    label: str
    label_score: float
    previous_text: str
    change: float

    @property
    def start(self) -> int:
        """Nanoseconds."""
        return self.clips[0].stamp

    @property
    def end(self) -> int:
        """Nanoseconds."""
        return self.clips[-1].stamp

    def as_event(self, source: str, model_id: str) -> dict[str, Any]:
        """The line of events.jsonl; times in seconds, names as in msg/SceneEvent."""
        return {
            "source": source,
            "camera": self.camera,
            "model_id": model_id,
            "onset": self.start / 1e9,
            "end": self.end / 1e9,
            "stamp": self.clips[self.best].stamp / 1e9,
            "text": self.text,
            "previous_text": self.previous_text,
            "decoded": self.decoded,
            "confidence": round(self.confidence, 4),
            "change": round(self.change, 4),
            "label": self.label,
            "label_score": round(self.label_score, 4),
        }


def scenes_of(
    clips: list[EmbeddedClip], engine: Engine, *, threshold: float, shortest: float
) -> list[Scene]:
    """Segment each camera's embeddings, decode and label the segments; by time.

    Neighbours that got the same text are still two scenes: what changed may be no matter of words.
    """
    scenes: list[Scene] = []
    group = default_group(engine)
    for camera in sorted({clip.camera for clip in clips}):
        own = sorted((c for c in clips if c.camera == camera), key=lambda clip: clip.stamp)
        vectors = np.stack([clip.vector for clip in own]).astype(np.float32)
        stamps = np.array([clip.stamp for clip in own], np.int64)
        ranges = segment_stream(stamps, vectors, threshold=threshold, shortest=shortest)
        means = np.stack([_mean(vectors[first:last]) for first, last in ranges])
        texts = _texts(engine, means)
        for number, (first, last) in enumerate(ranges):
            text, decoded, confidence = texts[number]
            label, label_score = "", 0.0
            if group is not None:
                scored = score_group(means[number], group, engine.config.calibration)
                label, label_score = scored.labels[0], float(scored.scores[0])
            previous = scenes[-1] if number else None
            scenes.append(
                Scene(
                    camera=camera,
                    clips=tuple(own[first:last]),
                    vector=means[number],
                    best=int(np.argmax(vectors[first:last] @ means[number])),
                    text=text,
                    decoded=decoded,
                    confidence=confidence,
                    label=label,
                    label_score=label_score,
                    previous_text=previous.text if previous else "",
                    change=float(1.0 - previous.vector @ means[number]) if previous else 0.0,
                )
            )
    return sorted(scenes, key=lambda scene: (scene.start, scene.camera))


def scenes_to_rows(scenes: list[Scene], sample_interval: float, source: str) -> list[Row]:
    """One row for each scene, and samples of it `sample_interval` seconds apart (0: none)."""
    rows = []
    for scene in scenes:
        best = scene.clips[scene.best]
        rows.append(_row(SEGMENT, scene, best, scene.start, scene.end, scene.vector, source))
        last: int | None = None
        for clip in scene.clips if sample_interval > 0.0 else ():
            if last is None or clip.stamp - last >= (sample_interval - 1e-6) * 1e9:
                rows.append(_row(SAMPLE, scene, clip, clip.start, clip.stamp, clip.vector, source))
                last = clip.stamp
    return rows


def _row(
    kind: str,
    scene: Scene,
    clip: EmbeddedClip,
    start: int,
    end: int,
    vector: NDArray[np.float32],
    source: str,
) -> Row:
    return Row(
        kind=kind,
        camera=scene.camera,
        start=start,
        end=end,
        stamp=clip.stamp,
        vector=vector,
        text=scene.text,
        label=scene.label,
        label_score=scene.label_score,
        source=source,
        thumbnail=clip.thumbnail or None,
        thumbnail_frames=clip.frames,
    )


def _mean(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    mean = vectors.mean(axis=0)
    norm = float(np.linalg.norm(mean))
    middle = vectors[len(vectors) // 2]
    return np.asarray(middle if norm < 1e-3 else mean / norm, np.float32)


def _texts(engine: Engine, means: NDArray[np.float32]) -> list[tuple[str, bool, float]]:
    """Text, whether decoded, and confidence of each of [N, D]; empty without a Y-Decoder."""
    if "generate" not in engine.capabilities:
        return [("", False, 0.0)] * len(means)
    said = [
        one
        for start in range(0, len(means), DECODED_AT_ONCE)
        for one in engine.generate(means[start : start + DECODED_AT_ONCE])
    ]
    return [(one.text, one.decoded, float(one.confidence)) for one in said]


def default_group(engine: Engine) -> EncodedGroup | None:
    """The labels that answer the query the embeddings answer; None: the model has none."""
    labels = engine.config.vocabulary.get(engine.config.default_query, ())
    if not labels or "encode_text" not in engine.capabilities:
        return None
    query = engine.config.default_query
    return EncodedGroup(Group(query, tuple(labels)), engine.encode_text(labels))
