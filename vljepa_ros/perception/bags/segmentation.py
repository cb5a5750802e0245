"""Divides the embeddings of a bag into scenes of constant meaning, with a text and a label.

A stream is segmented by Ward's method along time: only neighbours are merged. Ward, J. H. (1963),
Hierarchical grouping to optimize an objective function, JASA 58: merging two clusters of n1 and n2
samples with means m1 and m2 costs n1 n2 / (n1 + n2) |m1 - m2|^2.
"""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.engines.protocol import Engine, Generated
from vljepa_ros.files import JsonObject
from vljepa_ros.models.config import form_of
from vljepa_ros.perception.bags.embedding import EmbeddedClip
from vljepa_ros.perception.change.detector import cosine_distance, visual_weights
from vljepa_ros.perception.memory.row import SAMPLE, SEGMENT, Row, mean_direction
from vljepa_ros.perception.scoring import score_group
from vljepa_ros.perception.vocabulary import EncodedGroup, Group

DECODED_AT_ONCE = 32  # texts
GAP_S = 5.0  # without a sample: a new segment begins
SHORTEST_S = 1.0  # no segment is shorter, unless a gap ends it
NO_TEXT = Generated("", 0.0, False)


def segment_stream(
    stamps: NDArray[np.int64],
    vectors: NDArray[np.float32],
    *,
    threshold: float = 0.8,
    shortest: float = SHORTEST_S,
) -> list[tuple[int, int]]:
    """Segment a stream into half-open ranges of samples with constant meaning.

    Args:
        stamps: [N] int64 nanoseconds, ascending.
        vectors: [N, D] float32, L2 norm 1.
        threshold: cost at which merging ends, above 0.
        shortest: seconds; a shorter segment is merged with the cheaper neighbour.
    """
    count = len(stamps)
    if count == 0:
        return []
    breaks = np.flatnonzero(np.diff(stamps) > GAP_S * 1e9) + 1
    edges = [0, *breaks.tolist(), count]
    ranges: list[tuple[int, int]] = []
    for first, last in itertools.pairwise(edges):
        cuts = ward_boundaries(
            vectors[first:last], threshold, stamps[first:last], round(shortest * 1e9)
        )
        inner = [first, *(first + cut for cut in cuts), last]
        ranges += list(itertools.pairwise(inner))
    return ranges


def ward_boundaries(
    vectors: NDArray[np.float32],
    threshold: float,
    stamps: NDArray[np.int64] | None = None,
    shortest: int = 0,
) -> list[int]:
    """Indices at which a new segment begins, ascending, 0 not among them. O(N log N).

    Args:
        vectors: [N, D], oldest first.
        threshold: Cost from which on clusters are not merged.
        stamps: [N]; None: 0, 1, 2, ...
        shortest: Clusters that span less, in the unit of `stamps`, are merged at any cost.
    """
    count = len(vectors)
    # A cluster is known by its first sample; version -1: it has been merged into the one before.
    sums = vectors.astype(np.float64)
    ends = np.arange(count) + 1  # one past the last sample
    before = np.arange(count) - 1  # the cluster before it
    version = np.zeros(count, np.int64)

    def cost(left: int, right: int) -> float:
        n1, n2 = float(ends[left] - left), float(ends[right] - right)
        difference = sums[left] / n1 - sums[right] / n2
        return float(n1 * n2 / (n1 + n2) * (difference @ difference))

    def short(cluster: int) -> bool:
        if stamps is None or shortest <= 0:
            return False
        return int(stamps[ends[cluster] - 1] - stamps[cluster]) < shortest

    heap = [(cost(i, i + 1), i, i + 1, 0, 0) for i in range(count - 1)]
    heapq.heapify(heap)
    while heap:
        price, left, right, seen_left, seen_right = heapq.heappop(heap)
        if version[left] != seen_left or version[right] != seen_right:
            continue
        if price > threshold and not (short(left) or short(right)):
            continue
        sums[left] += sums[right]
        ends[left] = ends[right]
        version[left] += 1
        version[right] = -1
        if ends[left] < count:
            before[ends[left]] = left
        for one, two in ((before[left], left), (left, ends[left])):
            if one >= 0 and two < count:
                heapq.heappush(
                    heap, (cost(one, two), int(one), int(two), version[one], version[two])
                )
    return [int(i) for i in np.flatnonzero(version >= 0) if i > 0]


