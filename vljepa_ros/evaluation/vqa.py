"""Discriminative VQA: the candidate nearest to the predicted answer, and the same without
seeing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.engines.protocol import Engine
from vljepa_ros.evaluation.samples import Sample
from vljepa_ros.perception.labels import calibrated

__all__ = ["Answered", "Answerer"]

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Answered:
    """index: of the best candidate. score: its calibrated probability, 0..1. blind_index: the best
    candidate where the visual tokens are zeros."""

    index: int
    score: float
    blind_index: int


class Answerer:
    """Answers samples with an engine as `answer_question` does, and remembers texts.

    Candidates are embedded once each. The blind answer to a question depends on the question
    alone, so its Predictor pass is remembered too.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._texts: dict[str, Floats] = {}
        self._lists: dict[tuple[str, ...], Floats] = {}
        self._blind: dict[str, Floats] = {}

    def answer(self, tokens: Sequence[Floats], samples: Sequence[Sample]) -> list[Answered]:
        """Answer samples[i] about a clip with visual tokens tokens[i], each [N, D] float32.

        Clips that share a question go through the Predictor as one batch.

        :raises ValueError: numbers of clips and samples differ.
        """
        if len(tokens) != len(samples):
            raise ValueError(f"{len(tokens)} clips for {len(samples)} samples: one for each")
        by_question: defaultdict[str, list[int]] = defaultdict(list)
        for place, sample in enumerate(samples):
            by_question[sample.question].append(place)
        answers: dict[int, Answered] = {}
        for question, places in by_question.items():
            predicted = self._engine.embed([tokens[place] for place in places], question)
            blind = self._blind_answer(question, tokens[places[0]])
            for place, vector in zip(places, predicted, strict=True):
                texts = self.embedded(samples[place].candidates)
                similarities = texts @ vector
                best = int(similarities.argmax())
                scores = calibrated(similarities, self._engine.config.calibration)
                answers[place] = Answered(best, float(scores[best]), int((texts @ blind).argmax()))
        return [answers[place] for place in range(len(samples))]

    def embedded(self, texts: tuple[str, ...]) -> Floats:
        """Return [len(texts), D] float32, L2 norm 1."""
        known = self._lists.get(texts)
        if known is not None:
            return known
        new = [text for text in dict.fromkeys(texts) if text not in self._texts]
        for start in range(0, len(new), 64):
            part = new[start : start + 64]
            self._texts.update(zip(part, self._engine.encode_text(part), strict=True))
        stacked = np.stack([self._texts[text] for text in texts])
        if len(texts) > 8:  # long lists recur and are slow to stack
            self._lists[texts] = stacked
        return stacked

    def _blind_answer(self, question: str, like: Floats) -> Floats:
        if question not in self._blind:
            (self._blind[question],) = self._engine.embed([np.zeros_like(like)], question)
        return self._blind[question]
