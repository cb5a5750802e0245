"""Nano's text side: the Y-Encoder and the Y-Decoder. Needs torch.

The Y-Encoder is a frozen BERT-style trunk and a trained head into the shared space; the trunk also
embeds the words of a query for the Predictor. The Y-Decoder writes text from one embedding, with a
key-value cache for generation.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from vljepa_ros.models.vl_jepa.nano_config import TextSizes, YDecoderSizes


class _TrunkLayer(nn.Module):
    """Post-norm BERT layer."""

    def __init__(self, sizes: TextSizes) -> None:
        super().__init__()
        self.heads = sizes.heads
        self.qkv = nn.Linear(sizes.dim, 3 * sizes.dim)
        self.out = nn.Linear(sizes.dim, sizes.dim)
        self.norm_attention = nn.LayerNorm(sizes.dim, eps=1e-12)
        self.up = nn.Linear(sizes.dim, sizes.hidden)
        self.down = nn.Linear(sizes.hidden, sizes.dim)
        self.norm_mlp = nn.LayerNorm(sizes.dim, eps=1e-12)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        batch, count, dim = x.shape
        qkv = self.qkv(x).reshape(batch, count, 3, self.heads, -1)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        seen = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        x = self.norm_attention(x + self.out(seen.transpose(1, 2).reshape(batch, count, dim)))
        out: Tensor = self.norm_mlp(x + self.down(functional.gelu(self.up(x))))
        return out


class TextTrunk(nn.Module):
    """BERT encoder (token types folded into the positions) with masked mean pooling."""

    def __init__(self, sizes: TextSizes) -> None:
        super().__init__()
        self.words = nn.Embedding(sizes.words, sizes.dim)
        self.positions = nn.Parameter(torch.zeros(sizes.positions, sizes.dim))
        self.norm = nn.LayerNorm(sizes.dim, eps=1e-12)
        self.layers = nn.ModuleList([_TrunkLayer(sizes) for _ in range(sizes.depth)])

    def forward(self, ids: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens [B, L, dim] and the pooled text [B, dim] of norm 1.

        Ids and valid are [B, L] int64; valid is 1 for a token, 0 for padding.
        """
        x = self.norm(self.words(ids) + self.positions[: ids.shape[1]])
        mask = valid.bool()[:, None, None, :]
        for layer in self.layers:
            x = layer(x, mask)
        weight = valid[..., None].to(x.dtype)
        pooled = (x * weight).sum(1) / weight.sum(1)
        return x, functional.normalize(pooled, dim=-1)


class TextHead(nn.Module):
    """Pooled trunk output to the shared space: a linear path and a small non-linear one."""

    def __init__(self, sizes: TextSizes, out_dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(sizes.dim, out_dim)
        self.first = nn.Linear(sizes.dim, sizes.head_hidden)
        self.second = nn.Linear(sizes.head_hidden, out_dim)

    def forward(self, pooled: Tensor) -> Tensor:
        """[B, dim] -> [B, out_dim], norm 1."""
        x = self.linear(pooled) + self.second(functional.gelu(self.first(pooled)))
        return functional.normalize(x.float(), dim=-1)


class _Layer(nn.Module):
    """Pre-norm causal layer that returns its keys and values."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_attention = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)
        self.norm_mlp = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, dim * 3), nn.GELU(), nn.Linear(dim * 3, dim))

    def forward(
        self, x: Tensor, cache: Tensor | None, mask: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        batch, count, dim = x.shape
        qkv = self.qkv(self.norm_attention(x)).reshape(batch, count, 3, self.heads, -1)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        kept = torch.stack([key, value])
        if cache is not None:
            kept = torch.cat([cache, kept], 3)
        seen = functional.scaled_dot_product_attention(query, kept[0], kept[1], attn_mask=mask)
        x = x + self.out(seen.transpose(1, 2).reshape(batch, count, dim))
        return x + self.mlp(self.norm_mlp(x)), kept


class YDecoder(nn.Module):
    """Words 0 and 1 are padding and end of text."""

    def __init__(self, sizes: YDecoderSizes, in_dim: int) -> None:
        super().__init__()
        self.prefix_count = sizes.prefix
        self.prefix = nn.Linear(in_dim, sizes.prefix * sizes.dim)
        self.words = nn.Embedding(sizes.words, sizes.dim)
        self.position = nn.Parameter(torch.randn(sizes.prefix + sizes.positions, sizes.dim) * 0.02)
        self.layers = nn.ModuleList([_Layer(sizes.dim, sizes.heads) for _ in range(sizes.depth)])
        self.norm = nn.LayerNorm(sizes.dim)
        nn.init.normal_(self.words.weight, std=0.05)

    def start(self, embedding: Tensor) -> Tensor:
        """[B, in_dim] -> the prefix positions [B, prefix, dim]."""
        made: Tensor = self.prefix(embedding).reshape(embedding.shape[0], self.prefix_count, -1)
        return made + self.position[: self.prefix_count]

    def run(self, x: Tensor, cache: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Logits of the next words [B, N, words], and the grown cache.

        X is [B, N, dim], the cache [layers, 2, B, heads, M, head_dim].

        Without a cache each position sees those before it; behind a cache there is one only.
        """
        mask, kept = None, []
        if cache is None:
            row = torch.arange(x.shape[1], device=x.device)
            mask = row[None, :] <= row[:, None]
        for index, layer in enumerate(self.layers):
            x, one = layer(x, None if cache is None else cache[index], mask)
            kept.append(one)
        return functional.linear(self.norm(x), self.words.weight), torch.stack(kept)

    def forward(self, embedding: Tensor, ids: Tensor) -> Tensor:
        """Teacher forcing: logits [B, L, words] that predict ids [B, L]."""
        text = self.words(ids[:, :-1]) + self.position[self.prefix_count :][: ids.shape[1] - 1]
        x = torch.cat([self.start(embedding), text], 1)
        return self.run(x)[0][:, self.prefix_count - 1 :]


class DecoderPrefill(nn.Module):
    """The graph that starts a text."""

    def __init__(self, decoder: YDecoder) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, embedding: Tensor) -> tuple[Tensor, Tensor]:
        """Embedding [B, in_dim] -> logits [B, words] of the first word, cache."""
        logits, cache = self.decoder.run(self.decoder.start(embedding))
        return logits[:, -1], cache


class DecoderStep(nn.Module):
    """The graph that continues a text by one word."""

    def __init__(self, decoder: YDecoder) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, word: Tensor, position: Tensor, cache: Tensor) -> tuple[Tensor, Tensor]:
        """Word [B], position [1] (0: the first word), cache -> logits [B, words], grown cache."""
        place = self.decoder.position[position + self.decoder.prefix_count]
        x = (self.decoder.words(word) + place)[:, None]
        logits, grown = self.decoder.run(x, cache)
        return logits[:, -1], grown
