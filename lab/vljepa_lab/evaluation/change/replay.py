"""Streams through the ways of choosing what to decode: detectors, uniform strides, offline Ward."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from vljepa_lab.evaluation.change.measures import Showing
from vljepa_lab.evaluation.change.streams import ChangeStream
from vljepa_lab.evaluation.change.ward_offline import WardTree
from vljepa_ros.perception.change.change_prior import TurnGuard, TurnGuardConfig
from vljepa_ros.perception.change.detector import CHANGE, ChangeDetector

Indices = NDArray[np.intp]
AFTER_TURN = 1.0  # seconds beside the clip for which a turn is felt


def detected(
    stream: ChangeStream, make: Callable[[TurnGuard | None], ChangeDetector], guarded: bool = True
) -> Showing:
    """What a fresh detector tells of a stream.

    :param guarded: whether it gets the turn rates of the robot.
    """
    guard = TurnGuard(TurnGuardConfig(hold=stream.clip + AFTER_TURN)) if guarded else None
    detector = make(guard)
    told = []
    turns = stream.turn_rates.tolist()
    for stamp, embedding, rate in zip(
        stream.stamps.tolist(), stream.embeddings, turns, strict=True
    ):
        if guard is not None and rate:
            guard.turn(stamp, rate)
        change = detector.observe(stamp, embedding)
        if change is not None:
            told.append(change)
    return Showing(
        stamps=np.array([change.stamp for change in told]),
        onsets=np.array([change.onset for change in told]),
        texts=stream.read(np.stack([change.state for change in told])),
        changes=np.array([change.reason == CHANGE for change in told]),
    )


def uniform(stream: ChangeStream, texts: Indices, stride: int, phase: int = 0) -> Showing:
    """Every `stride`-th sample from `phase` on, and the first one.

    :param texts: [T] what is decoded of each sample.
    """
    picks = np.unique(np.append(np.arange(phase, len(stream.stamps), stride), 0))
    return _of_samples(stream, picks, texts[picks], picks > 0)


def ward(stream: ChangeStream, tree: WardTree, segments: int, from_start: bool = False) -> Showing:
    """The mean of each offline segment, told at its middle, or from its start (sees the future)."""
    segments = max(1, min(segments, len(stream.stamps)))
    starts = tree.starts(segments)
    picks = starts if from_start else tree.middles(segments)
    texts = stream.read(tree.states(segments))
    showing = _of_samples(stream, picks, texts, np.arange(segments) > 0)
    return Showing(showing.stamps, stream.stamps[starts], texts, showing.changes)


def constant(stream: ChangeStream) -> Showing:
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
) -> Showing:
    return Showing(stream.stamps[picks], stream.stamps[picks], texts, changes)
