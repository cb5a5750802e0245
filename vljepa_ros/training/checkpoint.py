"""Checkpoints of a phase: written atomically, read with `weights_only`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

__all__ = ["load_checkpoint", "load_into", "save_checkpoint"]


def save_checkpoint(file: Path, parts: dict[str, Any], spent: float, done: bool) -> None:
    """parts: name -> anything with `state_dict`; spent: minutes so far."""
    file.parent.mkdir(parents=True, exist_ok=True)
    content = {name: part.state_dict() for name, part in parts.items()}
    part_file = file.with_suffix(".part")
    torch.save({"parts": content, "spent": spent, "done": done}, part_file)
    part_file.replace(file)


def load_checkpoint(file: Path) -> dict[str, Any] | None:
    """What `save_checkpoint` wrote, or None where there is none."""
    if not file.is_file():
        return None
    content: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    return content


def load_into(
    checkpoint: dict[str, Any], parts: dict[str, Any], skip: tuple[str, ...] = ()
) -> None:
    """Load the parts that the checkpoint has; `skip`: prefixes of model parameters to leave alone."""
    for name, part in parts.items():
        if name not in checkpoint["parts"]:
            continue
        state = checkpoint["parts"][name]
        if isinstance(part, nn.Module):
            state = {k: v for k, v in state.items() if not k.startswith(skip)} if skip else state
            part.load_state_dict(state, strict=not skip)
        else:
            part.load_state_dict(state)
