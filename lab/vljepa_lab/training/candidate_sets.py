"""Random sets of candidates, as callers give them: 2 to 100, a third without the right answer.

The calibrator is fitted on such sets and judged on such sets.
"""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from vljepa_lab.world.questions import Question

MOST = 100
LACKING = 1 / 3
_KINDS = {
    "door": "door",
    "lights": "lights",
    "person": "person",
    "event": "event",
    "action": "event",
    "moved": "event",
    "held": "held",
    "holding_anything": "held",
    "person_held": "held",
    "person_holding": "held",
}
_TELLING = frozenset({"door", "lights", "person", "held", "event", "drawer", "obstacle"})
"""Kinds whose sentences may be true of one moment side by side ("the door is open", "the door
opens"): none of them serves as a wrong answer to a question of another."""
_SHORT = frozenset({"yes", "no", "none"})


@dataclass(frozen=True)
class CandidateSet:
    """texts: different, at least two; right: index of the true one, -1 where it is missing."""

    texts: tuple[str, ...]
    right: int


class CandidateSets:
    """Draws sets of candidates for questions; wrong ones of other kinds come from `questions`."""

    def __init__(self, questions: Iterable[Question]) -> None:
        found: defaultdict[str, dict[str, None]] = defaultdict(dict)
        for question in questions:
            kind = _KINDS.get(question.task, question.task)
            for text, key in zip(question.candidates, question.keys, strict=True):
                if key not in _SHORT:
                    found[kind][text] = None
        self._texts = {kind: list(texts) for kind, texts in found.items()}

    def draw(self, question: Question, rng: random.Random) -> CandidateSet | None:
        """One set for a question, its size log-uniform; None where there is nothing to draw from.

        Wrong candidates are the question's own; where these are too few for the size, half of the
        sets stay smaller and half are filled up with answers to questions of other kinds.
        """
        size = min(MOST, round(math.exp(rng.uniform(math.log(2), math.log(MOST)))))
        present = rng.random() >= LACKING
        wanted = size - 1 if present else size
        own = [t for t, k in zip(question.candidates, question.keys, strict=True)
               if k != question.key]  # fmt: skip
        wrong = rng.sample(own, min(wanted, len(own)))
        if len(wrong) < wanted and (len(wrong) + present < 2 or rng.random() < 0.5):
            wrong += self._others(question, wanted - len(wrong), rng)
        texts = ([question.answer] if present else []) + wrong
        texts = list(dict.fromkeys(texts))
        return CandidateSet(tuple(texts), 0 if present else -1) if len(texts) >= 2 else None

    def _others(self, question: Question, count: int, rng: random.Random) -> list[str]:
        own = _KINDS.get(question.task, question.task)
        kinds = [
            kind
            for kind in self._texts
            if kind != own and not (own in _TELLING and kind in _TELLING)
        ]
        # few beside the own ones as often as many
        count = rng.randint(1, min(count, 8)) if rng.random() < 0.5 else count
        return [rng.choice(self._texts[rng.choice(kinds)]) for _ in range(count)] if kinds else []