@dataclass(frozen=True)
class Scene:
    """One segment of one camera's stream.

    Attributes:
        camera: name.
        clips: its embeddings, by stamp.
        vector: [D] float32, their mean, L2 norm 1.
        best: index of the clip nearest to the mean.
        text: text of the Y-Decoder; without one the label, if it is sure enough.
        decoded: see `Generated`.
        confidence: 0..1.
        label: best label of the default query; empty: the model has none.
        label_score: 0..1.
        previous_text: text of the previous scene.
        change: cosine distance from the previous scene, in the entries that detectors compare; 0
            for the first of a camera.
        in_domain: False: most of its clips are out of the model's domain, so it has no text.
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
    in_domain: bool = True

    @property
    def start(self) -> int:
        """Nanoseconds."""
        return self.clips[0].stamp

    @property
    def end(self) -> int:
        """Nanoseconds."""
        return self.clips[-1].stamp

    def as_event(self, source: str, model_id: str) -> JsonObject:
        """As an object of events.jsonl; times in seconds, names as in msg/SceneEvent."""
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
            "in_domain": self.in_domain,
        }


def scenes_of(clips: list[EmbeddedClip], engine: Engine, threshold: float) -> list[Scene]:
    """Segment each camera's embeddings, then decode and label the segments; sorted by time.

    Neighbours with the same text remain two scenes: a text may not describe what changed.
    """
    scenes: list[Scene] = []
    group = default_group(engine)
    weights = visual_weights(engine.config.dim, engine.config.visual_dim)
    for camera in sorted({clip.camera for clip in clips}):
        own = sorted((c for c in clips if c.camera == camera), key=lambda clip: clip.stamp)
        vectors = np.stack([clip.vector for clip in own]).astype(np.float32)
        stamps = np.array([clip.stamp for clip in own], np.int64)
        seen = vectors * weights
        seen /= np.linalg.norm(seen, axis=1, keepdims=True)
        ranges = segment_stream(stamps, seen, threshold=threshold)
        means = np.stack([mean_direction(vectors[first:last]) for first, last in ranges])
        texts = _texts(engine, means, group)
        for number, (first, last) in enumerate(ranges):
            label, label_score = "", 0.0
            in_domain = 2 * sum(clip.in_domain for clip in own[first:last]) >= last - first
            text = texts[number] if in_domain else NO_TEXT
            if group is not None and in_domain:
                scored = score_group(means[number], group, engine.config.calibration)
                label, label_score = scored.labels[0], float(scored.scores[0])
            previous = scenes[-1] if number else None
            scenes.append(
                Scene(
                    camera=camera,
                    clips=tuple(own[first:last]),
                    vector=means[number],
                    best=int(np.argmax(vectors[first:last] @ means[number])),
                    text=text.text,
                    decoded=text.decoded,
                    confidence=float(text.confidence),
                    label=label,
                    label_score=label_score,
                    previous_text=previous.text if previous else "",
                    change=cosine_distance(previous.vector * weights, means[number] * weights)
                    if previous
                    else 0.0,
                    in_domain=in_domain,
                )
            )
    return sorted(scenes, key=lambda scene: (scene.start, scene.camera))


def scenes_to_rows(scenes: list[Scene], sample_interval: float, source: str) -> list[Row]:
    """Rows of scenes: one each, and samples `sample_interval` seconds apart (0: none)."""
    rows = []
    for scene in scenes:
        kept = [(SEGMENT, scene.start, scene.end, scene.vector, scene.clips[scene.best])]
        last: int | None = None
        for clip in scene.clips if sample_interval > 0.0 else ():
            if last is None or clip.stamp - last >= (sample_interval - 1e-6) * 1e9:
                last = clip.stamp
                kept.append((SAMPLE, clip.start, last, clip.vector, clip))
        texts = scene.text, scene.label, scene.label_score, source
        for kind, start, end, vector, clip in kept:
            row = Row(kind, scene.camera, start, end, clip.stamp, vector, *texts)
            jpeg = clip.thumbnail or None
            rows.append(replace(row, thumbnail=jpeg, thumbnail_frames=clip.frames))
    return rows


def _texts(
    engine: Engine, means: NDArray[np.float32], group: EncodedGroup | None
) -> list[Generated]:
    """Texts of [N, D] embeddings: without a Y-Decoder the labels that are sure enough."""
    scores = engine.config.calibration
    if form_of(engine.config) != "nano":
        scored = [score_group(mean, group, scores) if group else None for mean in means]
        return [
            Generated(one.labels[0], float(one.scores[0]), False)
            if one and one.scores[0] >= scores.abstain_below
            else NO_TEXT
            for one in scored
        ]
    return [
        one
        for start in range(0, len(means), DECODED_AT_ONCE)
        for one in engine.generate(means[start : start + DECODED_AT_ONCE])
    ]


def default_group(engine: Engine) -> EncodedGroup | None:
    """The group of labels for the query of the embeddings; None: the model has none."""
    config = engine.config
    query, groups = config.default_query, config.vocabulary
    if query not in groups and config.family == "dual_encoder":  # its embeddings answer any
        query = next(iter(groups), query)
    labels = groups.get(query, ())
    if not labels or "encode_text" not in engine.capabilities:
        return None
    return EncodedGroup(Group(query, tuple(labels)), engine.encode_text(labels))
