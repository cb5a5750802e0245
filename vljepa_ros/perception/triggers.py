"""Semantic triggers: which of many texts are true of what a camera sees, told at their edges.

A trigger is a text and a threshold on its calibrated score,

    p = sigmoid(a (s - n)),  s the cosine of embedding and text, a and n of `Calibration`,

the probability of one text against none. It rises when p has been at its threshold or above for
`settle` seconds, and falls when p has been below `release` times the threshold for as long. Since p
grows with s, limits are turned into cosines once, and an embedding costs one matrix-vector product.

An embedding is the answer to one query ("what is happening?"); it says that a door opens, not that
it is open. So a trigger whose text is a label of the vocabulary takes the label's score instead: it
comes from the answer to the prompt of the label's group, calibrated within the group.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.models.calibration import independent_probabilities
from vljepa_ros.models.config import Calibration
from vljepa_ros.perception.change.detector import usable
from vljepa_ros.perception.trigger_list import Trigger


class EncodedTriggers:
    """Triggers and their texts' embeddings, ready to be compared.

    :param embeddings: [N, D] float32, L2 norm 1.
    :param default: threshold of triggers without one of their own, 0 < default < 1.
    :param release: share of a threshold below which a trigger falls, 0 < release <= 1.
    """

    def __init__(
        self,
        triggers: Sequence[Trigger],
        embeddings: NDArray[np.float32],
        model_id: str,
        calibration: Calibration,
        default: float,
        release: float,
    ) -> None:
        self.texts = tuple(t.text for t in triggers)
        self.embeddings = np.ascontiguousarray(embeddings, np.float32)
        self.model_id = model_id
        self.thresholds = np.array(
            [default if t.threshold is None else t.threshold for t in triggers], np.float64
        )
        self.low = self.thresholds * release
        self._calibration = calibration
        self.rise = self._cosine(self.thresholds)
        self.fall = self._cosine(self.low)

    def __len__(self) -> int:
        return len(self.texts)

    def scores(self, similarities: NDArray[np.floating]) -> NDArray[np.float32]:
        """Calibrated scores, 0..1, of cosines."""
        return independent_probabilities(similarities, self._calibration).astype(np.float32)

    def _cosine(self, scores: NDArray[np.float64]) -> NDArray[np.float32]:
        """The inverse of `scores`."""
        c = self._calibration
        logits = np.log(scores) - np.log1p(-scores)
        return (c.none_similarity + logits / c.logit_scale).astype(np.float32)


@dataclass(frozen=True)
class Edge:
    """A trigger became true (rising), or stopped being true. score: calibrated, 0..1."""

    text: str
    threshold: float
    score: float
    rising: bool


class TriggerBoard:
    """Which triggers are true of what one camera sees. Constant time and memory for each sample.

    For each text, rising and falling edges alternate, beginning with a rising one.

    :param settle: seconds for which a score must stay beyond its limit.
    :param labels: texts of the vocabulary; triggers among them go by `observe_labels` alone.
    """

    def __init__(
        self, triggers: EncodedTriggers, settle: float, labels: Collection[str] = ()
    ) -> None:
        size = len(triggers)
        self.triggers = triggers
        self.settle = settle
        self.refused = 0
        self.known = False
        self.active = np.zeros(size, np.bool_)
        self._since = np.full(size, math.inf)  # stamps since which a limit is passed
        self._labelled = np.array([text in labels for text in triggers.texts], np.bool_)
        self._places = {text: i for i, text in enumerate(triggers.texts) if self._labelled[i]}
        self._scores = np.zeros(size, np.float32)  # of labels
        self._similarities = np.full(size, -1.0, np.float32)

    @property
    def labelled(self) -> bool:
        """Whether there are triggers that go by labels."""
        return bool(self._places)

    @property
    def scores(self) -> NDArray[np.float32]:
        """[N] float32, 0..1: the newest calibrated scores; 0 where there are none."""
        if not self.known:
            return np.zeros(len(self.triggers), np.float32)
        compared = self.triggers.scores(self._similarities)
        return np.where(self._labelled, self._scores, compared)

    def observe(self, stamp: float, embedding: NDArray[np.float32]) -> list[Edge]:
        """Compare one embedding, [D] float32, of an image at `stamp` seconds; the edges it makes.

        What is not finite, zero or of another length is refused and counted. Time that jumps back
        lets what was about to settle settle anew.
        """
        vector = usable(embedding, self.triggers.embeddings.shape[1])
        if vector is None or not math.isfinite(stamp):
            self.refused += 1
            return []
        similarities = self.triggers.embeddings @ vector
        self._similarities, self.known = similarities, True
        beyond = np.where(
            self.active, similarities < self.triggers.fall, similarities >= self.triggers.rise
        )
        return self._advance(stamp, beyond, ~self._labelled)

    def observe_labels(
        self, stamp: float, labels: Sequence[str], scores: Sequence[float]
    ) -> list[Edge]:
        """Take labels and their calibrated scores at an image; the edges they make.

        A label that stands in several groups counts with its best score.
        """
        if not math.isfinite(stamp):
            self.refused += 1
            return []
        seen = np.zeros(len(self.triggers), np.bool_)
        for label, score in zip(labels, scores, strict=False):
            i = self._places.get(label)
            if i is not None:
                self._scores[i] = max(self._scores[i], score) if seen[i] else score
                seen[i] = self.known = True
        beyond = np.where(
            self.active,
            self._scores < self.triggers.low,
            self._scores >= self.triggers.thresholds,
        )
        return self._advance(stamp, beyond, seen)

    def lose(self) -> list[Edge]:
        """Nothing is known any more: whatever was true falls."""
        crossed = np.flatnonzero(self.active)
        edges = []
        if crossed.size:
            self.active[:] = False
            edges = self._edges(crossed)
        self._since[:] = math.inf
        self.known = False
        return edges

    def adopt(self, other: TriggerBoard) -> list[Edge]:
        """Take over what another board knows of the same texts; the falls of texts that only it
        has. Both must be of one model."""
        places = {text: i for i, text in enumerate(other.triggers.texts)}
        pairs = [(i, places[t]) for i, t in enumerate(self.triggers.texts) if t in places]
        mine = [i for i, _ in pairs]
        theirs = [i for _, i in pairs]
        self.active[mine] = other.active[theirs]
        self._since[mine] = other._since[theirs]
        self._scores[mine] = other._scores[theirs]
        self._similarities[mine] = other._similarities[theirs]
        self.known = other.known
        self.refused = other.refused
        gone = other.active.copy()
        gone[theirs] = False
        other.active &= gone
        return other.lose()

    def _advance(
        self, stamp: float, beyond: NDArray[np.bool_], those: NDArray[np.bool_]
    ) -> list[Edge]:
        """Let time pass for some triggers. beyond: whether a score is beyond its limit, [N]."""
        since = np.where(beyond, np.minimum(self._since, stamp), math.inf)
        self._since = np.where(those, since, self._since)
        crossed = np.flatnonzero(those & (stamp - self._since >= self.settle))
        if not crossed.size:
            return []
        self.active[crossed] ^= True
        self._since[crossed] = math.inf
        return self._edges(crossed)

    def _edges(self, indices: NDArray[np.intp]) -> list[Edge]:
        compared = self.triggers.scores(self._similarities[indices])
        scores = np.where(self._labelled[indices], self._scores[indices], compared)
        return [
            Edge(
                self.triggers.texts[i],
                float(self.triggers.thresholds[i]),
                float(score),
                bool(self.active[i]),
            )
            for i, score in zip(indices, scores, strict=True)
        ]
