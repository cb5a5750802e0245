"""Runs VL-JEPA: the base class of its sizes, and nano."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.engines.greedy_decode import generate_greedily
from vljepa_ros.engines.part_runner import Array, PartRunner, padded_rows
from vljepa_ros.engines.protocol import Clip, EncodedClip, Generated, check_clips
from vljepa_ros.engines.text_embeddings import EmbeddingEngine, KnownTexts, ShapeRanges, TextCache
from vljepa_ros.models.config import ModelConfig, ModelError
from vljepa_ros.models.parts import Part
from vljepa_ros.models.tokenizer import pad_ids
from vljepa_ros.models.vl_jepa.nano_config import MAX_WORDS, Architecture, nano_parts
from vljepa_ros.models.vl_jepa.nano_text import MAX_TOKENS, DecoderWords, TextTokenizer

_QUERY_CACHE_ENTRIES = 512
_NANO_TEXT_BATCH = 64


class VlJepaEngine(EmbeddingEngine):
    """Runs a VL-JEPA. The caller keeps visual tokens, so each query costs a Predictor pass only."""

    longest_query: int

    def __init__(self, config: ModelConfig, runner: PartRunner, parts: frozenset[str]) -> None:
        super().__init__(config, runner, parts)
        self._queries = TextCache(_QUERY_CACHE_ENTRIES)

    @property
    def capabilities(self) -> frozenset[str]:
        """What the loaded parts and the calibration allow."""
        found = set(super().capabilities)
        if "predictor" in self._parts:
            found.add("embed")
        if "text" in self._parts:
            found.add("encode_text")
        if {"predictor", "text"} <= self._parts:
            found.add("score")
        return frozenset(found)

    def embed(
        self, tokens: Sequence[NDArray[np.float32]], query: str | Sequence[str]
    ) -> NDArray[np.float32]:
        """Predictor: [B, D] float32, norm 1; clips of equal length in one batch."""
        tokens = list(tokens)  # rows of an array would be new objects at each access
        result = np.zeros((len(tokens), self._config.dim), np.float32)
        queries = [query] * len(tokens) if isinstance(query, str) else query
        hidden = self._queries.fill(queries, self._embed_queries)
        for members in by_length(tokens):
            clips = {id(tokens[index]): tokens[index] for index in members}
            places = {key: place for place, key in enumerate(clips)}
            rows = np.array([places[id(tokens[index])] for index in members])
            query_rows = self._padded([hidden[index] for index in members])
            result[members] = self._predict(list(clips.values()), rows, *query_rows)
        return result

    def _padded(self, queries: Sequence[NDArray[np.float32]]) -> tuple[Array, Array]:
        """Embedded queries [L, W] as one padded batch [B, L, W], and its mask [B, L]."""
        longest = max(map(len, queries))
        if all(len(query) == longest for query in queries):
            batch, valid = np.stack(queries), np.ones((len(queries), longest), np.float32)
        else:
            batch = np.zeros((len(queries), longest, queries[0].shape[1]), np.float32)
            valid = np.zeros((len(queries), longest), np.float32)
            for row, query in enumerate(queries):
                batch[row, : len(query)], valid[row, : len(query)] = query, 1.0
        # Otherwise every length of a question would need its own graph; padding is masked.
        pad, most = self._runner.pad_length, self.longest_query
        return pad(batch, most), pad(valid, most)

    def encode_text(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Y-Encoder: [len(texts), D] float32, norm 1."""
        return self._rows(self._texts.fill(texts, self._encode_texts))

    def close(self) -> None:
        """Free the runner and the caches."""
        super().close()
        self._queries.clear()

    @abstractmethod
    def _encode_texts(self, texts: list[str]) -> NDArray[np.float32]:
        """Y-Encoder: [len(texts), D], norm 1, for texts that are not cached."""

    @abstractmethod
    def _embed_queries(self, queries: list[str]) -> list[NDArray[np.float32]]:
        """Embedded tokens [L, W] of each query."""

    @abstractmethod
    def _predict(
        self,
        clips: list[NDArray[np.float32]],
        rows: NDArray[np.int64],
        query: Array,
        valid: Array,
    ) -> NDArray[np.float32]:
        """Predictor: the embedded answers [B, D] to queries about clips.

        Args:
            clips: [V, W] visual tokens of each clip, all different.
            rows: [B], the clip that each query is about.
            query: [B, L, W] embedded tokens.
            valid: [B, L]: 1 for a token, 0 for padding.
        """


