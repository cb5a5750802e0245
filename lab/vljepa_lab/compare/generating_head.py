"""The other way to answer: write the answer word by word from visual tokens and question.

A causal transformer over [question, answer] that attends to the visual tokens in each layer; the
question's positions see each other both ways (a prefix language model). Keys and values are kept
while it writes, so a further word costs one position. Needs torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from vljepa_ros.models.vl_jepa.nano_model import mlp
from vljepa_ros.models.vl_jepa.nano_text import DecoderWords


@dataclass(frozen=True)
class GeneratingSizes:
    """positions: longest question; answer: longest answer in words, its end included."""

    dim: int = 192
    depth: int = 5
    heads: int = 6
    positions: int = 72
    answer: int = 20


class _Layer(nn.Module):
    def __init__(self, dim: int, heads: int, visual_dim: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_self, self.norm_cross = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.norm_mlp = nn.LayerNorm(dim)
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.query, self.seen = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.key_value = nn.Linear(visual_dim, 2 * dim)
        self.mlp = mlp(dim, 3)

    def _split(self, x: Tensor) -> Tensor:
        return x.reshape(x.shape[0], x.shape[1], self.heads, -1).transpose(1, 2)

    def _joined(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2).flatten(2)

    def looked(self, visual: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of the visual tokens: the same for all words."""
        key, value = self.key_value(visual).chunk(2, -1)
        return self._split(key), self._split(value)

    def forward(
        self, x: Tensor, visual: tuple[Tensor, Tensor], mask: Tensor | None, past: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        query, key, value = self.qkv(self.norm_self(x)).chunk(3, -1)
        kept = torch.stack([self._split(key), self._split(value)])
        kept = kept if past is None else torch.cat([past, kept], 3)
        own = functional.scaled_dot_product_attention(
            self._split(query), kept[0], kept[1], attn_mask=mask
        )
        x = x + self.out(self._joined(own))
        seen = functional.scaled_dot_product_attention(
            self._split(self.query(self.norm_cross(x))), *visual
        )
        x = x + self.seen(self._joined(seen))
        return x + self.mlp(self.norm_mlp(x)), kept


class GeneratingHead(nn.Module):
    """`words` of the answers come out; word 0 is padding, 1 the end."""

    def __init__(self, sizes: GeneratingSizes, visual_dim: int, query_dim: int, words: int) -> None:
        super().__init__()
        dim = sizes.dim
        self.longest = sizes.answer
        self.query_in = nn.Linear(query_dim, dim)
        self.position = nn.Parameter(torch.randn(1, sizes.positions, dim) * 0.02)
        self.begin = nn.Parameter(torch.randn(1, 1, dim) * 0.02)
        self.answer_position = nn.Parameter(torch.randn(1, sizes.answer, dim) * 0.02)
        self.words = nn.Embedding(words, dim)
        nn.init.normal_(self.words.weight, std=0.05)
        self.layers = nn.ModuleList(
            [_Layer(dim, sizes.heads, visual_dim) for _ in range(sizes.depth)]
        )
        self.norm = nn.LayerNorm(dim)

    def _each(self) -> list[_Layer]:
        return cast("list[_Layer]", list(self.layers))

    def _text(self, ids: Tensor) -> Tensor:
        """Inputs of the answer's positions: a beginning, then the words so far."""
        begin = self.begin.expand(len(ids), -1, -1)
        return torch.cat([begin, self.words(ids)], 1) + self.answer_position[:, : ids.shape[1] + 1]

    def forward(self, visual: Tensor, query: Tensor, valid: Tensor, ids: Tensor) -> Tensor:
        """Teacher forcing: logits [B, L, words] of the answers ids [B, L]; visual [B, N, D]."""
        count, length = query.shape[1], ids.shape[1]
        asked = self.query_in(query) + self.position[:, :count]
        x = torch.cat([asked, self._text(ids[:, :-1])], 1)
        row = torch.arange(count + length, device=x.device)
        # the question sees itself, the answer sees the question and what stands before
        past = (row[None, :] <= row[:, None]) & (row[:, None] >= count)
        allowed = (row[None, :] < count) | past
        real = torch.cat([valid.bool(), valid.new_ones(len(ids), length).bool()], 1)
        mask = allowed[None, None] & real[:, None, None, :]
        for layer in self._each():
            x, _ = layer(x, layer.looked(visual), mask, None)
        return functional.linear(self.norm(x[:, count:]), self.words.weight)

    @torch.no_grad()
    def write(self, visual: Tensor, query: Tensor) -> list[list[int]]:
        """Word ids of each answer, greedy, the end included; questions of equal length."""
        x = self.query_in(query) + self.position[:, : query.shape[1]]
        layers = self._each()
        seen = [layer.looked(visual) for layer in layers]
        past: list[Tensor | None] = []
        for layer, own in zip(layers, seen, strict=True):
            x, kept = layer(x, own, None, None)
            past.append(kept)
        ids = torch.zeros(len(query), 0, dtype=torch.long)
        running = torch.ones(len(query), dtype=torch.bool)
        while running.any() and ids.shape[1] < self.longest:
            x = self._text(ids)[:, -1:]
            for place, layer in enumerate(layers):
                x, past[place] = layer(x, seen[place], None, past[place])
            word = functional.linear(self.norm(x[:, -1]), self.words.weight).argmax(-1)
            ids = torch.cat([ids, torch.where(running, word, DecoderWords.END)[:, None]], 1)
            running &= word != DecoderWords.END
        return [[int(word) for word in row] for row in ids]
