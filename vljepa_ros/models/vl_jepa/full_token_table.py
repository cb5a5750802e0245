"""The Predictor's token table: query ids to query embeddings. No torch, and part of no graph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.models.config import ModelError


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

        :raises ModelError: missing or broken.
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

        :raises ModelError: an id outside of the table.
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
