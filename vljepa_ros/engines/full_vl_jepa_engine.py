"""The engine protocol for the paper-sized VL-JEPA, on whatever runs its three parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.engines.clip_check import check_clips, unit_rows
from vljepa_ros.engines.nearest_text import NearestText
from vljepa_ros.engines.part_runner import PartRunner, padded_length
from vljepa_ros.engines.protocol import Clip, EncodedClip, EngineInfo, Generated
from vljepa_ros.engines.text_cache import TextCache
from vljepa_ros.models.config import ModelConfig, ModelError
from vljepa_ros.models.vl_jepa.paper_config import PaperSizes
from vljepa_ros.models.vl_jepa.paper_text import PaperTokenizer, TokenTable

_TEXT_CACHE = 20_000
_QUERY_CACHE = 512
_TEXT_BATCH = 32


class FullVlJepaEngine:
    """See `Engine`. Visual tokens [N, 1024] are kept by the caller; each query costs a Predictor
    pass only."""

    def __init__(
        self,
        config: ModelConfig,
        runner: PartRunner,
        parts: frozenset[str],
        table: TokenTable | None = None,
    ) -> None:
        """Use a runner that has `parts` (of `vision`, `predictor`, `text`).

        :param table: the token table; None: the folder's.
        """
        self._config = config
        self._runner = runner
        self._parts = parts
        self._sizes = PaperSizes.of(config)
        self._table = table
        if table is None and "predictor" in parts:
            self._table = TokenTable.load(config.path("token_table"))
        self._query_ids = PaperTokenizer(config, "query_tokenizer", self._sizes.query_length)
        self._text_ids = PaperTokenizer(config, "text_tokenizer", self._sizes.text_length)
        self._texts = TextCache(_TEXT_CACHE)
        self._queries = TextCache(_QUERY_CACHE)
        self._nearest = NearestText(config, self.encode_text)

    @property
    def config(self) -> ModelConfig:
        """The model's configuration."""
        return self._config

    @property
    def info(self) -> EngineInfo:
        """What actually runs."""
        return self._runner.info

    @property
    def capabilities(self) -> frozenset[str]:
        """What the loaded parts allow; no `streaming`: its attention is joint in space and time."""
        found = set()
        if "predictor" in self._parts:
            found.add("embed")
        if "text" in self._parts:
            found.add("encode_text")
            if self._nearest:
                found.add("generate")
        if {"predictor", "text"} <= self._parts:
            found.add("score")
        return frozenset(found)

    def encode(self, clips: Sequence[Clip], states: Sequence[Any]) -> list[EncodedClip]:
        """X-Encoder: clips of equal length in one batch. One image counts as a still clip."""
        check_clips(self._config, clips, states)
        groups: dict[int, list[int]] = {}
        for index, clip in enumerate(clips):
            groups.setdefault(len(clip.frames), []).append(index)
        found: dict[int, EncodedClip] = {}
        for frames, members in groups.items():
            batch = np.stack([self._whole(clips[index].frames) for index in members])
            tokens = self._runner.run("vision", {"frames": batch})["tokens"]
            expected = self._sizes.tokens(frames)
            if tokens.shape[1] != expected:
                raise ModelError(f"X-Encoder gave {tokens.shape[1]} tokens, expected {expected}")
            rows = list(tokens)
            self._runner.keep(tokens, rows)
            for index, row in zip(members, rows, strict=True):
                found[index] = EncodedClip(row, None)
        return [found[index] for index in range(len(clips))]

    def embed(self, tokens: Sequence[NDArray[np.float32]], query: str) -> NDArray[np.float32]:
        """Predictor: [B, D] float32, norm 1; clips of equal length in one batch."""
        result = np.zeros((len(tokens), self._config.dim), np.float32)
        hidden = self._query(query)
        mask = np.ones(len(hidden), np.int64)
        if self._runner.fixed_shapes:
            # Every length of a question would be another graph; padding is masked.
            missing = padded_length(len(hidden), self._sizes.query_length) - len(hidden)
            hidden = np.pad(hidden, ((0, missing), (0, 0)))
            mask = np.pad(mask, (0, missing))
        groups: dict[int, list[int]] = {}
        for index, rows in enumerate(tokens):
            groups.setdefault(len(rows), []).append(index)
        for members in groups.values():
            batch = len(members)
            inputs = {
                "tokens": self._runner.stack([tokens[index] for index in members]),
                "query": np.repeat(hidden[None], batch, axis=0),
                "query_mask": np.repeat(mask[None], batch, axis=0),
            }
            result[members] = unit_rows(self._runner.run("predictor", inputs)["vector"])
        return result

    def encode_text(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Y-Encoder: [len(texts), D] float32, norm 1."""
        if "text" not in self._parts:
            raise ModelError(f"model '{self._config.name}' was loaded without its part 'text'")
        found = {text: self._texts.get(text) for text in dict.fromkeys(texts)}
        missing = [text for text, vector in found.items() if vector is None]
        for start in range(0, len(missing), _TEXT_BATCH):
            chunk = missing[start : start + _TEXT_BATCH]
            ids, mask = self._text_ids.padded(chunk)
            if self._runner.fixed_shapes:
                full = padded_length(ids.shape[1], self._sizes.text_length)
                ids, mask = (np.pad(a, ((0, 0), (0, full - ids.shape[1]))) for a in (ids, mask))
            inputs = {"input_ids": ids, "attention_mask": mask}
            vectors = unit_rows(self._runner.run("text", inputs)["vector"])
            for text, vector in zip(chunk, vectors, strict=True):
                found[text] = vector
                self._texts.put(text, vector)
        rows = [found[text] for text in texts]
        return np.array(rows, np.float32).reshape(len(texts), self._config.dim)

    def score(
        self, tokens: NDArray[np.float32], question: str, candidates: Sequence[str]
    ) -> NDArray[np.float32]:
        """Cosine of each candidate with the predicted answer: [len(candidates)] float32."""
        if not candidates:
            return np.zeros(0, np.float32)
        answer = self.embed([tokens], question)[0]
        return np.clip(self.encode_text(candidates) @ answer, -1.0, 1.0)

    def generate(self, embeddings: NDArray[np.float32]) -> list[Generated]:
        """The nearest text of the vocabulary: no Y-Decoder of this size is public."""
        return self._nearest.generate(embeddings)

    def known_texts(self) -> tuple[list[str], NDArray[np.float32]]:
        """The vocabulary's texts and their embeddings [N, D]."""
        known = self._nearest.known()
        return list(known.texts), known.embeddings

    def close(self) -> None:
        """Free the runner and the caches."""
        self._runner.close()
        self._texts.clear()
        self._queries.clear()

    def _whole(self, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
        # V-JEPA 2 drops frames that do not fill a tubelet; the newest one is the last to lose.
        missing = -len(frames) % self._sizes.tubelet
        if missing:
            frames = np.concatenate([frames, np.repeat(frames[-1:], missing, axis=0)])
        return frames

    def _query(self, query: str) -> NDArray[np.float32]:
        """Embedded query tokens [L, hidden]: padding is masked in the paper, so none is needed."""
        if self._table is None:
            raise ModelError(f"model '{self._config.name}' was loaded without its part 'predictor'")
        found = self._queries.get(query)
        if found is None:
            found = self._table.rows(np.asarray(self._query_ids.ids(query), np.int64))
            self._queries.put(query, found)
        return found
