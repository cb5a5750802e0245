"""The label vocabulary: groups of labels that exclude each other, one group per prompt.

As a parameter it is a list of strings, each a group: `prompt | label | label ...`. Strings without
a bar are labels of the model's default prompt, so a plain list of labels works, too.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.engines.protocol import Engine
from vljepa_ros.models.calibration import EncodedText

T = TypeVar("T")

G = TypeVar("G")

MAX_LABELS = 10000  # in a group
MAX_TOTAL_LABELS = 20000
MAX_TEXT = 512  # characters
BAR = "|"

NONE_TAUGHT: Mapping[str, EncodedText] = {}
SLICE_S = 0.04
"""Work between two pauses of the encoder: what a frame may wait for new texts. Eight to ten texts
of nano, a tenth dearer than all at once; in slices of 10 or 20 ms they would be by a quarter."""
TEXTS_AT_ONCE = 4, 32
"""Minimum and maximum number of texts encoded at once. Encoded singly they take twice as long; more
than the maximum might take too long after known ones, which take no time."""


class VocabularyError(ValueError):
    """A list of texts that cannot be used; the message says why and what is allowed."""


class PresenceError(VocabularyError):
    """A single text, for a model that can only choose among texts."""

    code = "UNSUPPORTED"

    def __init__(self, what: str) -> None:
        super().__init__(
            f"{what}: this model chooses among texts and cannot judge one alone (it has no "
            "capability 'presence'; nano, everyday and SigLIP have it)"
        )


@dataclass(frozen=True)
class Group:
    """Labels of which one is true, as answers to `prompt` (the query given to the Predictor).

    Attributes:
        cameras: Names of cameras; empty: all without a group of their own for this prompt.
    """

    prompt: str
    labels: tuple[str, ...]
    cameras: tuple[str, ...] = ()


@dataclass(frozen=True)
class Vocabulary:
    """Groups with different prompts for each camera, at least one.

    At most MAX_LABELS labels in each and MAX_TOTAL_LABELS in all.
    """

    groups: tuple[Group, ...]

    @property
    def size(self) -> int:
        """Number of labels in all groups."""
        return sum(len(group.labels) for group in self.groups)

    def check(self, engine: Engine, taught: Collection[str] = ()) -> None:
        """Refuse labels that an engine cannot distinguish. Any thread.

        Args:
            engine: checks all texts but
            taught: the names of taught labels.

        Raises:
            PresenceError: a text alone in its group, for an engine without `presence`.
            TextError: a text that is too long, or two labels that are the same tokens.
        """
        for group in self.groups:
            texts = [label for label in group.labels if label not in taught]
            if len(group.labels) < 2 and texts and "presence" not in engine.capabilities:
                raise PresenceError(f"1 label of '{group.prompt}', allowed: 2 to {MAX_LABELS}")
            engine.check_texts(group.prompt, texts)

    def with_group(self, prompt: str, labels: Sequence[str]) -> Vocabulary:
        """This vocabulary with the labels of one prompt replaced, or the group added at the end.

        Args:
            prompt: Prompt of the group.
            labels: Empty: remove the group.

        Raises:
            KeyError: There is no group to remove.
            VocabularyError: see `from_groups`.
        """
        groups = {group.prompt: group.labels for group in self.groups}
        if labels:
            groups[prompt] = tuple(labels)
        else:
            del groups[prompt]
        return from_groups(groups) if groups else Vocabulary(())

    def with_own_groups(self, own: Mapping[str, Vocabulary]) -> Vocabulary:
        """This vocabulary with the groups of single cameras added.

        Args:
            own: Camera -> its groups; equal groups of several cameras become one.

        Raises:
            VocabularyError: More labels than are allowed.
        """
        cameras: dict[Group, list[str]] = {}
        for camera, vocabulary in own.items():
            for group in vocabulary.groups:
                cameras.setdefault(group, []).append(camera)
        mine = [replace(group, cameras=tuple(names)) for group, names in cameras.items()]
        return _checked_size(Vocabulary((*self.groups, *mine)))

    def as_strings(self) -> list[str]:
        """The form that `parse` reads."""
        return [f" {BAR} ".join((group.prompt, *group.labels)) for group in self.groups]


def checked_texts(texts: Iterable[str], what: str, limit: int) -> tuple[str, ...]:
    """Check texts and remove surrounding blanks.

    Args:
        texts: at least one.
        what: what they are, for the message.
        limit: maximum number.

    Raises:
        VocabularyError: none at all, more than `limit`, or one of them empty or too long.
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


