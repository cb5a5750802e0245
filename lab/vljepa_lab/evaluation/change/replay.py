"""Streams through the ways of choosing what to decode: detectors, uniform strides, offline Ward."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from vljepa_lab.evaluation.change.measures import DecodeTrace
from vljepa_lab.evaluation.change.streams import ChangeStream
from vljepa_lab.evaluation.change.ward_offline import WardTree
from vljepa_ros.perception.change.change_prior import TurnGuard, TurnGuardConfig
from vljepa_ros.perception.change.detector import CHANGE, ChangeDetector

Indices = NDArray[np.intp]
Maker = Callable[[TurnGuard | None], ChangeDetector]
AFTER_TURN_S = 1.0  # beyond the clip, for which a turn is felt


def turn_guard(stream: ChangeStream) -> TurnGuard:
    """A fresh guard for the turns of a stream."""
    return TurnGuard(TurnGuardConfig(hold=stream.clip + AFTER_TURN_S))


def detected(stream: ChangeStream, make: Maker, guarded: bool = True) -> DecodeTrace:
    """What a fresh detector publishes of a stream.

    Args:
        stream: played from its first sample to its last.
        make: builds the detector.
        guarded: whether it gets the turn rates of the robot.
    """
    guard = turn_guard(stream) if guarded else None
    detector = make(guard)
    published = []
    turns = stream.turn_rates.tolist()
    for stamp, embedding, rate in zip(
        stream.stamps.tolist(), stream.embeddings, turns, strict=True
    ):
        if guard is not None and rate:
            guard.turn(stamp, rate)
        change = detector.observe(stamp, embedding)
        if change is not None:
            published.append(change)
    return DecodeTrace(
        stamps=np.array([change.stamp for change in published]),
        onsets=np.array([change.onset for change in published]),
        texts=stream.read(np.stack([change.state for change in published])),
        changes=np.array([change.reason == CHANGE for change in published]),
    )


def uniform(stream: ChangeStream, texts: Indices, stride: int, phase: int = 0) -> DecodeTrace:
    """Every `stride`-th sample from `phase` on, and the first one; `texts` [T]: what is decoded of
    each sample."""
    picks = np.unique(np.append(np.arange(phase, len(stream.stamps), stride), 0))
    return _of_samples(stream, picks, texts[picks], picks > 0)


def ward(
    stream: ChangeStream, tree: WardTree, segments: int, from_start: bool = False
) -> DecodeTrace:
    """The mean of each offline segment, published at its middle, or at its start (which sees the
    future)."""
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
