"""Queries and texts of the paper-sized VL-JEPA as token ids, and its token table. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.models.config import ModelConfig, ModelError
from vljepa_ros.models.tokenizer import TextError, encode_ids, load_tokenizer, pad_ids

_PREFIX = "ids:"


class PaperTokenizer:
    """Texts to ids.

    A text `ids: 12 7 3` gives the ids themselves: the only form without a tokenizer.
    """

    def __init__(self, config: ModelConfig, part: str, length: int, cut: bool = False) -> None:
        """Read the folder's `tokenizer.json` under the name `part`, if it has one.

        Args:
            config: The model's.
            part: `query_tokenizer` or `text_tokenizer`.
            length: Most tokens of a text.
            cut: Longer texts are cut, as in training, instead of refused.

        Raises:
            ModelError: The file is missing or broken.
        """
        self._part = part
        self._model = config.name
        self._length = length
        self._tokenizer = (
            load_tokenizer(config.path(part), length if cut else 0)
            if part in config.files
            else None
        )

    def ids(self, text: str) -> list[int]:
        """Ids of one text, at least one.

        Raises:
            ModelError: No tokenizer and no ids, or too long a text.
        """
        if text.startswith(_PREFIX):
            words = text[len(_PREFIX) :].split()
            if not words or not all(word.isdecimal() for word in words):
                raise ModelError(f"{text!r}: allowed after '{_PREFIX}': numbers from 0 up")
            if len(words) > self._length:
                raise TextError(f"{len(words)} token ids, allowed: {self._length}")
            return [int(word) for word in words]
        if self._tokenizer is None:
            raise ModelError(
                f"model '{self._model}' has no {self._part}: give token ids as '{_PREFIX} 12 7 3', "
                "or convert it again with a tokenizer"
            )
        (found,) = encode_ids(self._tokenizer, [text], self._length)
        if not found:
            raise TextError("an empty text has no tokens")
        return found

    def padded(self, texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Ids and mask (1: token), each [len(texts), L] int64, padded on the right with 0."""
        return pad_ids([self.ids(text) for text in texts])


class TokenTable:
    """[words, hidden] in fp32, fp16, or bf16 (numpy has none: kept as its 16 bits)."""

    def __init__(self, table: NDArray[np.generic]) -> None:
        """Take a table of float32, float16, or uint16 (the bits of bf16)."""
        if table.ndim != 2 or str(table.dtype) not in ("float32", "float16", "uint16"):
            raise ModelError(
                f"a token table is [words, hidden] in float32, float16 or uint16 (bf16), "
                f"this is {list(table.shape)} {table.dtype}"
            )
        self._table = table

    @classmethod
    def load(cls, file: Path) -> TokenTable:
        """Read `table` of a safetensors file.

        Raises:
            ModelError: Missing or broken.
        """
        from safetensors.numpy import load_file

        try:
            return cls(load_file(str(file))["table"])
        except (OSError, KeyError) as error:
            raise ModelError(f"token table '{file}' cannot be read: {error}") from error

    @property
    def words(self) -> int:
        """Number of rows."""
        return int(self._table.shape[0])

    def rows(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """[L] ids to [L, hidden] float32.

        Raises:
            ModelError: An id outside of the table.
        """
        if ids.size and (ids.min() < 0 or ids.max() >= self.words):
            raise ModelError(
                f"token id {int(ids.max())} is outside of the table; allowed: 0..{self.words - 1}: "
                "is this the Predictor's own tokenizer?"
            )
        found = self._table[ids]
        if found.dtype == np.uint16:
            return (found.astype(np.uint32) << 16).view(np.float32)
        return found.astype(np.float32)
