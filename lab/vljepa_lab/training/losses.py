"""Losses: InfoNCE over unique answers with all positives, where slots point, dense truth. Needs
torch.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from vljepa_lab.world.records import COLORS, NEVER_TRAINED, SHAPES

_NEVER = -1e4
_UNMET = torch.tensor(
    [[False] * (1 + len(COLORS))]
    + [[False, *((colour, shape) in NEVER_TRAINED for colour in COLORS)] for shape in SHAPES]
)
"""[shape, colour] (0 none): combinations that no training picture has."""


def info_nce(
    predicted: Tensor,
    answers: Tensor,
    row_keys: Tensor,
    column_keys: Tensor,
    log_scale: Tensor,
    ignored: Tensor | None = None,
    same_kind: Tensor | None = None,
) -> Tensor:
    """Bidirectional InfoNCE of predicted [R, D] against the batch's *unique* answers [C, D], norm
    1.

    Every column with the key of a row is a positive of that row (paraphrases, the same answer to
    another question); an answer is one column however often it occurs, so none is a negative of
    itself. The sum over positives stands inside the logarithm, in both directions; columns that
    nobody's answer is (hard candidates) only serve as negatives.

    ignored: boolean [R, C], pairs that are neither. same_kind: boolean [R, C]; adds the row's loss
    over these columns alone, so that telling answers of one kind apart counts as much as finding
    the kind.
    """
    logits = log_scale.exp().clamp(max=60) * predicted @ answers.T
    positive = row_keys[:, None] == column_keys[None, :]
    if ignored is not None:
        logits = logits.masked_fill(ignored & ~positive, _NEVER)
    right = logits.masked_fill(~positive, _NEVER)
    to_right = torch.logsumexp(right, 1)
    rows = (torch.logsumexp(logits, 1) - to_right).mean()
    if same_kind is not None:
        own = logits.masked_fill(~(same_kind | positive), _NEVER)
        rows = 0.5 * (rows + (torch.logsumexp(own, 1) - to_right).mean())
    used = positive.any(0)
    columns = (torch.logsumexp(logits, 0) - torch.logsumexp(right, 0))[used].mean()
    return 0.5 * (rows + columns)


def locate_loss(where: Tensor, cells: Tensor) -> Tensor:
    """Cross-entropy of each slot's [B, S, 65] with the cell of the object it should point at.

    cells [B, S] int64: 0..63, 64 absent, -1 not asked.
    """
    asked = cells >= 0
    if not asked.any():
        return where.sum() * 0
    return functional.cross_entropy(where.float()[asked], cells[asked])


def dense_loss(
    logits: Mapping[str, Tensor], truth: Mapping[str, Tensor], empty_weight: float = 0.08
) -> tuple[Tensor, dict[str, float]]:
    """Mean cross-entropy of per-cell and per-frame predictions, and the accuracy of each.

    truth: int64, -1 not asked; per cell (ndim 2) class 0 is empty and weighs `empty_weight`, and
    accuracy is that of the cells that are not empty.

    A colour that the cell's shape was never met in is no wrong answer there, nor a shape that was
    never met in the cell's colour: that such pairs are missing says nothing about how they look,
    and would be learnt as if it did.
    """
    total = next(iter(logits.values())).sum() * 0
    accuracy = {}
    unmet = _unmet(truth)
    for name, target in truth.items():
        flat, goal = logits[name].float().flatten(0, -2), target.flatten()
        if name in unmet:
            flat = flat.masked_fill(unmet[name], _NEVER)
        asked = goal >= 0
        if not asked.any():
            continue
        weight = asked.float()
        if target.ndim > 1:
            weight = torch.where(goal == 0, weight * empty_weight, weight)
            counted = goal > 0
        else:
            counted = asked
        each = functional.cross_entropy(flat, goal.clamp(min=0), reduction="none")
        total = total + (each * weight).sum() / weight.sum()
        if counted.any():
            accuracy[name] = float((flat[counted].argmax(1) == goal[counted]).float().mean())
    return total, accuracy


def _unmet(truth: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Classes [cells, classes] of shape and colour that are left out of the loss of each cell."""
    if "shape" not in truth or "colour" not in truth:
        return {}
    shape, colour = truth["shape"].flatten().clamp(min=0), truth["colour"].flatten().clamp(min=0)
    table = _UNMET.to(shape.device)
    found = {"colour": table[shape], "shape": table.T[colour]}
    for name, goal in (("colour", colour), ("shape", shape)):
        found[name].scatter_(1, goal[:, None], False)  # what is true is never left out
    return found
