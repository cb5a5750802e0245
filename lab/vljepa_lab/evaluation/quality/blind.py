"""How far does one get without looking? The answer distribution of questions alone."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence


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
        """Index of the majority answer among the keys of the `candidates`; 0 where none was ever
        seen.

        :raises ValueError: no candidates.
        """
        if not candidates:
            raise ValueError("a question without candidates cannot be answered: give at least one")
        for counts in (self._by_question.get(question), self._by_task.get(task)):
            if counts:
                best = max(range(len(candidates)), key=lambda i: (counts[candidates[i]], -i))
                if counts[candidates[best]] > 0:
                    return best
        return 0
