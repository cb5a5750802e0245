"""What the tiny checkpoints share: words, tokenizers, images, files in the hub's format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

WORDS = (
    *("a", "an", "the", "of", "in", "on", "is", "are", "not", "no", "there", "colour", "photo"),
    *("image", "video", "open", "closed", "door", "cup", "red", "blue", "person", "walking"),
    *("table", "robot", "arm", "moving", "yes", "what", "how", "many", "describe", "happening"),
    *("one", "two", "three", ".", "?", ",", "{}"),
)


def word_tokenizer(specials: list[str], eos: str, bos: str = "", lower: bool = True) -> Tokenizer:
    """A word-level tokenizer that ends every text with `eos`."""
    vocabulary = {word: i for i, word in enumerate([*specials, *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=specials[-1]))
    if lower:
        tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    ends = [(token, vocabulary[token]) for token in (bos, eos) if token]
    if ends:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A {eos}".strip(), special_tokens=ends
        )
    tokenizer.decoder = decoders.Fuse()
    return tokenizer


def save_tokenizer(folder: Path, tokenizer: Tokenizer, **options: Any) -> None:
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **options).save_pretrained(
        folder
    )


def image(height: int, width: int, seed: int = 0) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Noise over a ramp: sharp edges show every difference of a filter."""
    rng = np.random.default_rng(seed)
    ramp = np.linspace(0, 200, width)[None, :, None] + rng.integers(0, 56, (height, width, 3))
    return ramp.astype(np.uint8)


def set_field(folder: Path, file: str, **fields: Any) -> None:
    """Change fields of a JSON file."""
    path = folder / file
    raw = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps({**raw, **fields}))
