"""Encodes a vocabulary piece by piece, so that 10,000 new labels do not stop the stream."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vljepa_ros.engines.protocol import Engine
from vljepa_ros.perception.encode_texts import PIECE
from vljepa_ros.perception.labels import EncodedGroup
from vljepa_ros.perception.vocabulary import Vocabulary

__all__ = ["EncodedVocabulary", "VocabularyEncoder"]


@dataclass(frozen=True)
class EncodedVocabulary:
    """A vocabulary in use. version: grows by one at each change, from 1."""

    version: int
    vocabulary: Vocabulary
    groups: tuple[EncodedGroup, ...]


class VocabularyEncoder:
    """In the thread of the engine, except `replace`.

    :param ready: told of each vocabulary that came into use, in the engine's thread.
    """

    def __init__(self, engine: Engine, ready: Callable[[EncodedVocabulary], None]) -> None:
        self._engine = engine
        self._ready = ready
        self._wanted: tuple[int, Vocabulary] | None = None
        self._begun: tuple[int, Vocabulary] | None = None
        self._next = 0
        self.current: EncodedVocabulary | None = None

    @property
    def pending(self) -> bool:
        """True while a vocabulary waits to be encoded."""
        return self._wanted is not None

    def replace(self, version: int, vocabulary: Vocabulary) -> None:
        """Use another vocabulary as soon as it is encoded; the newest one wins. Any thread."""
        self._wanted = (version, vocabulary)

    def advance(self) -> None:
        """Encode one piece of the wanted vocabulary, and use it once that was the last one."""
        wanted = self._wanted
        if wanted is None:
            return
        if wanted is not self._begun:
            self._begun, self._next = wanted, 0
        version, vocabulary = wanted
        texts = [label for group in vocabulary.groups for label in group.labels]
        self._engine.encode_text(texts[self._next : self._next + PIECE])
        self._next += PIECE
        if self._next < len(texts):
            return
        groups = tuple(
            EncodedGroup(g, self._engine.encode_text(g.labels)) for g in vocabulary.groups
        )
        self.current = EncodedVocabulary(version, vocabulary, groups)
        if self._wanted is wanted:
            self._wanted = None
        self._ready(self.current)
