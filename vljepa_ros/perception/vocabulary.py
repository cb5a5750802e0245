"""The label vocabulary: exclusive groups of labels, one for each prompt, and its form as parameter.

As a list of strings, each string is a group: `prompt | label | label ...`. Strings without a bar
are labels of the model's default prompt, so a plain list of labels works too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

MAX_LABELS = 10000
MAX_IN_ALL = 20000
MAX_TEXT = 512
BAR = "|"


class VocabularyError(ValueError):
    """A list of texts that cannot be used: the message says what was wrong and what is allowed."""


@dataclass(frozen=True)
class Group:
    """Labels of which one is true, as answers to `prompt` (the query given to the Predictor)."""

    prompt: str
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Vocabulary:
    """Groups with different prompts, at least one, at most MAX_LABELS labels in each and MAX_IN_ALL
    in all."""

    groups: tuple[Group, ...]

    @property
    def size(self) -> int:
        """Number of labels in all groups."""
        return sum(len(group.labels) for group in self.groups)

    def with_group(self, prompt: str, labels: Sequence[str]) -> Vocabulary:
        """This vocabulary with the labels of one prompt replaced, or the group added at the end.

        :raises VocabularyError: see `from_groups`.
        """
        groups = {group.prompt: group.labels for group in self.groups}
        groups[prompt] = tuple(labels)
        return from_groups(groups)

    def as_strings(self) -> list[str]:
        """The form that `parse` reads."""
        return [f" {BAR} ".join((group.prompt, *group.labels)) for group in self.groups]


def checked_texts(texts: Iterable[str], what: str, limit: int) -> tuple[str, ...]:
    """Texts without surrounding blanks.

    :param what: what they are, for the message.
    :raises VocabularyError: none at all, more than `limit`, or one of them empty or too long.
    """
    clean = tuple(text.strip() for text in texts)
    if not 1 <= len(clean) <= limit:
        raise VocabularyError(f"{len(clean)} {what}, allowed: 1 to {limit}")
    for index, text in enumerate(clean):
        if not 1 <= len(text) <= MAX_TEXT:
            raise VocabularyError(
                f"text {index} of the {what} has {len(text)} characters, allowed: 1 to {MAX_TEXT}"
            )
    return clean


def from_groups(groups: Mapping[str, Sequence[str]]) -> Vocabulary:
    """A checked vocabulary.

    :raises VocabularyError: no labels, too many, duplicates within a group, a bar in a text.
    """
    made = []
    for prompt, labels in groups.items():
        (question,) = checked_texts([prompt], "prompts", 1)
        clean = checked_texts(labels, f"labels of '{question}'", MAX_LABELS)
        duplicates = [label for label, count in Counter(clean).items() if count > 1]
        if duplicates:
            raise VocabularyError(
                f"labels of '{question}' appear twice: {', '.join(map(repr, duplicates[:5]))}; "
                "allowed: each label once in a group"
            )
        barred = [text for text in (question, *clean) if BAR in text]
        if barred:
            raise VocabularyError(f"{barred[0]!r} contains '{BAR}', which separates labels")
        made.append(Group(question, clean))
    vocabulary = Vocabulary(tuple(made))
    if not 1 <= vocabulary.size <= MAX_IN_ALL:
        raise VocabularyError(f"{vocabulary.size} labels in all, allowed: 1 to {MAX_IN_ALL}")
    return vocabulary


def parse(entries: Sequence[str], default_prompt: str) -> Vocabulary:
    """Read the parameter form.

    :param default_prompt: the prompt of entries without a bar.
    :raises VocabularyError: no entry, a prompt without labels or twice, and all of `from_groups`.
    """
    if not entries:
        raise VocabularyError(
            f"the label list is empty, allowed: 1 to {MAX_LABELS} labels, "
            f"or groups 'prompt {BAR} label {BAR} label ...'"
        )
    groups: dict[str, list[str]] = {}
    for entry in entries:
        if BAR not in entry:
            groups.setdefault(default_prompt, []).append(entry)
            continue
        prompt, *labels = (part.strip() for part in entry.split(BAR))
        if prompt in groups:
            raise VocabularyError(f"prompt '{prompt}' has two groups, allowed: one for each prompt")
        groups[prompt] = labels
    return from_groups(groups)


def same_text(text: str, valid: Sequence[str]) -> bool:
    """Whether `text` is one of `valid`, whatever the case, blanks and final stop."""
    plain = _plain(text)
    return any(plain == _plain(other) for other in valid)


def _plain(text: str) -> str:
    return " ".join(text.lower().split()).rstrip(".")
