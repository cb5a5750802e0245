"""What the engine needs of a token VLM: visual tokens once, then prompts on them."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray


class TokenVlm(Protocol):
    """One model, ready on its device."""

    end: int
    """Id of the token that ends an answer."""

    def see(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Vision tower: [T, S, S, 3] uint8 RGB to visual tokens [N, D]."""

    def read(self, tokens: NDArray[np.float32], prompt: str) -> tuple[Any, Any, int]:
        """Prompt on visual tokens: logits of the next token [words], the cache, and the next
        position."""

    def go_on(self, ids: Any, cache: Any, position: int) -> Any:
        """Logits [B, L, words] after the ids [B, L] behind a cache of B rows; the cache grows."""

    def to_ids(self, text: str) -> list[int]:
        """Tokens of an answer, without special ones."""

    def to_text(self, ids: list[int]) -> str:
        """The answer that ids spell."""
