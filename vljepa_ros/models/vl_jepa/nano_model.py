"""Nano's VL-JEPA: blocks, X-Encoder, Predictor, and the whole model. Needs torch.

The X-Encoder works in two stages so that a stream costs one new frame at a time. The paper's
(V-JEPA 2) attends over space and time from the first layer, which cannot be cached: each new frame
would cost the whole clip. Here `FrameStage` does most of the work, its result is kept, and
`WindowStage` merges the last frames (doc/model.md).

`VLJEPA`, at the end of this file, holds the parts under the names that the weights file uses; the
Y-Encoder and the Y-Decoder are in `nano_heads`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from vljepa_ros.models.vl_jepa.nano_config import (
    Architecture,
    FrameSizes,
    PredictorSizes,
    WindowSizes,
)
from vljepa_ros.models.vl_jepa.nano_heads import TextHead, TextTrunk, YDecoder


class Attention(nn.Module):
    """Multi-head attention of [B, N, dim] on itself or on a context [B, M, context_dim].

    mask: boolean, broadcastable to [B, heads, N, M], True where attention is allowed. With `rows`
    [B] each row of x attends to that row of a context [C, M, ...]: questions about the same clip
    share its keys and values.
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
        rows: Tensor | None = None,
    ) -> Tensor:
        """Shape of `x` out."""
        batch, count, dim = x.shape
        context = x if context is None else context
        query = self.query(x).reshape(batch, count, self.heads, -1).transpose(1, 2)
        both = self.key_value(context).reshape(*context.shape[:2], 2, self.heads, -1)
        key, value = (picked(one, rows) for one in both.permute(2, 0, 3, 1, 4).unbind(0))
        seen = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        out: Tensor = self.out(seen.transpose(1, 2).reshape(batch, count, dim))
        return out


def picked(values: Tensor, rows: Tensor | None) -> Tensor:
    """The rows of `values` [N, ...] at the indices `rows` [M]; None: all of them."""
    return values if rows is None else values.index_select(0, rows)


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
        rows: Tensor | None = None,
        first: int | None = None,
    ) -> Tensor:
        """[B, N, dim] -> [B, N, dim], or the `first` positions of it.

        `mask` is that of the self-attention, `rows` as in Attention.
        """
        seen = self.norm_self(x)
        x = x[:, :first] + self.self_attention(seen[:, :first], seen, mask)
        if self.cross_attention is not None and self.norm_cross is not None:
            x = x + self.cross_attention(self.norm_cross(x), context, rows=rows)
        return x + self.mlp(self.norm_mlp(x))


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
        return x + self.second(torch.relu(self.first(torch.relu(self.norm(x)))))


class FrameStage(nn.Module):
    """One frame to grid*grid features."""

    def __init__(self, sizes: FrameSizes) -> None:
        super().__init__()
        first, second = sizes.widths
        self.stem = nn.Sequential(
            nn.Conv2d(3, first, 4, 4),
            *[ResidualConv(first) for _ in range(sizes.residual[0])],
            nn.BatchNorm2d(first),
            nn.ReLU(),
            nn.Conv2d(first, second, 3, 2, 1),
            *[ResidualConv(second) for _ in range(sizes.residual[1])],
            nn.BatchNorm2d(second),
            nn.ReLU(),
            nn.Conv2d(second, sizes.dim, 3, 2, 1),
        )
        self.position = nn.Parameter(torch.randn(1, sizes.grid**2, sizes.dim) * 0.02)
        self.blocks = nn.ModuleList([Block(sizes.dim, sizes.heads) for _ in range(sizes.depth)])
        self.norm = nn.LayerNorm(sizes.dim)

    def forward(self, frames: Tensor) -> Tensor:
        """[B, H, W, 3] uint8 RGB (or float of the same range) -> [B, grid*grid, dim] float32."""
        x = (frames.float() * (1 / 127.5) - 1.0).permute(0, 3, 1, 2).to(self.position.dtype)
        x = self.stem(x).flatten(2).transpose(1, 2) + self.position
        for block in self.blocks:
            x = block(x)
        out: Tensor = self.norm(x)
        return out


