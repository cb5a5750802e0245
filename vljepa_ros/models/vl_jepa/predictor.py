"""Predictor: visual tokens and the embedded query tokens to the embedding of the answer.

As in the paper there is no causal mask and the result lives in the space of the Y-Encoder. Three
ways of attending to the visual tokens (`visual_attention`):

- joint:  visual and query tokens in one sequence, all attend to all; mean over all valid positions
(paper).
- prefix: the same sequence, but visual tokens attend to each other only, so that they do not depend
on the
  query and their keys and values can be kept for the next question.
- cross:  query tokens only, with cross-attention to the visual tokens. Cheapest.

Object slots (a departure, doc/model.md): `slots` extra positions each point at one cell halfway up
(the auxiliary locate loss says which) and carry what they found there into the upper half. What
they found, where, and whether at all is also added to the position that becomes the answer: without
that, the slots found the objects but yes/no and left/right stayed at chance. Needs torch.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from vljepa_ros.models.vl_jepa.architecture import PredictorSizes
from vljepa_ros.models.vl_jepa.blocks import Block

# A few numbers of -1..1 beside hundreds of features would hardly be heard.
_LOUD = 6.0


class Predictor(nn.Module):
    """Sizes: `visual_dim` and `query_dim` come in, `out_dim` goes out."""

    places: Tensor

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
            places = (torch.stack([column, row], 1) + 0.5) * (2 / side) - 1
            self.register_buffer("places", places, persistent=False)
        self.norm = nn.LayerNorm(dim)
        self.out = nn.Linear(dim, out_dim)

    def forward(self, visual: Tensor, query: Tensor, valid: Tensor) -> Tensor:
        """visual [B, N, visual_dim], query [B, L, query_dim], valid [B, L] (1 real, 0 padding) ->
        [B, out_dim].
        """
        return self.predict(visual, query, valid)[0]

    def predict(
        self, visual: Tensor, query: Tensor, valid: Tensor, shared: int = 1
    ) -> tuple[Tensor, Tensor | None]:
        """As forward, and the logits [B, slots, N + 1] of where each slot points; the last one is
        'absent'.

        shared: each clip of `visual` serves so many successive queries (only `cross` gains by it).
        """
        if shared > 1 and self.mode != "cross":
            visual, shared = visual.repeat_interleave(shared, 0), 1
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
            x = block(x, context, mask, shared)
            if self.slots and index + 1 == self.middle:
                x, where = self._look(x, visual, start, shared)
        if self.mode == "joint":
            x = self.norm(x)
            weight = allowed[..., None].to(x.dtype)
            pooled = (x * weight).sum(1) / weight.sum(1)
        else:
            pooled = self.norm(x[:, start])
        return functional.normalize(self.out(pooled).float(), dim=-1), where

    def _look(self, x: Tensor, visual: Tensor, start: int, shared: int) -> tuple[Tensor, Tensor]:
        """Let the slots of x [B, ..., dim] point; new x, and the logits [B, slots, N + 1]."""
        first = start + 1
        answer, slots = x[:, start], x[:, first : first + self.slots]
        keys = self.cell_key(visual) + self.cell_position
        values = self.cell_value(visual) + self.cell_position
        asked = self.point(slots) * slots.shape[-1] ** -0.5
        if shared > 1:
            asked = asked.reshape(asked.shape[0] // shared, -1, asked.shape[-1])
        absent = (asked * self.absent).sum(-1, keepdim=True)
        logits = torch.cat([asked @ keys.transpose(1, 2), absent], -1)
        weights = logits.softmax(-1)
        found = (weights[..., :-1] @ values).reshape(slots.shape)
        # Where, given that it is there at all: left and right become a difference of two numbers.
        share = weights[..., :-1]
        place = (share / (share.sum(-1, keepdim=True) + 1e-6)) @ self.places
        facts = torch.cat([place, weights[..., -1:]], -1).reshape(slots.shape[0], -1) * _LOUD
        seen = self.combine(torch.cat([answer, found.flatten(1), facts], 1))
        x = torch.cat(
            [
                x[:, :start],
                (answer + seen)[:, None],
                slots + found,
                x[:, first + self.slots :],
            ],
            1,
        )
        return x, logits.reshape(slots.shape[0], self.slots, -1)
