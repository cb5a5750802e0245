"""Texts in a model's embedding space: cached embeddings, known texts, and the engines' common part.

`EmbeddingEngine` is what the engines of all families with one space for clips and texts share.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from vljepa_ros.engines.part_runner import PartRunner
from vljepa_ros.engines.protocol import EngineInfo, Generated
from vljepa_ros.models.config import Calibration, ModelConfig, ModelError
from vljepa_ros.models.parts import Part
from vljepa_ros.models.tokenizer import TextError

Key = TypeVar("Key", bound=Hashable)

ShapeRanges = tuple[Mapping[str, tuple[int, int, int]], Mapping[str, tuple[int, int]]]
"""Axis -> minimum, optimum and maximum size; part -> maximum batch for latency and for throughput,
if they are not 1 and 8."""

TEXT_CACHE_ENTRIES = 20_000
"""Embedded texts that are cached: 20 MB at 256 numbers each, and as many as a vocabulary has."""


class TextCache:
    """LRU cache of at most `capacity` entries: text -> [...] float32.

    One thread at a time.
    """

    def __init__(self, capacity: int) -> None:

        self._capacity = capacity
        self._entries: OrderedDict[Hashable, NDArray[np.float32]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, text: Hashable) -> NDArray[np.float32] | None:
        """The entry, which becomes the most recently used one, or None."""
        found = self._entries.get(text)
        if found is not None:
            self._entries.move_to_end(text)
        return found

    def put(self, text: Hashable, value: NDArray[np.float32]) -> None:
        """Store `value`, which must not be changed afterwards."""
        self._entries[text] = value
        self._entries.move_to_end(text)
        while len(self._entries) > self._capacity:
            self._entries.popitem(last=False)

    def fill(
        self, texts: Sequence[Key], encode: Callable[[list[Key]], Iterable[NDArray[np.float32]]]
    ) -> list[NDArray[np.float32]]:
        """The entries of `texts`; missing ones are made by `encode`, each once."""
        found = {text: self.get(text) for text in texts}
        missing = [text for text, vector in found.items() if vector is None]
        if missing:
            for text, made in zip(missing, encode(missing), strict=True):
                found[text] = made
                self.put(text, made)
        return [vector for text in texts if (vector := found[text]) is not None]

    def clear(self) -> None:
        """Remove all entries."""
        self._entries.clear()


@dataclass(frozen=True)
class KnownTexts:
    """The known texts of a model; `generate` falls back to the nearest.

    Attributes:
        texts: The texts, in a fixed order.
        embeddings: [N, D] float32 of norm 1.
    """

    texts: tuple[str, ...]
    embeddings: NDArray[np.float32]

    @classmethod
    def load(cls, config: ModelConfig) -> KnownTexts:
        """Read `known_texts` (JSON list) and `known_embeddings` (safetensors, `embeddings` [N, D]).

        Raises:
            ModelError: Missing, unreadable or of different lengths.
        """
        texts_file, vectors_file = config.path("known_texts"), config.path("known_embeddings")
        try:
            texts = tuple(json.loads(texts_file.read_text(encoding="utf-8")))
            vectors = load_file(str(vectors_file))["embeddings"].astype(np.float32)
        except Exception as error:  # safetensors raises its own kinds
            raise ModelError(f"'{texts_file}' or '{vectors_file}' is unusable: {error}") from error
        if vectors.shape != (len(texts), config.dim) or not texts:
            raise ModelError(
                f"'{vectors_file}' holds {vectors.shape}, expected ({len(texts)}, {config.dim})"
            )
        return cls(texts, vectors)

    def nearest(self, embedding: NDArray[np.float32], calibration: Calibration) -> Generated:
        """The known text most similar to one embedding [D], with its calibrated probability.

        It uses the simple formula of `Calibration`, in float32.
        """
        similarity = self.embeddings @ embedding
        best = int(similarity.argmax())
        scores = calibration.logit_scale * similarity
        none = calibration.logit_scale * calibration.none_similarity
        top = max(float(scores[best]), none)
        total = float(np.exp(scores - top).sum()) + float(np.exp(none - top))
        confidence = float(np.exp(float(scores[best]) - top)) / total
        return Generated(self.texts[best], confidence, False)


class EmbeddingEngine(ABC):
    """Base of the engines that embed clips and texts in one space; see `Engine`.

    Attributes:
        overflows_in_fp16: Whether fp16 leads to NaN.
    """

    overflows_in_fp16 = False

    @staticmethod
    @abstractmethod
    def parts_of(config: ModelConfig) -> tuple[Part, ...]:
        """The graphs of a model."""

    @staticmethod
    @abstractmethod
    def torch_modules(config: ModelConfig, parts: frozenset[str]) -> Mapping[str, Any]:
        """The parts as torch modules in fp32, with 8-bit frames as input."""

    @staticmethod
    @abstractmethod
    def shape_ranges(config: ModelConfig) -> ShapeRanges:
        """Shapes to build an engine for, with clips of the model's length."""

    @staticmethod
    def torch_needs(config: ModelConfig) -> tuple[str, ...]:
        """Packages that the torch modules need."""
        return ("torch", "transformers")

    def __init__(self, config: ModelConfig, runner: PartRunner, parts: frozenset[str]) -> None:
        """Use a runner that has the graphs of `parts` (vision, predictor, text, decoder)."""
        self._config = config
        self._runner = runner
        self._parts = parts
        self._texts = TextCache(TEXT_CACHE_ENTRIES)
        labels = (text for own in config.vocabulary.values() for text in own)
        self._vocabulary = tuple(dict.fromkeys(labels))
        self._known: KnownTexts | None = None

    @property
    def config(self) -> ModelConfig:
        """The model's configuration."""
        return self._config

    @property
    def info(self) -> EngineInfo:
        """Engine, device and precision in use."""
        return self._runner.info

    @property
    def capabilities(self) -> frozenset[str]:
        """What the loaded parts and the calibration allow."""
        judges = "text" in self._parts and self._config.calibration.judges_presence
        return frozenset({"presence"} if judges else ())

    @abstractmethod
    def embed(
        self, tokens: Sequence[NDArray[np.float32]], query: str | Sequence[str]
    ) -> NDArray[np.float32]:
        """[B, D] float32, norm 1: the answer to the query of each clip, embedded."""

    @abstractmethod
    def encode_text(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """[len(texts), D] float32, norm 1; each text is encoded once."""

    @abstractmethod
    def token_ids(self, query: str, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text. Raises TextError if the query or a text is too long."""

    def check_texts(self, query: str, texts: Sequence[str]) -> None:
        """Refuse texts that are too long, and different texts with equal ids."""
        known: dict[tuple[int, ...], str] = {}
        for text, ids in zip(texts, self.token_ids(query, texts), strict=True):
            other = known.setdefault(tuple(ids), text)
            if other != text:
                raise TextError(
                    f"'{other}' and '{text}' are the same tokens to model '{self._config.name}', "
                    "allowed: texts that differ in what it can read"
                )

    def encode_candidates(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        """[len(pairs), D] float32, norm 1: the candidates without the questions."""
        return self.encode_text([candidate for _, candidate in pairs])

    def score(
        self, tokens: NDArray[np.float32], question: str, candidates: Sequence[str]
    ) -> NDArray[np.float32]:
        """Cosine of each candidate with the embedded answer: [len(candidates)] float32."""
        if not candidates:
            return np.zeros(0, np.float32)
        answer = self.embed([tokens], question)[0]
        vectors = self.encode_candidates([(question, one) for one in candidates])
        return np.clip(vectors @ answer, -1.0, 1.0)

    def generate(self, embeddings: NDArray[np.float32]) -> list[Generated]:
        """The nearest known text of each of [B, D] embeddings."""
        known = self._known_texts()
        vectors = np.atleast_2d(np.asarray(embeddings, np.float32))
        return [known.nearest(vector, self._config.calibration) for vector in vectors]

    def known_texts(self) -> tuple[list[str], NDArray[np.float32]]:
        """The texts that `generate` falls back to, and their embeddings [N, D]."""
        known = self._known_texts()
        return list(known.texts), known.embeddings

    def close(self) -> None:
        """Free the runner and the caches."""
        self._runner.close()
        self._texts.clear()

    def _known_texts(self) -> KnownTexts:
        """The vocabulary, embedded at the first use.

        Raises:
            ModelError: The model's vocabulary is empty.
        """
        if not self._vocabulary:
            raise ModelError(
                f"model '{self._config.name}' has no Y-Decoder and an empty vocabulary: "
                "list texts under 'vocabulary' in its config"
            )
        if self._known is None:
            self._known = KnownTexts(self._vocabulary, self.encode_text(self._vocabulary))
        return self._known

    def _rows(self, vectors: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        return np.array(vectors, np.float32).reshape(len(vectors), self._config.dim)


def unit_rows(values: object) -> Any:
    """Rows scaled to L2 norm 1, float32."""
    values = np.asarray(values, np.float32)
    return values / np.maximum(np.linalg.norm(values, axis=-1, keepdims=True), 1e-12)
