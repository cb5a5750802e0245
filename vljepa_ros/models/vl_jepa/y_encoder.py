"""Y-Encoder: a frozen BERT-style trunk and a trained head into the shared space.

The trunk also embeds the words of a query for the Predictor. Needs torch.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from vljepa_ros.models.vl_jepa.architecture import TextSizes


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
        query, key, value = (
            self.qkv(x).reshape(batch, count, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        )
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
        """ids, valid [B, L] int64 (valid: 1 real, 0 padding) -> tokens [B, L, dim], pooled [B, dim]
        (norm 1).
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
