"""Heads that exist in training only: read-outs of what the simulator knows. Needs torch."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vljepa_lab.training.store import CLASSES
from vljepa_lab.world.records import ACTIONS

_PER_CELL = ("shape", "colour", "thing")


class _Readout(nn.Module):
    """Per-cell and per-image classes from tokens [B, 64, dim]."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.cell = nn.ModuleDict({name: nn.Linear(dim, CLASSES[name]) for name in _PER_CELL})
        self.whole = nn.ModuleDict(
            {
                name: nn.Linear(2 * dim, count)
                for name, count in CLASSES.items()
                if name not in _PER_CELL
            }
        )

    def forward(self, tokens: Tensor) -> dict[str, Tensor]:
        both = torch.cat([tokens.mean(1), tokens.amax(1)], 1)
        found = {name: layer(tokens) for name, layer in self.cell.items()}
        return found | {name: layer(both) for name, layer in self.whole.items()}


class FrameHeads(_Readout):
    """What one frame shows."""


class WindowHeads(nn.Module):
    """What a clip shows: the state at its end, the action, the moved object's cell, and
    ego-motion.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.state = _Readout(dim)
        self.action = nn.Linear(2 * dim, len(ACTIONS))
        self.moved = nn.Linear(dim, 1)
        self.motion = nn.Linear(2 * dim, 3)

    def forward(self, tokens: Tensor) -> dict[str, Tensor]:
        """Window tokens [B, 64, dim] -> logits by name; motion [B, 3] is a regression."""
        both = torch.cat([tokens.mean(1), tokens.amax(1)], 1)
        return self.state(tokens) | {
            "action": self.action(both),
            "moved": self.moved(tokens)[..., 0],
            "motion": self.motion(both),
        }
