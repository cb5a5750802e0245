"""A token VLM's own words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vljepa_ros.models.config import ModelConfig, ModelError


class Words:
    """`tokenizer.json` without padding or cutting."""

    def __init__(self, config: ModelConfig, file: Path) -> None:
        """Read the file.

        :raises ModelError: missing or broken.
        """
        from tokenizers import Tokenizer

        if not file.is_file():
            raise ModelError(f"model '{config.name}' needs '{file}'")
        try:
            self._tokenizer: Any = Tokenizer.from_file(str(file))
        except Exception as error:  # the Rust side raises plain Exception
            raise ModelError(f"'{file}' is not a tokenizer: {error}") from error
        self._file = file
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()

    def ids(self, text: str, special: bool = False) -> list[int]:
        """Ids of a text; special: with the tokens that begin and end every text."""
        found: list[int] = self._tokenizer.encode(text, add_special_tokens=special).ids
        return found

    def text(self, ids: list[int]) -> str:
        """The text without special tokens."""
        return str(self._tokenizer.decode(ids, skip_special_tokens=True)).strip()

    def id_of(self, *names: str) -> int:
        """Id of the first of these tokens that exists.

        :raises ModelError: none does.
        """
        for name in names:
            found = self._tokenizer.token_to_id(name)
            if found is not None:
                return int(found)
        raise ModelError(f"'{self._file}' has none of the tokens {', '.join(names)}")
