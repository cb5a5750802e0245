"""Token ids for a dual encoder's text tower, without transformers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.models.config import ModelError


class TextTokens:
    """Turns texts into padded ids.

    CLIP pads to the longest text of a call, because its pooled token is the first end-of-text and
    its attention is causal; SigLIP was trained on texts padded to a fixed length that are not
    masked, so another length would give another embedding.
    """

    def __init__(
        self,
        file: Path,
        *,
        length: int,
        pad_id: int,
        fixed_length: bool,
        lowercase: bool,
        pad_left: bool = False,
    ) -> None:
        """Read `tokenizer.json`.

        :param length: most tokens of a text, special tokens included; longer texts are cut.
        :raises ModelError: no such file, or not a tokenizer.
        """
        from tokenizers import Tokenizer

        if not file.is_file():
            raise ModelError(
                f"'{file}' is missing: a model that embeds texts needs its tokenizer.json"
            )
        try:
            tokenizer: Any = Tokenizer.from_file(str(file))
        except Exception as error:  # the Rust side raises plain Exception
            raise ModelError(f"'{file}' is not a tokenizer: {error}") from error
        tokenizer.no_padding()
        tokenizer.enable_truncation(length)
        self._tokenizer = tokenizer
        self._length = length
        self._pad_id = pad_id
        self._fixed = fixed_length
        self._lowercase = lowercase
        self._pad_left = pad_left

    def __call__(self, texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Ids and mask (1: token, 0: padding), each [len(texts), L] int64."""
        texts = [text.lower() for text in texts] if self._lowercase else list(texts)
        rows = [encoding.ids for encoding in self._tokenizer.encode_batch(texts)]
        width = self._length if self._fixed else max((len(row) for row in rows), default=0)
        ids = np.full((len(rows), width), self._pad_id, np.int64)
        mask = np.zeros((len(rows), width), np.int64)
        for i, row in enumerate(rows):
            where = slice(width - len(row), width) if self._pad_left else slice(0, len(row))
            ids[i, where] = row
            mask[i, where] = 1
        return ids, mask