class WindowStage(nn.Module):
    """Features of T frames to the visual tokens of the clip."""

    def __init__(self, sizes: WindowSizes, frame_dim: int, cells: int) -> None:
        super().__init__()
        self.merge = nn.Linear(sizes.frames * frame_dim, sizes.dim)
        self.position = nn.Parameter(torch.randn(1, cells, sizes.dim) * 0.02)
        self.blocks = nn.ModuleList([Block(sizes.dim, sizes.heads) for _ in range(sizes.depth)])
        self.norm = nn.LayerNorm(sizes.dim)

    def forward(self, features: Tensor) -> Tensor:
        """[B, T, cells, frame_dim] -> visual tokens [B, cells, dim]."""
        x = self.merge(features.transpose(1, 2).flatten(2)) + self.position
        for block in self.blocks:
            x = block(x)
        out: Tensor = self.norm(x)
        return out


GEOMETRY_SCALE = 6.0
"""Factor of the few geometry features, so that the `dim`-wide features do not drown them."""


class Predictor(nn.Module):
    """Visual tokens and the embedded query tokens to the embedding of the answer.

    As in the paper there is no causal mask and the result lives in the space of the Y-Encoder.
    There are three ways of attending to the visual tokens (`visual_attention`):

    - joint: Visual and query tokens in one sequence, all attend to all; the mean over all valid
      positions is the result (as in the paper).
    - prefix: The same sequence, but visual tokens attend to each other only, so that they do not
      depend on the query and their keys and values can be kept for the next question.
    - cross: Query tokens only, with cross-attention to the visual tokens. Cheapest.

    Object slots (a departure from the paper, doc/model.md): `slots` extra positions each point at
    one cell halfway up (the auxiliary locate loss says which) and carry what they found there into
    the upper half. What they found, where, and whether at all is also added to the position that
    becomes the answer: without that, the slots found the objects but yes/no and left/right stayed
    at chance.
    """

    cell_coordinates: Tensor

    def __init__(
        self, sizes: PredictorSizes, visual_dim: int, query_dim: int, out_dim: int, cells: int
    ) -> None:
        super().__init__()
        self.mode = sizes.visual_attention
        self.slots = sizes.slots
        dim = sizes.dim
        self.query_in = nn.Linear(query_dim, dim)
        self.position = nn.Parameter(torch.randn(1, sizes.positions, dim) * 0.02)
        self.extra = nn.Parameter(torch.randn(1, 1 + sizes.slots, dim) * 0.02)
        self.visual_in = nn.Linear(visual_dim, dim) if self.mode != "cross" else None
        context = visual_dim if self.mode == "cross" else None
        self.blocks = nn.ModuleList(
            [Block(dim, sizes.heads, context, sizes.expansion) for _ in range(sizes.depth)]
        )
        self.middle = max(1, sizes.depth // 2)
        if self.slots:
            self.point = nn.Linear(dim, dim)
            self.cell_key = nn.Linear(visual_dim, dim)
            self.cell_value = nn.Linear(visual_dim, dim)
            self.cell_position = nn.Parameter(torch.randn(cells, dim) * 0.02)
            self.absent = nn.Parameter(torch.randn(dim) * 0.02)
            known = dim * (1 + sizes.slots) + 3 * sizes.slots
            last = nn.Linear(2 * dim, dim)
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
            self.combine = nn.Sequential(nn.Linear(known, 2 * dim), nn.GELU(), last)
            side = round(cells**0.5)
            row, column = torch.arange(cells) // side, torch.arange(cells) % side
            centres = (torch.stack([column, row], 1) + 0.5) * (2 / side) - 1
            self.register_buffer("cell_coordinates", centres, persistent=False)
        self.norm = nn.LayerNorm(dim)
        self.out = nn.Linear(dim, out_dim)

    def forward(
        self, tokens: Tensor, query: Tensor, valid: Tensor, clip: Tensor | None = None
    ) -> Tensor:
        """Predict.

        Args:
            tokens: [C, N, visual_dim].
            query: [B, L, query_dim].
            valid: [B, L], 1 for a token, 0 for padding.
            clip: [B], the clip that each query asks (only `cross` gains where it is fewer than B);
                None: each its own.

        Returns:
            [B, out_dim], norm 1.
        """
        return self.predict(tokens, query, valid, clip)[0]

    def predict(
        self, visual: Tensor, query: Tensor, valid: Tensor, clip: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Predict, and say where the slots point.

        Args:
            visual: `tokens` of `forward`.
            query: As in `forward`.
            valid: As in `forward`.
            clip: As in `forward`.

        Returns:
            What `forward` gives, and the logits [B, slots, N + 1] of the cell that each slot points
            at, the last one for "absent"; None without slots.
        """
        if self.mode != "cross":
            visual, clip = picked(visual, clip), None
        batch, own = query.shape[0], 1 + self.slots
        x = self.query_in(query) + self.position[:, : query.shape[1]]
        x = torch.cat([self.extra.expand(batch, -1, -1), x], 1)
        allowed = torch.cat([valid.new_ones(batch, own), valid], 1).bool()
        start = 0
        if self.visual_in is not None:
            start = visual.shape[1]
            x = torch.cat([self.visual_in(visual), x], 1)
            allowed = torch.cat([allowed.new_ones(batch, start), allowed], 1)
        mask = allowed[:, None, None, :]
        if self.mode == "prefix":
            row = torch.arange(x.shape[1], device=x.device)
            mask = mask & ~((row[:, None] < start) & (row[None, :] >= start))
        context = visual if self.mode == "cross" else None
        where = None
        for index, block in enumerate(self.blocks):
            # only the answer's position is used after the last block
            last = self.mode == "cross" and self.middle < index + 1 == len(self.blocks)
            x = block(x, context, mask, clip, 1 if last else None)
            if self.slots and index + 1 == self.middle:
                x, where = self._attend_slots(x, visual, start, clip)
        if self.mode == "joint":
            x = self.norm(x)
            weight = allowed[..., None].to(x.dtype)
            pooled = (x * weight).sum(1) / weight.sum(1)
        else:
            pooled = self.norm(x[:, start])
        return functional.normalize(self.out(pooled).float(), dim=-1), where

    def _attend_slots(
        self, x: Tensor, visual: Tensor, start: int, clip: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Let the slots of x [B, ..., dim] point; new x, and the logits [B, slots, N + 1]."""
        first = start + 1
        answer, slots = x[:, start], x[:, first : first + self.slots]
        keys = picked(self.cell_key(visual) + self.cell_position, clip)
        values = picked(self.cell_value(visual) + self.cell_position, clip)
        asked = self.point(slots) * slots.shape[-1] ** -0.5
        absent = (asked * self.absent).sum(-1, keepdim=True)
        logits = torch.cat([asked @ keys.transpose(1, 2), absent], -1)
        weights = logits.softmax(-1)
        found = (weights[..., :-1] @ values).reshape(slots.shape)
        # Where, given that it is there at all: left and right become a difference of two numbers.
        share = weights[..., :-1]
        place = (share / (share.sum(-1, keepdim=True) + 1e-6)) @ self.cell_coordinates
        geometry = torch.cat([place, weights[..., -1:]], -1).reshape(slots.shape[0], -1)
        known = torch.cat([answer, found.flatten(1), geometry * GEOMETRY_SCALE], 1)
        seen = self.combine(known)
        after = x[:, first + self.slots :]
        x = torch.cat([x[:, :start], (answer + seen)[:, None], slots + found, after], 1)
        return x, logits.reshape(slots.shape[0], self.slots, -1)


class VLJEPA(nn.Module):
    """Nano as a whole.

    X-Encoder (`frame`, `window`), `predictor`, Y-Encoder (`text_trunk`, `text_head`), `y_decoder`.
    """

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        sizes = architecture
        cells = sizes.frame.grid**2
        self.architecture = architecture
        self.frame = FrameStage(sizes.frame)
        self.window = WindowStage(sizes.window, sizes.frame.dim, cells)
        self.predictor = Predictor(
            sizes.predictor, sizes.window.dim, sizes.text.dim, sizes.dim, cells
        )
        self.text_trunk = TextTrunk(sizes.text)
        self.text_head = TextHead(sizes.text, sizes.dim)
        self.y_decoder = YDecoder(sizes.y_decoder, sizes.dim)
        self.text_trunk.requires_grad_(False)
