"""Token ids from the `tokenizer.json` of a model folder, and rows of them as arrays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from vljepa_ros.models.config import ModelError

_UNKNOWN = "[UNK]"


class TextError(ModelError):
    """A text that the model cannot read."""

    code = "BAD_REQUEST"


def load_tokenizer(
    file: Path, max_length: int = 0, noun: str = "tokenizer", words: int = 0
) -> Tokenizer:
    """Read a tokenizer that never pads.

    Args:
        file: A `tokenizer.json`.
        max_length: Most tokens of a text, special ones included; longer texts are cut. 0: no limit.
        noun: What the file should be, for the message.
        words: Rows of the model's token table, 0: unknown. The tokenizer may have more, as long as
            no text uses them.

    Raises:
        ModelError: Not a tokenizer, or one of another model.
    """
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # the Rust side raises plain Exception
        raise ModelError(f"'{file}' is not a {noun}: {error}") from error
    own = tokenizer.get_vocab_size(with_added_tokens=False)
    if words and own > words:
        raise ModelError(
            f"'{file}' knows {own} tokens, the model's table has {words}: it is the tokenizer of "
            "another model"
        )
    tokenizer.no_padding()
    tokenizer.no_truncation()
    if max_length:
        tokenizer.enable_truncation(max_length)
    return tokenizer


def encode_ids(
    tokenizer: Tokenizer, texts: Sequence[str], longest: int, words: int = 0
) -> list[list[int]]:
    """Ids of each text, special ones included.

    Args:
        tokenizer: From `load_tokenizer`.
        texts: To encode.
        longest: Most tokens that the model reads; longer texts are refused, not cut.
        words: Rows of the model's token table, 0: unknown.

    Raises:
        TextError: A longer text, or one with a token that the model lacks.
    """
    rows = [encoding.ids for encoding in tokenizer.encode_batch(list(texts))]
    for text, row in zip(texts, rows, strict=True):
        if len(row) > longest:
            raise TextError(
                f"a text has {len(row)} tokens, allowed: {longest} with the special ones; it "
                f"begins '{text[:40]}'"
            )
        if words and row and max(row) >= words:
            raise TextError(
                f"'{text[:40]}' has the token {max(row)}, which the model lacks; allowed: 0 to "
                f"{words - 1}"
            )
    return rows


def known_words(tokenizer: Tokenizer, text: str) -> float:
    """Share of a text's words that are one token, 0..1: small for nonsense and other languages."""
    encoding = tokenizer.encode(text, add_special_tokens=False)
    pieces = Counter(encoding.word_ids)
    tokens = zip(encoding.word_ids, encoding.tokens, strict=True)
    known = sum(pieces[word] == 1 and token != _UNKNOWN for word, token in tokens)
    return known / max(1, len(pieces))


def pad_ids(
    rows: Sequence[Sequence[int]], length: int = 0, pad_id: int = 0, left: bool = False
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of ids as one array.

    Args:
        rows: The ids of each text.
        length: Tokens of every row, 0: as many as the longest has.
        pad_id: Id of a padding token.
        left: Whether the padding comes before the text.

    Returns:
        Ids and validity (1: token, 0: padding), each [len(rows), length] int64.
    """
    length = length or max(map(len, rows), default=0)
    ids = np.full((len(rows), length), pad_id, np.int64)
    valid = np.zeros_like(ids)
    for index, row in enumerate(rows):
        place = slice(length - len(row), length) if left else slice(len(row))
        ids[index, place] = row
        valid[index, place] = 1
    return ids, valid
