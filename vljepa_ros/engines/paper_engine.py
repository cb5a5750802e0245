"""Runs a VL-JEPA of the paper's size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.engines.part_runner import PartRunner
from vljepa_ros.engines.protocol import Clip, EncodedClip, check_clips
from vljepa_ros.engines.text_embeddings import ShapeRanges, unit_rows
from vljepa_ros.engines.vl_jepa_engine import VlJepaEngine, by_length
from vljepa_ros.models.config import ModelConfig, ModelError
from vljepa_ros.models.parts import Part
from vljepa_ros.models.vl_jepa.paper_config import PaperSizes, paper_parts
from vljepa_ros.models.vl_jepa.paper_text import PaperTokenizer, TokenTable

_TEXT_BATCH = 32


class PaperEngine(VlJepaEngine):
    """Runs the paper's size: joint attention in space and time, so no `streaming`.

    As no Y-Decoder of this size is public, `generate` returns the nearest text of the vocabulary.
    """

    overflows_in_fp16 = True  # EmbeddingGemma's activations

    @staticmethod
    def parts_of(config: ModelConfig) -> tuple[Part, ...]:
        """X-Encoder, Predictor and Y-Encoder."""
        return paper_parts(config)

    @staticmethod
    def torch_modules(config: ModelConfig, parts: frozenset[str]) -> Mapping[str, Any]:
        """The trunks from transformers, each with its projection."""
        from vljepa_ros.models.vl_jepa.paper_model import load_modules, with_pixel_input

        return with_pixel_input(config, load_modules(config, parts))

    @staticmethod
    def shape_ranges(config: ModelConfig) -> ShapeRanges:
        """Ranges of the axes; frames in whole tubelets."""
        sizes, frames = PaperSizes.of(config), config.clip_frames
        tokens, whole = sizes.tokens(frames), frames + -frames % sizes.tubelet
        ranges = {
            "frames": (whole, whole, whole),
            "tokens": (tokens, tokens, tokens),
            "query": (1, 16, sizes.query_length),
            "length": (1, 32, sizes.text_length),
        }
        return ranges, {"text": (1, 64)}

    def __init__(
        self,
        config: ModelConfig,
        runner: PartRunner,
        parts: frozenset[str],
        table: TokenTable | None = None,
    ) -> None:
        """Use a runner that has `parts` (of `vision`, `predictor`, `text`).

        Args:
            config: The model's configuration.
            runner: Runs the parts.
            parts: The loaded parts.
            table: The token table; None: that of the folder.
        """
        super().__init__(config, runner, parts)
        self._sizes = PaperSizes.of(config)
        self.longest_query = self._sizes.query_length
        self._table = table
        if table is None and "predictor" in parts:
            self._table = TokenTable.load(config.path("token_table"))
        self._query_ids = PaperTokenizer(config, "query_tokenizer", self._sizes.query_length)
        self._text_ids = PaperTokenizer(config, "text_tokenizer", self._sizes.text_length)

    @property
    def capabilities(self) -> frozenset[str]:
        """What the loaded parts allow."""
        found = super().capabilities
        return found | {"generate"} if "encode_text" in found and self._vocabulary else found

    def encode(self, clips: Sequence[Clip], states: Sequence[Any]) -> list[EncodedClip]:
        """X-Encoder: clips [T, S, S, 3] of equal T in one batch. A single image is repeated."""
        check_clips(self._config, clips, states)
        found: dict[int, EncodedClip] = {}
        for members in by_length([clip.frames for clip in clips]):
            batch = np.stack([self._whole(clips[index].frames) for index in members])
            tokens: Any = self._runner.run("vision", {"frames": batch})["tokens"]
            expected = self._sizes.tokens(len(clips[members[0]].frames))
            if tokens.shape[1] != expected:
                raise ModelError(f"X-Encoder gave {tokens.shape[1]} tokens, expected {expected}")
            for index, row in zip(members, self._runner.split(tokens), strict=True):
                found[index] = EncodedClip(row, None)
        return [found[index] for index in range(len(clips))]

    def token_ids(self, query: str, texts: Sequence[str]) -> list[list[int]]:
        """Ids from the tokenizers of the Predictor and the Y-Encoder."""
        self._query_ids.ids(query)
        return [self._text_ids.ids(text) for text in texts]

    def _whole(self, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
        # V-JEPA 2 drops frames that do not fill a tubelet, which would be the newest one.
        missing = -len(frames) % self._sizes.tubelet
        return np.concatenate([frames, np.repeat(frames[-1:], missing, axis=0)])

    def _embed_queries(self, queries: list[str]) -> list[NDArray[np.float32]]:
        if self._table is None:
            raise ModelError(f"model '{self._config.name}' was loaded without its part 'predictor'")
        ids = (np.asarray(self._query_ids.ids(query), np.int64) for query in queries)
        return [self._table.rows(row) for row in ids]

    def _predict(
        self, clips: list[NDArray[np.float32]], rows: NDArray[np.int64], query: Any, valid: Any
    ) -> Any:
        tokens = self._runner.stack([clips[row] for row in rows])
        inputs = {"tokens": tokens, "query": query, "query_mask": valid.astype(np.int64)}
        return unit_rows(self._runner.run("predictor", inputs)["vector"])

    def _encode_texts(self, texts: list[str]) -> NDArray[np.float32]:
        if "text" not in self._parts:
            raise ModelError(f"model '{self._config.name}' was loaded without its part 'text'")
        found = []
        for start in range(0, len(texts), _TEXT_BATCH):
            ids, mask = (
                self._runner.pad_length(array, self._sizes.text_length)
                for array in self._text_ids.padded(texts[start : start + _TEXT_BATCH])
            )
            inputs = {"input_ids": ids, "attention_mask": mask}
            found.append(unit_rows(self._runner.run("text", inputs)["vector"]))
        return np.concatenate(found)