@dataclass(frozen=True)
class _StreamState:
    """Frame features [cells, D] of the last clip of one stream, by stamp."""

    features: dict[int, NDArray[np.float32]]


class NanoEngine(VlJepaEngine):
    """Runs nano: a cached stage for each frame, one for the clip, and a Y-Decoder."""

    longest_query = MAX_TOKENS

    @staticmethod
    def parts_of(config: ModelConfig) -> tuple[Part, ...]:
        """The seven graphs of the model folder."""
        return nano_parts(Architecture.from_dict(config.architecture))

    @staticmethod
    def torch_modules(config: ModelConfig, parts: frozenset[str]) -> Mapping[str, Any]:
        """All modules, as they are small."""
        from vljepa_ros.models.vl_jepa.nano_weights import load_modules

        return load_modules(config)

    @staticmethod
    def shape_ranges(config: ModelConfig) -> ShapeRanges:
        """Ranges of the axes; a stream needs one new frame at a time."""
        nano = Architecture.from_dict(config.architecture)
        prefix = nano.y_decoder.prefix
        ranges = {
            "pieces": (1, 16, nano.text.positions),
            "clips": (1, 4, 64),
            "past": (prefix, prefix + 8, prefix + MAX_WORDS - 1),
        }
        texts = {"text_trunk": (1, 64), "text_head": (1, 64)}
        return ranges, {**texts, "frame": (1, 8 * config.clip_frames)}

    @staticmethod
    def torch_needs(config: ModelConfig) -> tuple[str, ...]:
        """torch, without transformers."""
        return ("torch",)

    def __init__(self, config: ModelConfig, runner: PartRunner, parts: frozenset[str]) -> None:
        """Use a runner that has the graphs of `parts`.

        Raises:
            ModelError: A missing or unusable file.
        """
        super().__init__(config, runner, parts)
        texts = parts & {"text", "predictor"}
        words = Architecture.from_dict(config.architecture).text.words
        self._tokenizer = TextTokenizer(config.path("tokenizer"), words) if texts else None
        self._known = KnownTexts.load(config) if parts & {"text", "decoder"} else None
        self._words = (
            DecoderWords.load(config.path("decoder_words")) if "decoder" in parts else None
        )

    @property
    def capabilities(self) -> frozenset[str]:
        """What the loaded parts allow."""
        own = {"vision": "streaming", "decoder": "generate"}
        return super().capabilities | {own[part] for part in self._parts & set(own)}

    def encode(self, clips: Sequence[Clip], states: Sequence[Any]) -> list[EncodedClip]:
        """X-Encoder: the frame stage runs only for frames whose stamp is not in the stream's state.

        Args:
            clips: [clip_frames, S, S, 3] uint8 each.
            states: The last state of each stream, or None.
        """
        check_clips(self._config, clips, states, self._config.clip_frames)
        if not clips:
            return []
        known = [
            dict(state.features) if isinstance(state, _StreamState) else {} for state in states
        ]
        missing: dict[tuple[int, int], NDArray[np.uint8]] = {}
        for stream, clip in enumerate(clips):
            for stamp, frame in zip(clip.stamps, clip.frames, strict=True):
                if stamp not in known[stream]:
                    missing[stream, stamp] = frame
        if missing:
            made = self._runner.run("frame", {"frames": np.stack(list(missing.values()))})
            features = self._runner.split(made["features"])
            for (stream, stamp), feature in zip(missing, features, strict=True):
                known[stream][stamp] = feature
        # Everything that a later clip may need, also images between those of this clip.
        kept = [
            {stamp: feature for stamp, feature in known[stream].items() if stamp >= clip.stamps[0]}
            for stream, clip in enumerate(clips)
        ]
        rows = [own[stamp] for own, clip in zip(kept, clips, strict=True) for stamp in clip.stamps]
        windows = self._runner.stack(rows).reshape(len(clips), -1, *rows[0].shape)
        tokens = self._runner.split(self._runner.run("window", {"features": windows})["tokens"])
        return [
            EncodedClip(token, _StreamState(own)) for token, own in zip(tokens, kept, strict=True)
        ]

    def token_ids(self, query: str, texts: Sequence[str]) -> list[list[int]]:
        """Ids of the word pieces, in the same way for queries and texts."""
        return self._ids([query, *texts])[1:]

    def generate(self, embeddings: NDArray[np.float32]) -> list[Generated]:
        """Decode [B, D] greedily; below `decode_above` the nearest known text is used."""
        if self._words is None:
            raise ModelError("the part 'decoder' is not loaded")
        vectors = np.atleast_2d(np.asarray(embeddings, np.float32))
        known, calibration = self._known_texts(), self._config.calibration
        return [
            Generated(text, confidence, True)
            if text and confidence >= calibration.decode_above
            else known.nearest(vector, calibration)
            for vector, (text, confidence) in zip(
                vectors, generate_greedily(self._runner, self._words, vectors), strict=True
            )
        ]

    def _known_texts(self) -> KnownTexts:
        if self._known is None:
            raise ModelError("known texts come with the parts 'text' and 'decoder'")
        return self._known

    def _trunk(self, ids: Sequence[list[int]]) -> dict[str, Array]:
        """`hidden` [B, L, W] and `pooled` [B, W] of token ids."""
        tokens, valid = (self._runner.pad_length(array, MAX_TOKENS) for array in pad_ids(ids))
        return self._runner.run("text_trunk", {"ids": tokens, "valid": valid})

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        if self._tokenizer is None:
            raise ModelError("the parts 'text' and 'predictor' are not loaded")
        return self._tokenizer.ids(texts)

    def _embed_queries(self, queries: list[str]) -> list[NDArray[np.float32]]:
        ids = self._ids(queries)
        hidden: Any = self._trunk(ids)["hidden"]
        # copies: a view would keep the whole batch alive
        return [row[: len(own)].copy() for row, own in zip(hidden, ids, strict=True)]

    def _predict(
        self, clips: list[NDArray[np.float32]], rows: NDArray[np.int64], query: Any, valid: Any
    ) -> Any:
        if self._runner.fixed_shapes:
            clips = clips + clips[-1:] * (padded_rows(len(clips)) - len(clips))
        tokens = self._runner.stack(clips)
        inputs = {"tokens": tokens, "query": query, "valid": valid, "clip": rows}
        return self._runner.run("predictor", inputs)["embedding"]

    def _encode_texts(self, texts: list[str]) -> NDArray[np.float32]:
        """Y-Encoder, in batches of texts of similar length to save padding."""
        ids = self._ids(texts)
        order = sorted(range(len(ids)), key=lambda index: len(ids[index]))
        result = np.zeros((len(texts), self._config.dim), np.float32)
        for start in range(0, len(order), _NANO_TEXT_BATCH):
            rows = order[start : start + _NANO_TEXT_BATCH]
            pooled = self._trunk([ids[row] for row in rows])["pooled"]
            result[rows] = self._runner.run("text_head", {"pooled": pooled})["embedding"]
        return result


def by_length(rows: Sequence[NDArray[Any]]) -> list[list[int]]:
    """Group the indices of arrays [L, ...] by their length L."""
    groups: dict[int, list[int]] = {}
    for index, row in enumerate(rows):
        groups.setdefault(len(row), []).append(index)
    return list(groups.values())
