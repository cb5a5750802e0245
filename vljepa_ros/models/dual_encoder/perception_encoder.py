"""Perception Encoder: its two towers, with open_clip's and timm's names of their weights.

Bolya et al. 2025, arXiv 2504.13181.

timm has the image tower and open_clip the text tower; both need a torchvision built for exactly
this torch, which a robot often lacks. So the two are written out here; the tests hold them to
what open_clip computes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from vljepa_ros.models.dual_encoder.perception_encoder_config import PerceptionEncoderSizes


class ImageTower(nn.Module):
    """A ViT with rotary positions and attention pooling.

    [B, 3, S, S] float32 pixels to [B, D] features.
    """

    rotary: Tensor

    def __init__(self, sizes: PerceptionEncoderSizes) -> None:
        super().__init__()
        width = sizes.width
        self.patch_embed = nn.ModuleDict(
            {"proj": nn.Conv2d(3, width, sizes.patch, stride=sizes.patch, bias=False)}
        )
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width)) if sizes.class_token else None
        self.pos_embed = nn.Parameter(torch.zeros(1, sizes.positions, width))
        self.norm_pre = nn.LayerNorm(width)
        self.blocks = nn.ModuleList(
            _ImageBlock(width, sizes.heads, sizes.hidden) for _ in range(sizes.depth)
        )
        self.norm = nn.LayerNorm(width)
        self.attn_pool = _AttentionPool(width, sizes.pool_heads, sizes.pool_hidden)
        self.head = nn.Linear(width, sizes.dim)
        self.register_buffer("rotary", _rotary(sizes), persistent=False)

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Encode."""
        hidden = self.patch_embed["proj"](pixel_values).flatten(2).transpose(1, 2)
        if self.cls_token is not None:
            hidden = torch.cat((self.cls_token.expand(len(hidden), -1, -1), hidden), dim=1)
        hidden = self.norm_pre(hidden + self.pos_embed)
        for block in self.blocks:
            hidden = block(hidden, self.rotary)
        features: Tensor = self.head(self.attn_pool(self.norm(hidden)))
        return features


class _ImageBlock(nn.Module):
    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attn = nn.ModuleDict(
            {"qkv": nn.Linear(width, 3 * width), "proj": nn.Linear(width, width)}
        )
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, hidden), "fc2": nn.Linear(hidden, width)})
        self._heads = heads

    def forward(self, hidden: Tensor, rotary: Tensor) -> Tensor:
        batch, length, width = hidden.shape
        qkv = self.attn["qkv"](self.norm1(hidden))
        q, k, v = qkv.reshape(batch, length, 3, self._heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        q, k = _rotate(q, rotary), _rotate(k, rotary)
        seen = functional.scaled_dot_product_attention(q, k, v)
        hidden = hidden + self.attn["proj"](seen.transpose(1, 2).reshape(batch, length, width))
        return hidden + self.mlp["fc2"](functional.gelu(self.mlp["fc1"](self.norm2(hidden))))


class _AttentionPool(nn.Module):
    """One learnt query looks at all positions."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.latent = nn.Parameter(torch.zeros(1, 1, width))
        self.q = nn.Linear(width, width)
        self.kv = nn.Linear(width, 2 * width)
        self.proj = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, hidden), "fc2": nn.Linear(hidden, width)})
        self._heads = heads

    def forward(self, hidden: Tensor) -> Tensor:
        batch, length, width = hidden.shape
        q = self.q(self.latent).reshape(1, 1, self._heads, -1).transpose(1, 2)
        kv = self.kv(hidden).reshape(batch, length, 2, self._heads, -1).permute(2, 0, 3, 1, 4)
        k, v = kv.unbind(0)
        seen = functional.scaled_dot_product_attention(q.expand(batch, -1, -1, -1), k, v)
        pooled: Tensor = self.proj(seen.transpose(1, 2).reshape(batch, width))
        return pooled + self.mlp["fc2"](functional.gelu(self.mlp["fc1"](self.norm(pooled))))


class TextTower(nn.Module):
    """[B, L] ids to [B, D] features: a causal transformer, read at the end-of-text token.

    That is the greatest id.
    """

    def __init__(self, sizes: PerceptionEncoderSizes) -> None:
        super().__init__()
        width = sizes.text_width
        self.token_embedding = nn.Embedding(sizes.words, width)
        self.positional_embedding = nn.Parameter(torch.zeros(sizes.text_length, width))
        self.transformer = nn.ModuleDict(
            {
                "resblocks": nn.ModuleList(
                    _TextBlock(width, sizes.text_heads, sizes.text_hidden)
                    for _ in range(sizes.text_depth)
                )
            }
        )
        self.ln_final = nn.LayerNorm(width)
        self.text_projection = nn.Parameter(torch.zeros(width, sizes.dim))

    def forward(self, input_ids: Tensor) -> Tensor:
        """Encode."""
        hidden = self.token_embedding(input_ids) + self.positional_embedding[: input_ids.shape[1]]
        blocks: nn.ModuleList = self.transformer["resblocks"]  # type: ignore[assignment]
        for block in blocks:
            hidden = block(hidden)
        hidden = self.ln_final(hidden)
        ends = input_ids.argmax(dim=1)
        pooled = hidden.gather(1, ends[:, None, None].expand(-1, 1, hidden.shape[2]))[:, 0]
        return pooled @ self.text_projection


class _TextBlock(nn.Module):
    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(width)
        # For the names of its weights only: `forward` uses them in one call that every exporter
        # knows, with `heads`; the layer's own number of heads does not matter.
        self.attn = nn.MultiheadAttention(width, 1)
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = nn.ModuleDict(
            {"c_fc": nn.Linear(width, hidden), "c_proj": nn.Linear(hidden, width)}
        )
        self._heads = heads

    def forward(self, hidden: Tensor) -> Tensor:
        batch, length, width = hidden.shape
        qkv = functional.linear(self.ln_1(hidden), self.attn.in_proj_weight, self.attn.in_proj_bias)
        q, k, v = qkv.reshape(batch, length, 3, self._heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        seen = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        hidden = hidden + self.attn.out_proj(seen.transpose(1, 2).reshape(batch, length, width))
        return hidden + self.mlp["c_proj"](functional.gelu(self.mlp["c_fc"](self.ln_2(hidden))))


def _rotary(sizes: PerceptionEncoderSizes) -> Tensor:
    """[2, positions, head width]: sine and cosine of each position, of the class token 0 and 1.

    The first half of a head turns with the column, the second with the row, neighbouring channels
    in pairs.
    """
    bands = 10000.0 ** -(torch.arange(sizes.head_width // 4) / (sizes.head_width // 4))
    places = torch.arange(sizes.side) + float(sizes.class_token)
    row, column = torch.meshgrid(places, places, indexing="ij")
    angles = torch.cat(
        (column.reshape(-1, 1) * bands, row.reshape(-1, 1) * bands), dim=1
    ).repeat_interleave(2, dim=1)
    if sizes.class_token:
        angles = torch.cat((torch.zeros_like(angles[:1]), angles))
    return torch.stack((angles.sin(), angles.cos()))


def _rotate(values: Tensor, rotary: Tensor) -> Tensor:
    turned = torch.stack((-values[..., 1::2], values[..., ::2]), dim=-1).reshape(values.shape)
    return values * rotary[1] + turned * rotary[0]
