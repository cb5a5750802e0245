"""Semantic triggers: which of many texts are true of what a camera sees, told at their edges.

A trigger is a text and a threshold on its calibrated score,

    p = sigmoid(a (s - n)),  s the cosine of embedding and text, a and n of `Calibration`,

the probability of one text against none. It rises when p has been at its threshold or above for
`settle` seconds, and falls when p has been below `release` times the threshold for as long. Since p
grows with s, limits are turned into cosines once, and an embedding costs one matrix-vector product.

A model that cannot judge presence has no p: with it, such a trigger never rises.

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
from vljepa_ros.perception.vocabulary import BAR, VocabularyError, distinct_texts

MAX_TRIGGERS = 1000


@dataclass(frozen=True)
class Trigger:
    """A text to watch for; its threshold is a calibrated score, 0..1, or None: the default."""

    text: str
    threshold: float | None = None


def checked_triggers(texts: Sequence[str], thresholds: Sequence[float]) -> tuple[Trigger, ...]:
    """Triggers from parallel lists.

    Args:
        texts: to watch for; none: no triggers.
        thresholds: one for each text, or none at all: the default for each.

    Raises:
        VocabularyError: too many, an empty, overlong or doubled text, a text with a bar, a number
            of thresholds that does not fit, a threshold that is not between 0 and 1.
    """
    if len(thresholds) not in (0, len(texts)):
        raise VocabularyError(
            f"{len(thresholds)} thresholds for {len(texts)} texts, allowed: one for each text, or "
            "none for the default"
        )
    limits: list[float | None] = [*thresholds] or [None] * len(texts)
    return _checked(list(map(Trigger, texts, limits)))


def parse_triggers(entries: Sequence[str]) -> tuple[Trigger, ...]:
    """Read the parameter form: `text` or `text | threshold`; no entry, or a single empty one: none.

    Raises:
        VocabularyError: a threshold that is no number, and all of `checked_triggers`.
    """
    if list(entries) in ([], [""]):
        return ()
    triggers = []
    for entry in entries:
        text, bar, limit = (part.strip() for part in entry.partition(BAR))
        try:
            triggers.append(Trigger(text, float(limit) if bar else None))
        except ValueError:
            raise VocabularyError(
                f"threshold {limit!r} of the trigger '{text}' is no number; allowed: a text, or "
                f"'text {BAR} threshold' with a threshold between 0 and 1"
            ) from None
    return _checked(triggers)


def trigger_strings(triggers: Sequence[Trigger]) -> list[str]:
    """The form that `parse_triggers` reads."""
    return [
        t.text if t.threshold is None else f"{t.text} {BAR} {t.threshold:.9g}" for t in triggers
    ] or [""]


def _checked(triggers: Sequence[Trigger]) -> tuple[Trigger, ...]:
    if not triggers:
        return ()
    texts = distinct_texts(
        (t.text for t in triggers),
        "triggers",
        MAX_TRIGGERS,
        once="each text once",
        separated="text and threshold",
    )
    for trigger in triggers:
        if trigger.threshold is not None and not 0.0 < trigger.threshold < 1.0:
            raise VocabularyError(
                f"threshold of the trigger '{trigger.text}' is {trigger.threshold:g}, allowed: "
                "between 0 and 1, both excluded"
            )
    return tuple(Trigger(text, t.threshold) for text, t in zip(texts, triggers, strict=True))


class EncodedTriggers:
    """Triggers and their texts' embeddings, ready to be compared."""

    def __init__(
        self,
        triggers: Sequence[Trigger],
        embeddings: NDArray[np.float32],
        model_id: str,
        calibration: Calibration,
        default: float,
        release: float,
    ) -> None:
        """Turn limits of scores into limits of cosines.

        Args:
            triggers: N of them.
            embeddings: [N, D] float32, L2 norm 1.
            model_id: model that made the embeddings.
            calibration: of that model.
            default: threshold of triggers without one of their own, 0 < default < 1.
            release: share of a threshold below which a trigger falls, 0 < release <= 1.
        """
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
        """Calibrated scores, 0..1, of cosines; 0 where the model cannot judge presence."""
        if not self._calibration.judges_presence:
            return np.zeros_like(similarities, np.float32)
        return independent_probabilities(similarities, self._calibration).astype(np.float32)

    def _cosine(self, scores: NDArray[np.float64]) -> NDArray[np.float32]:
        """The inverse of `scores`; where there is none, what no cosine reaches."""
        c = self._calibration
        if not c.judges_presence:
            return np.full(scores.shape, np.inf, np.float32)
        logits = np.log(scores) - np.log1p(-scores)
        return (c.none_similarity + logits / c.logit_scale).astype(np.float32)


@dataclass(frozen=True)
class Edge:
    """A trigger became true (rising), or stopped being true; its score is calibrated, 0..1."""

    text: str
    threshold: float
    score: float
    rising: bool


class TriggerBoard:
    """Which triggers are true of what one camera sees. Constant time and memory for each sample.

    For each text, rising and falling edges alternate, beginning with a rising one.
    """

    def __init__(
        self, triggers: EncodedTriggers, settle: float, labels: Collection[str] = ()
    ) -> None:
        """Start with nothing known.

        Args:
            triggers: N of them.
            settle: seconds for which a score must stay beyond its limit.
            labels: texts of the vocabulary; triggers among them go by `observe_labels` alone.
        """
        size = len(triggers)
        self.triggers = triggers
        self.settle = settle
        self.refused = 0
        self.known = False
        self.active = np.zeros(size, np.bool_)
        self._since = np.full(size, math.inf)  # stamps since which a limit is passed
        self._labelled = np.array([text in labels for text in triggers.texts], np.bool_)
        self._indices = {text: i for i, text in enumerate(triggers.texts) if self._labelled[i]}
        self._scores = np.zeros(size, np.float32)  # of labels
        self._similarities = np.full(size, -1.0, np.float32)

    @property
    def labelled(self) -> bool:
        """Whether there are triggers that go by labels."""
        return bool(self._indices)

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
            i = self._indices.get(label)
            if i is not None:
                self._scores[i] = max(self._scores[i], score) if seen[i] else score
                seen[i] = self.known = True
        beyond = np.where(
            self.active,
            self._scores < self.triggers.low,
            self._scores >= self.triggers.thresholds,
        )
        return self._advance(stamp, beyond, seen)

    def deactivate_all(self) -> list[Edge]:
        """Nothing is known any more: whatever was true falls."""
        crossed = np.flatnonzero(self.active)
        self.active[:] = False
        edges = self._edges(crossed)
        self._since[:] = math.inf
        self.known = False
        return edges

    def carry_over(self, other: TriggerBoard) -> list[Edge]:
        """Take over what another board of the same model knows of the same texts.

        Returns:
            Falling edges of texts that only the other board has.
        """
        indices = {text: i for i, text in enumerate(other.triggers.texts)}
        pairs = [(i, indices[t]) for i, t in enumerate(self.triggers.texts) if t in indices]
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
        return other.deactivate_all()

    def _advance(
        self, stamp: float, beyond: NDArray[np.bool_], those: NDArray[np.bool_]
    ) -> list[Edge]:
        """Let time pass for some triggers.

        Args:
            stamp: seconds.
            beyond: [N] whether a score is beyond its limit.
            those: [N] whether a trigger is meant.
        """
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
