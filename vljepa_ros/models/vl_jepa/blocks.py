"""Building blocks of the transformers and convolutions. Needs torch."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class Attention(nn.Module):
    """Multi-head attention of [B, N, dim] on itself or on a context [B, M, context_dim].

    mask: boolean, broadcastable to [B, heads, N, M], True where attention is allowed. With `shared`
    > 1 each context serves so many successive rows of x (questions about the same clip): [B /
    shared, M, ...].
    """

    def __init__(self, dim: int, heads: int, context_dim: int | None = None) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"dim {dim} is not a multiple of heads {heads}")
        self.heads = heads
        self.query = nn.Linear(dim, dim)
        self.key_value = nn.Linear(context_dim or dim, 2 * dim)
        self.out = nn.Linear(dim, dim)

    def forward(
        self,
        x: Tensor,
        context: Tensor | None = None,
        mask: Tensor | None = None,
        shared: int = 1,
    ) -> Tensor:
        """Shape of `x` out."""
        if shared > 1:
            rows = x.reshape(x.shape[0] // shared, shared * x.shape[1], x.shape[2])
            return self.forward(rows, context, mask).reshape(x.shape)
        batch, count, dim = x.shape
        context = x if context is None else context
        query = self.query(x).reshape(batch, count, self.heads, -1).transpose(1, 2)
        both = self.key_value(context).reshape(batch, context.shape[1], 2, self.heads, -1)
        key, value = both.permute(2, 0, 3, 1, 4).unbind(0)
        seen = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        out: Tensor = self.out(seen.transpose(1, 2).reshape(batch, count, dim))
        return out


def mlp(dim: int, expansion: int) -> nn.Sequential:
    """Two linear layers with GELU between."""
    return nn.Sequential(
        nn.Linear(dim, dim * expansion), nn.GELU(), nn.Linear(dim * expansion, dim)
    )


class Block(nn.Module):
    """Pre-norm transformer block; with `context_dim` it also attends to a context."""

    def __init__(
        self, dim: int, heads: int, context_dim: int | None = None, expansion: int = 3
    ) -> None:
        super().__init__()
        self.norm_self = nn.LayerNorm(dim)
        self.self_attention = Attention(dim, heads)
        self.cross_attention = Attention(dim, heads, context_dim) if context_dim else None
        self.norm_cross = nn.LayerNorm(dim) if context_dim else None
        self.norm_mlp = nn.LayerNorm(dim)
        self.mlp = mlp(dim, expansion)

    def forward(
        self,
        x: Tensor,
        context: Tensor | None = None,
        mask: Tensor | None = None,
        shared: int = 1,
    ) -> Tensor:
        """[B, N, dim] -> [B, N, dim]; `mask` is that of the self-attention, `shared` as in
        Attention.
        """
        x = x + self.self_attention(self.norm_self(x), mask=mask)
        if self.cross_attention is not None and self.norm_cross is not None:
            x = x + self.cross_attention(self.norm_cross(x), context, shared=shared)
        out: Tensor = x + self.mlp(self.norm_mlp(x))
        return out


class ResidualConv(nn.Module):
    """Pre-norm residual block of two 3x3 convolutions on [B, channels, H, W].

    BatchNorm sees frames of many scenes in dense pre-training only; after that its statistics stay
    fixed (`training/dense.py`), because frames of one window are correlated, and it costs nothing
    at run time.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Same shape out."""
        out: Tensor = x + self.second(torch.relu(self.first(torch.relu(self.norm(x)))))
        return out
