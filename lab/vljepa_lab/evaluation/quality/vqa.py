"""Discriminative VQA: the candidate nearest to the predicted answer.

And the same without seeing, seeing another clip, and the question's most frequent answer.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vljepa_lab.world.questions import Question
from vljepa_ros.engines.protocol import Engine
from vljepa_ros.models.calibration import probabilities

Floats = NDArray[np.float32]
_BATCH = 32  # clips in one Predictor pass: larger ones leave the cache


@dataclass(frozen=True)
class VqaQuery:
    """A question about a clip.

    Attributes:
        tokens: visual tokens [N, D] of the clip.
        other: of a clip of another scene, for the control; None: no control for this one.
    """

    tokens: Floats
    question: Question
    other: Floats | None = None


@dataclass(frozen=True)
class VqaAnswer:
    """The model's answer.

    Attributes:
        index: of the best candidate.
        score: its calibrated probability, 0..1.
        none: probability of none of them.
        rank: place of the best right candidate, 1 for the first.
        blind_index: the best candidate where the visual tokens are zeros.
        other_index: where they are those of another scene's clip; -1 without control.
        vector: [D] the predicted answer.
    """

    index: int
    score: float
    none: float
    rank: int
    blind_index: int
    other_index: int
    vector: Floats


class Answerer:
    """Answers questions with an engine as `answer_question` does, and remembers texts.

    Candidates are embedded once each. The blind answer to a question depends on the question
    alone, so its Predictor pass is remembered too.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._texts: dict[str, Floats] = {}
        self._lists: dict[tuple[str, ...], Floats] = {}
        self._blind: dict[str, Floats] = {}

    def answer(self, queries: Sequence[VqaQuery]) -> list[VqaAnswer]:
        """Answer all; clips that share a question go through the Predictor together."""
        by_question: defaultdict[str, list[int]] = defaultdict(list)
        for place, query in enumerate(queries):
            by_question[query.question.text].append(place)
        answers: dict[int, VqaAnswer] = {}
        for text, places in by_question.items():
            asked = [queries[place] for place in places]
            seen = self.predicted([query.tokens for query in asked], text)
            others = iter(self.predicted([q.other for q in asked if q.other is not None], text))
            blind = self._blind_answer(text, asked[0].tokens)
            for place, query, vector in zip(places, asked, seen, strict=True):
                other = None if query.other is None else next(others)
                answers[place] = self._judge(query.question, vector, blind, other)
        return [answers[place] for place in range(len(queries))]

    def predicted(self, tokens: Sequence[Floats], question: str) -> Floats:
        """Return [len(tokens), D] float32: the answers to one question, embedded."""
        starts = range(0, len(tokens), _BATCH)
        parts = [self._engine.embed(tokens[i : i + _BATCH], question) for i in starts]
        return np.concatenate(parts) if parts else np.zeros((0, 0), np.float32)

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

    def known(self, text: str) -> Floats:
        """Return [D] float32, L2 norm 1, of one text."""
        return self.embedded((text,))[0]

    def _judge(
        self, question: Question, vector: Floats, blind: Floats, other: Floats | None
    ) -> VqaAnswer:
        texts = self.embedded(question.candidates)
        similarities = texts @ vector
        best = int(similarities.argmax())
        each, none = probabilities(similarities, self._engine.config.calibration)
        right = max(similarities[i] for i in range(len(similarities)) if question.right(i))
        return VqaAnswer(
            best,
            float(each[best]),
            none,
            int((similarities > right).sum()) + 1,
            int((texts @ blind).argmax()),
            -1 if other is None else int((texts @ other).argmax()),
            vector,
        )

    def _blind_answer(self, question: str, like: Floats) -> Floats:
        if question not in self._blind:
            (self._blind[question],) = self._engine.embed([np.zeros_like(like)], question)
        return self._blind[question]


class QuestionMajority:
    """Answers each question with its most frequent answer; unknown questions with their task's.

    Learned from questions and answers of scenes that are not evaluated. Answers are counted by
    semantic key, so that paraphrases of one answer count together.
    """

    def __init__(self) -> None:
        self._by_question: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._by_task: defaultdict[str, Counter[str]] = defaultdict(Counter)

    def learn(self, rows: Iterable[tuple[str, str, str]]) -> None:
        """Count rows of (task, question, key of the true answer)."""
        for task, question, answer in rows:
            self._by_question[question][answer] += 1
            self._by_task[task][answer] += 1

    def answer(self, task: str, question: str, candidates: Sequence[str]) -> int:
        """Index of the majority answer among the keys of the `candidates`; 0: none was ever seen.

        Raises:
            ValueError: no candidates.
        """
        if not candidates:
            raise ValueError("a question without candidates cannot be answered: give at least one")
        for counts in (self._by_question.get(question), self._by_task.get(task)):
            if counts:
                best = max(range(len(candidates)), key=lambda i: counts[candidates[i]])
                if counts[candidates[best]] > 0:
                    return best
        return 0