def distinct_texts(
    texts: Iterable[str], what: str, limit: int, *, once: str, separated: str, prompt: str = ""
) -> tuple[str, ...]:
    """`checked_texts` that also refuses duplicates, and the bar of the parameter form.

    Args:
        texts: at least one.
        what: what they are, for the message.
        limit: maximum number.
        once: what is allowed instead of duplicates, for the message.
        separated: what the bar separates, for the message.
        prompt: another text that must not contain a bar.

    Raises:
        VocabularyError: a duplicate, a bar in a text, and all of `checked_texts`.
    """
    clean = checked_texts(texts, what, limit)
    duplicates = [text for text, count in Counter(clean).items() if count > 1]
    if duplicates:
        listed = ", ".join(map(repr, duplicates[:5]))
        raise VocabularyError(f"{what} appear twice: {listed}; allowed: {once}")
    for text in (prompt, *clean):
        if BAR in text:
            raise VocabularyError(f"{text!r} contains '{BAR}', which separates {separated}")
    return clean


def from_groups(groups: Mapping[str, Sequence[str]]) -> Vocabulary:
    """Make a checked vocabulary.

    Args:
        groups: prompt -> labels.

    Raises:
        VocabularyError: no labels, too many, duplicates within a group, a bar in a text.
    """
    made = []
    for prompt, labels in groups.items():
        (question,) = checked_texts([prompt], "prompts", 1)
        clean = distinct_texts(
            labels,
            f"labels of '{question}'",
            MAX_LABELS,
            once="each label once in a group",
            separated="labels",
            prompt=question,
        )
        made.append(Group(question, clean))
    return _checked_size(Vocabulary(tuple(made)))


def _checked_size(vocabulary: Vocabulary) -> Vocabulary:
    if not 1 <= vocabulary.size <= MAX_TOTAL_LABELS:
        raise VocabularyError(f"{vocabulary.size} labels in all, allowed: 1 to {MAX_TOTAL_LABELS}")
    return vocabulary


def parse(entries: Sequence[str], default_prompt: str) -> Vocabulary:
    """Read the parameter form.

    Args:
        entries: `label`, or `prompt | label | label ...`.
        default_prompt: the prompt of entries without a bar.

    Raises:
        VocabularyError: no entry, a prompt without labels or twice, and all of `from_groups`.
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
    """Whether `text` is one of `valid`; case, blanks and a final stop do not count."""
    plain = _plain(text)
    return any(plain == _plain(other) for other in valid)


def _plain(text: str) -> str:
    return " ".join(text.lower().split()).rstrip(".")


def encode_texts(engine: Engine, texts: Sequence[str]) -> Generator[str, None, NDArray[np.float32]]:
    """Encode texts to [len(texts), D], see `in_slices`; texts in the engine's cache are free."""
    return in_slices(engine.encode_text, texts, engine.config.dim)


def in_slices(
    encode: Callable[[Sequence[T]], NDArray[np.float32]], texts: Sequence[T], dim: int
) -> Generator[str, None, NDArray[np.float32]]:
    """Encode in steps of about SLICE_S, between which frames and other requests are served.

    An engine caches texts, so that a second call continues where an interrupted one stopped.

    Args:
        encode: makes [N, dim] float32, L2 norm 1, of N texts.
        texts: any number.
        dim: of the embeddings.

    Returns:
        [len(texts), dim] float32, L2 norm 1.
    """
    least, most = TEXTS_AT_ONCE
    # texts of similar length together, to save padding
    order = sorted(range(len(texts)), key=lambda place: len(str(texts[place])))
    vectors = np.zeros((len(texts), dim), np.float32)
    start, size = 0, least
    begun = before = time.perf_counter()
    while start < len(texts):
        if before - begun >= SLICE_S / 2:  # the next texts might take as long as a whole slice
            yield f"{start} of {len(texts)} texts are encoded and kept, ask again for the others"
            begun = before = time.perf_counter()
        places = order[start : start + size]
        vectors[places] = encode([texts[place] for place in places])
        start += size
        now = time.perf_counter()
        fitting = SLICE_S * size / max(now - before, 1e-9)
        size, before = int(max(least, min(fitting, 2 * size, most))), now
    return vectors


