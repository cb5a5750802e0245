"""Streams through the ways of choosing what to decode: detectors, uniform strides, offline Ward.

Offline Ward segmentation is what VL-JEPA evaluates as selective decoding: agglomerative clustering
with Ward's criterion in which only neighbours in time may merge, cut into a given number of
segments; each is decoded once, from the mean of its embeddings (arXiv 2512.10942, section 4.6). It
sees the future: for recorded streams only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vljepa_lab.evaluation.change.measures import DecodeTrace
from vljepa_lab.evaluation.change.streams import ChangeStream
from vljepa_ros.perception.change.change_prior import TurnGuard, TurnGuardConfig
from vljepa_ros.perception.change.detector import CHANGE, Change, ChangeDetector, unit

Indices = NDArray[np.intp]
Maker = Callable[[TurnGuard | None], ChangeDetector]
AFTER_TURN_S = 1.0  # beyond the clip, for which a turn is felt


@dataclass(frozen=True)
class WardTree:
    """All segmentations of a stream, from one segment for each sample to a single one.

    Attributes:
        embeddings: [T, D] float32.
        merges: [T-1, 2] clusters merged, in order of cost; cluster T + i is the result of merge
            i.
    """

    embeddings: NDArray[np.float32]
    merges: NDArray[np.intp]

    def starts(self, segments: int) -> NDArray[np.intp]:
        """[segments] index of the first sample of each segment, ascending.

        Raises:
            ValueError: `segments` is not in 1..T.
        """
        count = len(self.embeddings)
        if not 1 <= segments <= count:
            raise ValueError(f"segments is {segments}, allowed: 1 to {count}")
        first = np.arange(2 * count - 1)
        begins = np.ones(count, dtype=bool)
        for merge, (one, other) in enumerate(self.merges[: count - segments]):
            low, high = sorted((int(first[one]), int(first[other])))
            first[count + merge] = low
            begins[high] = False
        return np.flatnonzero(begins)

    def segments(self, count: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """[count] first sample of each segment, and the sample after its last one."""
        starts = self.starts(count)
        return starts, np.append(starts[1:], len(self.embeddings))

    def states(self, segments: int) -> NDArray[np.float32]:
        """[segments, D] float32, L2 norm 1: the mean of each segment."""
        spans = zip(*self.segments(segments), strict=True)
        return np.stack([unit(self.embeddings[a:b].mean(axis=0)) for a, b in spans])

    def middles(self, segments: int) -> NDArray[np.intp]:
        """[segments] index of the sample in the middle of each segment."""
        starts, stops = self.segments(segments)
        return np.asarray((starts + stops - 1) // 2)


def ward_tree(embeddings: NDArray[np.float32]) -> WardTree:
    """Cluster a stream, [T, D] float32 with T of at least 1, once for all numbers of segments.

    Raises:
        ValueError: `embeddings` is empty, not two-dimensional or not finite.
        ImportError: scikit-learn is missing.
    """
    if embeddings.ndim != 2 or len(embeddings) < 1 or not np.isfinite(embeddings).all():
        raise ValueError(f"embeddings of shape {embeddings.shape}: wanted [T, D], finite, T >= 1")
    count = len(embeddings)
    if count == 1:
        return WardTree(embeddings, np.zeros((0, 2), dtype=np.intp))
    from scipy.sparse import diags
    from sklearn.cluster import ward_tree as sklearn_ward_tree

    neighbours = diags([1, 1], [-1, 1], shape=(count, count), dtype=np.float64)
    merges = sklearn_ward_tree(embeddings.astype(np.float64), connectivity=neighbours)[0]
    return WardTree(embeddings, np.asarray(merges, dtype=np.intp))


def turn_guard(stream: ChangeStream) -> TurnGuard:
    """A fresh guard for the turns of a stream."""
    return TurnGuard(TurnGuardConfig(hold=stream.clip + AFTER_TURN_S))


def observed(
    stream: ChangeStream, detector: ChangeDetector, guard: TurnGuard | None
) -> Iterator[Change | None]:
    """What a detector says of each sample, from the first to the last.

    Args:
        stream: played.
        detector: fresh.
        guard: its guard, which gets the turn rates of the robot; None: it gets none.
    """
    turns, stamps = stream.turn_rates.tolist(), stream.stamps.tolist()
    for stamp, embedding, rate in zip(stamps, stream.embeddings, turns, strict=True):
        if guard is not None and rate:
            guard.turn(stamp, rate)
        yield detector.observe(stamp, embedding)


def detected(stream: ChangeStream, make: Maker, guarded: bool = True) -> DecodeTrace:
    """What a fresh detector publishes of a stream.

    Args:
        stream: played from its first sample to its last.
        make: builds the detector.
        guarded: whether it gets the turn rates of the robot.
    """
    guard = turn_guard(stream) if guarded else None
    published = [c for c in observed(stream, make(guard), guard) if c is not None]
    return DecodeTrace(
        stamps=np.array([change.stamp for change in published]),
        onsets=np.array([change.onset for change in published]),
        texts=stream.read(np.stack([change.state for change in published])),
        changes=np.array([change.reason == CHANGE for change in published]),
    )


def uniform(stream: ChangeStream, texts: Indices, stride: int, phase: int = 0) -> DecodeTrace:
    """Every `stride`-th sample from `phase` on, and the first one.

    `texts` [T] is what is decoded of each sample.
    """
    picks = np.unique(np.append(np.arange(phase, len(stream.stamps), stride), 0))
    return _of_samples(stream, picks, texts[picks], picks > 0)


def ward(
    stream: ChangeStream, tree: WardTree, segments: int, from_start: bool = False
) -> DecodeTrace:
    """The mean of each offline segment, published at its middle or at its start.

    At its start it sees the future.
    """
    segments = max(1, min(segments, len(stream.stamps)))
    starts = tree.starts(segments)
    picks = starts if from_start else tree.middles(segments)
    texts = stream.read(tree.states(segments))
    trace = _of_samples(stream, picks, texts, np.arange(segments) > 0)
    return DecodeTrace(trace.stamps, stream.stamps[starts], texts, trace.changes)


def constant(stream: ChangeStream) -> DecodeTrace:
    """One text for ever: that of the state which lasts longest, known in advance."""
    ends = [start for start, _ in stream.states[1:]] + [stream.end]
    lasting: dict[int, float] = {}
    for (start, texts), end in zip(stream.states, ends, strict=True):
        for text in texts:
            lasting[text] = lasting.get(text, 0.0) + end - start
    best = max(lasting, key=lambda text: lasting[text])
    return _of_samples(stream, np.array([0]), np.array([best]), np.array([False]))


def _of_samples(
    stream: ChangeStream, picks: Indices, texts: Indices, changes: NDArray[np.bool_]
) -> DecodeTrace:
    return DecodeTrace(stream.stamps[picks], stream.stamps[picks], texts, changes)
