"""Checkpoints of a phase: written atomically, read with `weights_only`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn


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


def load_into(checkpoint: dict[str, Any], parts: dict[str, Any], partial: bool = False) -> None:
    """Load the parts that the checkpoint has.

    partial: parameters that the checkpoint lacks keep their values (those it has and the part lacks
    are an error still).

    Raises:
        RuntimeError: the checkpoint does not fit.
    """
    for name, part in parts.items():
        if name not in checkpoint["parts"]:
            continue
        state = checkpoint["parts"][name]
        if isinstance(part, nn.Module):
            found = part.load_state_dict(state, strict=not partial)
            if found.unexpected_keys:
                raise RuntimeError(f"{name}: the checkpoint has unknown {found.unexpected_keys}")
        else:
            part.load_state_dict(state)