@dataclass(frozen=True)
class EncodedGroup:
    """A group with its embeddings.

    Attributes:
        group: its labels.
        embeddings: [labels, D] float32, L2 norm 1; zeros for a taught label.
        taught: index in the group -> taught label.
    """

    group: Group
    embeddings: NDArray[np.float32]
    taught: Mapping[int, EncodedText] = field(default_factory=dict)


@dataclass(frozen=True)
class EncodedVocabulary:
    """A vocabulary in use. Its version starts at 1 and grows by one with each change."""

    version: int
    vocabulary: Vocabulary
    groups: tuple[EncodedGroup, ...]

    def of_camera(self, name: str) -> list[EncodedGroup]:
        """The groups of one camera: its own, and the common ones for other prompts."""
        return groups_for(name, self.groups, lambda encoded: encoded.group)


def groups_for(
    camera: str, groups: Sequence[G], described: Callable[[G], Any] = lambda group: group
) -> list[G]:
    """The groups of one camera, in order: its own, and the common ones for other prompts.

    Args:
        camera: Name of the camera.
        groups: Groups of a vocabulary.
        described: Returns what has `prompt` and `cameras` of a group: a Group, or a
            msg/VocabularyGroup.
    """
    own = {described(one).prompt for one in groups if camera in described(one).cameras}
    return [
        one
        for one in groups
        if camera in described(one).cameras
        or (not described(one).cameras and described(one).prompt not in own)
    ]


_Wanted = tuple[int, Vocabulary, Mapping[str, EncodedText]]


class VocabularyEncoder:
    """Encodes a vocabulary in slices, so that 10,000 new labels do not stop the stream.

    All methods but `replace` are called in the thread of the engine.
    """

    def __init__(self, engine: Engine, on_ready: Callable[[EncodedVocabulary], None]) -> None:
        """Start without a vocabulary.

        Args:
            engine: its Y-Encoder is used.
            on_ready: called with each vocabulary when it comes into use.
        """
        self._engine = engine
        self._on_ready = on_ready
        self._wanted: _Wanted | None = None
        self._begun: _Wanted | None = None
        self._used: _Wanted | None = None
        self._slices = encode_texts(engine, ())
        self.current: EncodedVocabulary | None = None

    @property
    def pending(self) -> bool:
        """True while a vocabulary waits to be encoded."""
        return self._wanted is not self._used

    def replace(
        self, version: int, vocabulary: Vocabulary, taught: Mapping[str, EncodedText] = NONE_TAUGHT
    ) -> None:
        """Use a vocabulary once it is encoded; the newest one wins. Any thread.

        Args:
            version: version of the vocabulary.
            vocabulary: its labels.
            taught: name -> taught label; these are not encoded as texts.
        """
        self._wanted = (version, vocabulary, taught)

    def advance(self) -> None:
        """Encode one slice of the new vocabulary; after the last slice it comes into use.

        Exceptions of the engine are passed on; the next call starts the vocabulary again.
        """
        wanted = self._wanted
        if wanted is None or wanted is self._used:
            return
        version, vocabulary, taught = wanted
        labels = [label for group in vocabulary.groups for label in group.labels]
        if wanted is not self._begun:
            texts = [label for label in labels if label not in taught]
            self._begun, self._slices = wanted, encode_texts(self._engine, texts)
        try:
            next(self._slices)
            return
        except StopIteration as end:
            self._begun, vectors = None, end.value
        except Exception:
            self._begun = None
            raise
        rows = np.zeros((len(labels), vectors.shape[1]), np.float32)
        rows[[label not in taught for label in labels]] = vectors
        ends = np.cumsum([len(group.labels) for group in vocabulary.groups])
        groups = tuple(
            EncodedGroup(
                group, own, {i: taught[one] for i, one in enumerate(group.labels) if one in taught}
            )
            for group, own in zip(vocabulary.groups, np.split(rows, ends[:-1]), strict=True)
        )
        self.current = EncodedVocabulary(version, vocabulary, groups)
        self._used = wanted
        self._on_ready(self.current)
