"""Optimiser and learning rate, common to all phases. Needs torch."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn


def make_optimizer(
    groups: Iterable[tuple[nn.Module, float]], rate: float, decay: float = 0.04
) -> torch.optim.AdamW:
    """AdamW; each module with its factor on the learning rate; no decay on vectors and
    positions.
    """
    settings = []
    for module, factor in groups:
        matrices: list[nn.Parameter] = []
        others: list[nn.Parameter] = []
        for name, parameter in module.named_parameters():
            if parameter.requires_grad:
                plain = parameter.ndim > 1 and "position" not in name and "extra" not in name
                (matrices if plain else others).append(parameter)
        settings.append({"params": matrices, "weight_decay": decay, "factor": factor})
        settings.append({"params": others, "weight_decay": 0.0, "factor": factor})
    return torch.optim.AdamW(settings, lr=rate, betas=(0.9, 0.98))


def set_rate(
    optimizer: torch.optim.Optimizer, rate: float, step: int, share: float, warmup: int
) -> None:
    """Linear warm-up over `warmup` steps, then a cosine over the phase's `share` of its budget down
    to 2%.
    """
    cosine = 0.98 * 0.5 * (1 + math.cos(math.pi * share)) + 0.02
    for group in optimizer.param_groups:
        group["lr"] = rate * group["factor"] * cosine * min(1.0, (step + 1) / warmup)
