"""Encodes a vocabulary slice by slice, so that 10,000 new labels do not stop the stream."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.engines.protocol import Engine
from vljepa_ros.perception.encode_texts import encode_texts
from vljepa_ros.perception.labels import EncodedGroup
from vljepa_ros.perception.vocabulary import Vocabulary
from vljepa_ros.perception.worker import CooperativeTask


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
        self._slices: CooperativeTask[NDArray[np.float32]] | None = None
        self.current: EncodedVocabulary | None = None

    @property
    def pending(self) -> bool:
        """True while a vocabulary waits to be encoded."""
        return self._wanted is not None

    def replace(self, version: int, vocabulary: Vocabulary) -> None:
        """Use another vocabulary as soon as it is encoded; the newest one wins. Any thread."""
        self._wanted = (version, vocabulary)

    def advance(self) -> None:
        """Encode one slice of the wanted vocabulary, and use it once that was the last one."""
        wanted = self._wanted
        if wanted is None:
            return
        version, vocabulary = wanted
        if wanted is not self._begun or self._slices is None:
            texts = [label for group in vocabulary.groups for label in group.labels]
            self._begun, self._slices = wanted, encode_texts(self._engine, texts)
        try:
            next(self._slices)
            return
        except StopIteration as end:
            vectors = end.value
        self._begun = self._slices = None
        ends = np.cumsum([len(group.labels) for group in vocabulary.groups])
        groups = tuple(map(EncodedGroup, vocabulary.groups, np.split(vectors, ends[:-1])))
        self.current = EncodedVocabulary(version, vocabulary, groups)
        if self._wanted is wanted:
            self._wanted = None
        self._ready(self.current)
