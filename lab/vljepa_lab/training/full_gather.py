"""InfoNCE over the batches of all processes, equal to the loss of one process with the whole
batch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from vljepa_lab.training.losses import info_nce


class _Gather(torch.autograd.Function):
    """All rows of all processes; gradients come back summed over the processes."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        found = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
        dist.all_gather(found, rows.contiguous())
        ctx.own = len(rows)
        return torch.cat(found)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        whole = gradients[0].contiguous()
        dist.all_reduce(whole)
        start = dist.get_rank() * ctx.own
        return whole[start : start + ctx.own]


def gather(rows: Tensor) -> Tensor:
    """[B, ...] of each process to [n * B, ...], differentiable; itself where there is one
    process."""
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return rows
    if rows.requires_grad:
        found: Tensor = _Gather.apply(rows)  # type: ignore[no-untyped-call]
        return found
    return _Gather.forward(_Context(), rows)


class _Context:
    own = 0


def number_keys(keys: Sequence[str]) -> Tensor:
    """Keys as int64, the same number in every process."""
    return torch.tensor(
        [
            int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "little", signed=True)
            for key in keys
        ]
    )


def gathered_loss(predicted: Tensor, answers: Tensor, keys: Tensor, log_scale: Tensor) -> Tensor:
    """Bidirectional InfoNCE of [B, D] predictions and answers (norm 1) of every process.

    Every process computes the same value. Its gradient on the own rows is the sum over processes,
    and DDP divides by their number: together that is the gradient of the single-process loss.
    Answers of
    equal key are one column, so a repeated answer is no negative of itself.
    """
    predicted, answers, keys = gather(predicted), gather(answers), gather(keys)
    seen: dict[int, int] = {}
    for row, key in enumerate(keys.tolist()):
        seen.setdefault(key, row)
    columns = torch.tensor(list(seen.values()), device=answers.device)
    return info_nce(predicted, answers[columns], keys, keys[columns], log_scale)
