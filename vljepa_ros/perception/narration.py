"""Chooses the text of an event from the labels, for models without a Y-Decoder."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.engines.protocol import Generated

KEPT = 32  # messages; more than arrive in WINDOW_S
WINDOW_S = 0.7  # over which scores are averaged; a change has lasted so long when it is published
LEAST_GAIN = 0.1  # of a score since the last text: a label that rose less is not new


class _Scored(NamedTuple):
    stamp: float
    version: int
    groups: Mapping[str, Mapping[str, float]]


class LabelNarrator:
    """Chooses the label that describes the present state of one camera.

    Among the best labels of all groups that are sure enough, it is the one whose score rose most
    since the last text; if none rose, that of the first group in the vocabulary.

    Attributes:
        least: Score, 0..1, from which a label is sure enough.
    """

    def __init__(self, least: float = 0.0) -> None:
        self.least = least
        self._kept: deque[_Scored] = deque(maxlen=KEPT)
        self._said: dict[tuple[str, str], float] = {}

    @property
    def ready(self) -> bool:
        """Whether labels have arrived."""
        return bool(self._kept)

    def keep(self, stamp: float, version: int, groups: Mapping[str, Mapping[str, float]]) -> bool:
        """Add the newest scores of the labels.

        Args:
            stamp: Seconds.
            version: Version of the vocabulary.
            groups: Prompt -> label -> calibrated score, 0..1; what is not listed counts as 0.

        Returns:
            Whether the vocabulary has changed.
        """
        scored = _Scored(stamp, version, groups)
        changed = bool(self._kept) and self._kept[-1].version != scored.version
        if changed or (self._kept and scored.stamp < self._kept[-1].stamp):
            self._kept.clear()
        self._kept.append(scored)
        return changed

    def generate(self, embeddings: NDArray[np.float32]) -> list[Generated]:
        """The text of the present state, repeated for each of [B, D] embeddings."""
        since = self._kept[-1].stamp - WINDOW_S
        recent = [scored for scored in self._kept if scored.stamp > since]
        scores: dict[tuple[str, str], float] = {}
        for scored in recent:
            for prompt, labels in scored.groups.items():
                for text, score in labels.items():
                    mean = scores.get((prompt, text), 0.0) + score / len(recent)
                    scores[prompt, text] = mean
        best: dict[str, str] = {}
        for prompt, text in sorted(scores, key=lambda key: -scores[key]):
            best.setdefault(prompt, text)
        order = [(prompt, best[prompt]) for prompt in self._kept[-1].groups if prompt in best]
        sure = [key for key in order if scores[key] >= self.least] or order
        gains = [scores[key] - self._said.get(key, 0.0) for key in sure]
        news = int(np.argmax(gains)) if self._said and max(gains) >= LEAST_GAIN else 0
        self._said = scores
        said = sure[news]
        return [Generated(said[1], min(1.0, scores[said]), False)] * len(embeddings)
