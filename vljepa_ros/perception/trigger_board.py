"""Decides which triggers are TRUE, FALSE or UNKNOWN of one camera.

The score of a text is the calibrated probability of this text against none,

    p = sigmoid(a (s - n)),  s the cosine of embedding and text, a and n of its `Calibration`,

The best of a trigger's texts counts. The trigger becomes TRUE when p has been at its threshold or
above for `hold`, and FALSE when p has been below `release` times the threshold for as long. From
UNKNOWN it becomes FALSE with the first score below the threshold. For `cooldown` after it became
FALSE it does not become TRUE.

An embedding answers one query ("what is happening?"): it shows that a door opens, not that it is
open. A text that is a label of the vocabulary therefore uses the label's score instead, which comes
from the answer to the prompt of the label's group and is calibrated within the group.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.models.calibration import NO_TEXTS, EncodedTexts, sigmoid
from vljepa_ros.perception.change.detector import usable
from vljepa_ros.perception.triggers import Trigger

Mask = NDArray[np.bool_]
_NEVER = 2**62  # nanoseconds, later than any stamp; its negative is earlier


class State(IntEnum):
    """State of a trigger; the values of msg/TriggerStatus."""

    UNKNOWN = 0
    FALSE = 1
    TRUE = 2


class Reason(IntEnum):
    """Why a state is UNKNOWN; the values of msg/TriggerStatus."""

    SCORED = 0
    NOT_SCORED = 1
    CAMERA_STOPPED = 2
    MODEL_GONE = 3
    MODEL_CHANGED = 4
    TURNING = 5
    OUT_OF_DOMAIN = 6
    REMOVED = 7


@dataclass(frozen=True)
class StateChange:
    """A change of the state of a trigger.

    Attributes:
        index: Index of the trigger on its board, which has the new state.
        previous: The state before.
    """

    index: int
    previous: State


class TriggerBoard:
    """The triggers of one camera. Stamps and times are in nanoseconds.

    Args:
        triggers: N triggers, without default values.
        texts: Their texts, as far as they can be compared; a trigger stays UNKNOWN while one of its
            texts has no score.
        labels: Texts that are labels of the vocabulary; only `observe_labels` scores them.
        now: Present time, from which on they are UNKNOWN.

    Attributes:
        state: [N] values of State.
        reason: [N] values of Reason.
        score: [N] float32, the newest calibrated score, 0..1; NaN: none yet.
        since: [N] int64, stamp of the image from which the state holds, or time of `forget`.
        evaluated: [N] int64, stamp of the newest image that was compared; 0: none.
    """

    def __init__(
        self,
        triggers: Sequence[Trigger] = (),
        texts: EncodedTexts = NO_TEXTS,
        labels: Collection[str] = (),
        now: int = 0,
    ) -> None:
        size = len(triggers)
        self.triggers = tuple(triggers)
        self.model_id = texts.model_id
        self.state = np.zeros(size, np.uint8)
        self.reason = np.full(size, Reason.NOT_SCORED, np.uint8)
        self.score = np.full(size, np.nan, np.float32)
        self.since = np.full(size, now, np.int64)
        self.evaluated = np.zeros(size, np.int64)
        self._beyond_since = np.full(size, _NEVER)  # stamps since which a limit is passed
        self._fell = np.full(size, -_NEVER)  # stamps at which they became FALSE
        self._threshold = np.array([t.threshold for t in triggers], np.float32)
        self._low = np.array([t.threshold * t.release for t in triggers], np.float32)
        self._hold = np.array([t.hold for t in triggers], np.int64)
        self._cooldown = np.array([t.cooldown for t in triggers], np.int64)
        self._turnable = np.array([t.unknown_while_turning for t in triggers], np.bool_)
        self._turning = False

        places = {text: i for i, text in enumerate(dict.fromkeys(_texts_of(triggers)))}
        self._labels = {text: i for text, i in places.items() if text in labels}
        compared = [t for t in places if t in texts.texts and t not in self._labels]
        self._compared = np.array([places[t] for t in compared], np.intp)
        encoded = [texts.texts[t] for t in compared]
        self._embeddings = np.array([one.vector for one in encoded], np.float32)
        self._scales = np.array([one.calibration.logit_scale for one in encoded])
        self._nones = np.array([one.calibration.none_similarity for one in encoded])
        self._scenes = [(i, one) for i, one in enumerate(encoded) if one.scene is not None]
        self._text_scores = np.full(len(places), np.nan, np.float32)
        self._places = np.array([places[text] for text in _texts_of(triggers)], np.intp)
        counts = [len(t.texts) for t in triggers]
        self._starts = np.cumsum([0, *counts])[:-1]
        self._by_label = np.array([any(x in self._labels for x in t.texts) for t in triggers], bool)
        self._by_embedding = ~np.array([self._labels.keys() >= {*t.texts} for t in triggers], bool)

    @property
    def by_label(self) -> Mask:
        """[N] whether one of a trigger's texts is a label."""
        return self._by_label

    def best_text(self, index: int) -> str:
        """The best-scoring text of a trigger."""
        texts = self.triggers[index].texts
        if len(texts) == 1:
            return texts[0]
        start = self._starts[index]
        scores = self._text_scores[self._places[start : start + len(texts)]]
        return texts[int(np.argmax(scores))]

    def turn(self, turning: bool, now: int) -> list[StateChange]:
        """Set whether the robot turns, or has turned during the next clip; returns changes."""
        self._turning = turning
        return self.forget(Reason.TURNING, now, self._turnable) if turning else []

    def observe(self, stamp: int, embedding: NDArray[np.float32]) -> list[StateChange]:
        """Compare one embedding, [D] float32, of an image at `stamp`; returns changes.

        One that is not finite, zero or of another length is refused. If time jumps
        back, `hold` starts again.
        """
        vector = usable(embedding, self._embeddings.shape[1] if self._embeddings.size else None)
        if vector is None:
            return []
        if self._embeddings.size:
            cosines = self._embeddings @ vector
            scores = sigmoid(self._scales * (cosines - self._nones))
            for i, one in self._scenes:
                scores[i] = one.score(vector)
            self._text_scores[self._compared] = scores
        return self._judge(stamp, self._by_embedding)

    def observe_labels(self, stamp: int, scores: Mapping[str, float]) -> list[StateChange]:
        """Take the calibrated scores of labels at an image; returns changes."""
        seen = np.zeros(len(self._text_scores), np.bool_)
        for text, i in self._labels.items():
            if text in scores:
                self._text_scores[i], seen[i] = scores[text], True
        if not seen.any():
            return []
        return self._judge(stamp, np.logical_or.reduceat(seen[self._places], self._starts))

    def forget(self, reason: Reason, now: int, those: Mask | None = None) -> list[StateChange]:
        """Set some triggers, by default all, to UNKNOWN; returns changes."""
        if those is None:
            those = np.ones(len(self.triggers), np.bool_)
            self._text_scores[:] = np.nan
        self.reason[those] = reason
        self._beyond_since[those] = _NEVER
        return self._change(those & (self.state != State.UNKNOWN), State.UNKNOWN, now)

    def carry_over(
        self, other: TriggerBoard, now: int
    ) -> tuple[list[StateChange], list[StateChange]]:
        """Take over the states of equal triggers from another board of the same camera.

        Returns:
            Changes of triggers that are only on the other board, and of triggers on this one that
            replace others.
        """
        keys = {trigger.key: i for i, trigger in enumerate(other.triggers)}
        pairs = [(i, keys[t.key]) for i, t in enumerate(self.triggers) if t.key in keys]
        same = [(i, j) for i, j in pairs if self.triggers[i] == other.triggers[j]]
        mine, theirs = ([pair[side] for pair in same] for side in (0, 1))
        for name in ("state", "reason", "score", "since", "evaluated", "_beyond_since", "_fell"):
            getattr(self, name)[mine] = getattr(other, name)[theirs]
        for text, i in self._labels.items():
            if text in other._labels:
                self._text_scores[i] = other._text_scores[other._labels[text]]
        kept = np.zeros(len(other.triggers), np.bool_)
        kept[[j for _, j in pairs]] = True
        replaced = [
            StateChange(i, State(other.state[j]))
            for i, j in pairs
            if other.state[j] and self.triggers[i] != other.triggers[j]
        ]
        return other.forget(Reason.REMOVED, now, ~kept), replaced

    def _judge(self, stamp: int, those: Mask) -> list[StateChange]:
        """Evaluate some triggers with the newest scores, if all their texts have one."""
        if not self.triggers:
            return []
        best = np.maximum.reduceat(self._text_scores[self._places], self._starts)
        judged = those & ~np.isnan(best)
        if self._turning:
            judged &= ~self._turnable
        np.copyto(self.score, best, where=judged)
        self.evaluated[judged] = stamp
        unknown, true = self.state == State.UNKNOWN, self.state == State.TRUE
        self.reason[judged & unknown] = Reason.NOT_SCORED
        cooling = (stamp >= self._fell) & (stamp - self._fell < self._cooldown)
        beyond = np.where(true, best < self._low, (best >= self._threshold) & ~cooling)
        begun = np.where(beyond, np.minimum(self._beyond_since, stamp), _NEVER)
        self._beyond_since = np.where(judged, begun, self._beyond_since)
        held = judged & (stamp - self._beyond_since >= self._hold)
        falls, rises = held & true, held & ~true
        begins = judged & unknown & ~beyond
        if not (falls | rises | begins).any():
            return []
        self._fell[falls] = stamp
        self.reason[falls | rises | begins] = Reason.SCORED
        since = self._beyond_since.copy()
        self._beyond_since[held] = _NEVER
        return [
            *self._change(begins, State.FALSE, stamp),
            *self._change(falls, State.FALSE, since),
            *self._change(rises, State.TRUE, since),
        ]

    def _change(self, those: Mask, to: State, since: int | NDArray[np.int64]) -> list[StateChange]:
        changes = [StateChange(int(i), State(self.state[i])) for i in np.flatnonzero(those)]
        if changes:
            self.state[those] = to
            self.since[those] = since[those] if isinstance(since, np.ndarray) else since
        return changes


def any_of(states: Collection[int]) -> State:
    """TRUE if one of several is TRUE; UNKNOWN if one may be."""
    if State.TRUE in states:
        return State.TRUE
    return State.UNKNOWN if State.UNKNOWN in states or not states else State.FALSE


def all_of(states: Collection[int]) -> State:
    """TRUE if all of several are TRUE; UNKNOWN if they may be."""
    if State.FALSE in states:
        return State.FALSE
    return State.UNKNOWN if State.UNKNOWN in states or not states else State.TRUE


def _texts_of(triggers: Sequence[Trigger]) -> list[str]:
    return [text for trigger in triggers for text in trigger.texts]
