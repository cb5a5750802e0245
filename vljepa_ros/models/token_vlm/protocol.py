"""What the engine needs of a token VLM: visual tokens once, then prompts on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.models.config import ModelConfig, ModelError
from vljepa_ros.models.tokenizer import load_tokenizer


class TokenVlm(Protocol):
    """One model, ready on its device.

    Attributes:
        tokenizer: The language model's.
        end: Id of the token that ends an answer.
    """

    tokenizer: VlmTokenizer
    end: int

    def encode_image(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Vision tower: [T, S, S, 3] uint8 RGB to visual tokens [N, D]."""

    def prefill(self, tokens: NDArray[np.float32], prompt: str) -> tuple[Any, Any, int]:
        """Prompt on visual tokens: logits of the next token [words], the cache, the position."""

    def decode(self, ids: Any, cache: Any, position: int) -> Any:
        """Logits [B, L, words] after the ids [B, L] behind a cache of B rows; the cache grows."""


class VlmTokenizer:
    """`tokenizer.json` without padding or cutting."""

    def __init__(self, config: ModelConfig, file: Path) -> None:
        """Read the file.

        Raises:
            ModelError: Missing or broken.
        """
        if not file.is_file():
            raise ModelError(f"model '{config.name}' needs '{file}'")
        self._tokenizer = load_tokenizer(file)
        self._file = file

    def ids(self, text: str, special: bool = False) -> list[int]:
        """Ids of a text; special: with the tokens that begin and end every text."""
        found: list[int] = self._tokenizer.encode(text, add_special_tokens=special).ids
        return found

    def text(self, ids: list[int]) -> str:
        """The text without special tokens."""
        return str(self._tokenizer.decode(ids, skip_special_tokens=True)).strip()

    def id_of(self, *names: str) -> int:
        """Id of the first of these tokens that exists.

        Raises:
            ModelError: None of them exists.
        """
        for name in names:
            found = self._tokenizer.token_to_id(name)
            if found is not None:
                return int(found)
        raise ModelError(f"'{self._file}' has none of the tokens {', '.join(names)}")
