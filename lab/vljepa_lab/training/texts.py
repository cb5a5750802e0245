"""Texts to the frozen trunk's outputs, each computed once. Needs torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from vljepa_ros.files import atomic_write
from vljepa_ros.models.tokenizer import pad_ids
from vljepa_ros.models.vl_jepa.nano_heads import TextTrunk
from vljepa_ros.models.vl_jepa.nano_text import TextTokenizer


class TextTable:
    """Token embeddings (for queries) and pooled embeddings (for answers) of texts, by text."""

    def __init__(self, trunk: TextTrunk, tokenizer: TextTokenizer) -> None:
        self._trunk, self._tokenizer = trunk.eval(), tokenizer
        self._tokens: dict[str, Tensor] = {}
        self._pooled: dict[str, Tensor] = {}

    def __len__(self) -> int:
        return len(self._pooled)

    def __contains__(self, text: object) -> bool:
        return text in self._pooled

    def save(self, file: Path) -> None:
        """Keep what was computed for the next run."""
        texts = list(self._pooled)
        content = {
            "texts": texts,
            # No tokens are kept of texts that are answers only.
            "lengths": [len(self._tokens.get(text, ())) for text in texts],
            "tokens": torch.cat([self._tokens[text] for text in texts if text in self._tokens]),
            "pooled": torch.stack([self._pooled[text] for text in texts]),
        }
        with atomic_write(file) as out:
            torch.save(content, out)

    def load(self, file: Path) -> None:
        """Take over what `save` wrote with the same trunk; nothing where the file is missing."""
        if not file.is_file():
            return
        content = torch.load(file, weights_only=True)
        pieces = content["tokens"].split(content["lengths"])
        self._tokens.update(
            (text, piece)
            for text, piece in zip(content["texts"], pieces, strict=True)
            if len(piece)
        )
        self._pooled.update(zip(content["texts"], content["pooled"].unbind(), strict=True))

    def forget(self) -> None:
        """Drop everything: the trunk has changed."""
        self._tokens.clear()
        self._pooled.clear()

    def add(self, texts: Iterable[str]) -> None:
        """Compute what is missing of texts that are asked, in batches of similar length."""
        self._compute([text for text in dict.fromkeys(texts) if text not in self._tokens], True)

    def add_answers(self, texts: Iterable[str]) -> None:
        """Compute what is missing of texts that are answers only: their tokens are not kept."""
        self._compute([text for text in dict.fromkeys(texts) if text not in self._pooled], False)

    def _compute(self, new: list[str], tokens_too: bool) -> None:
        if not new:
            return
        ids = self._tokenizer.ids(new)
        order = sorted(range(len(new)), key=lambda index: len(ids[index]))
        for start in range(0, len(order), 64):
            rows = order[start : start + 64]
            tokens, valid = pad_ids([ids[row] for row in rows])
            with torch.no_grad():
                hidden, pooled = self._trunk(torch.from_numpy(tokens), torch.from_numpy(valid))
            for place, row in enumerate(rows):
                if tokens_too:
                    self._tokens[new[row]] = hidden[place, : len(ids[row])].half()
                self._pooled[new[row]] = pooled[place]

    def queries(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Token embeddings [B, L, dim], zero-padded, and validity [B, L]."""
        self.add(texts)
        rows = [self._tokens[text] for text in texts]
        longest = max(len(row) for row in rows)
        hidden = torch.zeros(len(rows), longest, rows[0].shape[1])
        valid = torch.zeros(len(rows), longest)
        for index, row in enumerate(rows):
            hidden[index, : len(row)] = row
            valid[index, : len(row)] = 1
        return hidden, valid

    def answers(self, texts: Sequence[str]) -> Tensor:
        """Pooled embeddings [B, dim]."""
        self.add_answers(texts)
        return torch.stack([self._pooled[text] for text in texts])
