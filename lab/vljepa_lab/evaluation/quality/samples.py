"""One question with its candidates and its truth; what the evaluation asks a model."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sample:
    """A question about one clip of one scene.

    task: name in the report. candidates: different texts; keys: semantic key of each candidate,
    equal for texts that mean the same; truth: the keys that are right (more than one only where
    several candidates are true).
    """

    task: str
    question: str
    candidates: tuple[str, ...]
    keys: tuple[str, ...]
    truth: frozenset[str]

    def __post_init__(self) -> None:
        """Check that it can be answered.

        :raises ValueError: no candidates, keys missing, or no candidate is right.
        """
        if not self.candidates or len(self.candidates) != len(self.keys):
            raise ValueError(
                f"task {self.task}: {len(self.candidates)} candidates and {len(self.keys)} keys; "
                "equal numbers, at least one"
            )
        if not self.truth & set(self.keys):
            raise ValueError(f"task {self.task}: none of the candidates is right: {self.keys}")

    def right(self, index: int) -> bool:
        """Whether the candidate with this index is a right answer."""
        return self.keys[index] in self.truth
