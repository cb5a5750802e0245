"""Text in and out of a VL-JEPA without torch: WordPiece ids, and words of the Y-Decoder."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from vljepa_ros.models.config import ModelError
from vljepa_ros.models.tokenizer import encode_ids, load_tokenizer

MAX_TOKENS = 64
"""Longest text in word pieces, with the two special ones."""

_WORD = re.compile(r"[a-z0-9']+|[^\sa-z0-9']")


class TextTokenizer:
    """WordPiece tokenizer of a model folder (`tokenizer.json`)."""

    def __init__(self, file: Path, words: int = 0) -> None:
        """Load; words: rows of the trunk's token table, 0: unknown.

        Raises:
            ModelError: Not a tokenizer file, or that of another model.
        """
        self._tokenizer = load_tokenizer(file, noun="tokenizer file", words=words)

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Word-piece ids of each text, special ones included.

        Raises:
            TextError: More than MAX_TOKENS.
        """
        return encode_ids(self._tokenizer, texts, MAX_TOKENS)


def split_words(text: str) -> list[str]:
    """Lower-case words and punctuation marks."""
    return _WORD.findall(text.lower())


class DecoderWords:
    """The Y-Decoder's own word list: index 0 is padding, 1 the end of the text."""

    PAD, END = 0, 1

    def __init__(self, words: Sequence[str]) -> None:
        self.words = tuple(words)
        self._index = {word: index + 2 for index, word in enumerate(self.words)}

    def __len__(self) -> int:
        return len(self.words) + 2

    @classmethod
    def load(cls, file: Path) -> DecoderWords:
        """Read a JSON list of words.

        Raises:
            ModelError: Not such a list.
        """
        try:
            words = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise ModelError(f"'{file}' is not a JSON list of words: {error}") from error
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise ModelError(f"'{file}' must hold a JSON list of strings")
        return cls(words)

    def ids(self, text: str) -> list[int]:
        """Word ids and the end mark; words that the list lacks are left out."""
        return [self._index[w] for w in split_words(text) if w in self._index] + [self.END]

    def text(self, ids: Sequence[int]) -> str:
        """The words up to the end mark, punctuation attached to the word before."""
        out = ""
        for index in ids:
            if index == self.END:
                break
            if self.END < index < len(self):
                word = self.words[index - 2]
                out += word if word in ",.;:?!" or not out else " " + word
        return out
