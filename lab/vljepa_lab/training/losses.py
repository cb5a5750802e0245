"""Losses of training, and the read-outs that only training has.

InfoNCE over a batch's unique answers with all positives, where the slots point, and what the
simulator knows of each frame and clip. Needs torch.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from vljepa_lab.training.question_sampling import (
    Row,
    fixed_candidates,
    hard_candidates,
    named_shape,
    parent,
)
from vljepa_lab.training.store import CLASSES
from vljepa_lab.training.text_trunk import TextTable
from vljepa_lab.world.records import ACTIONS, COLORS, NEVER_TRAINED, SHAPES
from vljepa_ros.models.vl_jepa.nano_heads import TextHead

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
    """Bidirectional InfoNCE of predicted [R, D] against the batch's unique answers [C, D].

    All have norm 1.

    Every column with the key of a row is a positive of that row (paraphrases, the same answer to
    another question); an answer is one column however often it occurs, so none is a negative of
    itself. The sum over positives stands inside the logarithm, in both directions; columns that
    are no row's answer (hard candidates) only serve as negatives.

    Args:
        predicted: [R, D].
        answers: [C, D].
        row_keys: [R] int64.
        column_keys: [C] int64.
        log_scale: scalar.
        ignored: boolean [R, C], pairs that are neither.
        same_kind: boolean [R, C]; adds the row's loss over these columns alone, so that telling
            answers of one kind apart counts as much as finding the kind.
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
    labelled = cells >= 0
    if not labelled.any():
        return where.sum() * 0
    return functional.cross_entropy(where.float()[labelled], cells[labelled])


_EMPTY_WEIGHT = 0.08  # of a cell without anything: most cells are empty


def dense_loss(
    logits: Mapping[str, Tensor], truth: Mapping[str, Tensor]
) -> tuple[Tensor, dict[str, float]]:
    """Mean cross-entropy of per-cell and per-frame predictions, and the accuracy of each.

    Args:
        logits: name -> [B, classes], or [B, cells, classes].
        truth: name -> [B] or [B, cells] int64, -1 not asked; of cells class 0 is empty and weighs
            little, and accuracy is that of the cells that are not empty.

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
        labelled = goal >= 0
        if not labelled.any():
            continue
        weight, counted = labelled.float(), labelled
        if target.ndim > 1:
            weight = torch.where(goal == 0, weight * _EMPTY_WEIGHT, weight)
            counted = goal > 0
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
    left_out = {"colour": table[shape], "shape": table.T[colour]}
    for name, goal in (("colour", colour), ("shape", shape)):
        left_out[name].scatter_(1, goal[:, None], False)  # what is true is never left out
    return left_out


_PER_CELL = ("shape", "colour", "thing")


class FrameHeads(nn.Module):
    """What one frame shows: per-cell and per-image classes from tokens [B, 64, dim]."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.cell = nn.ModuleDict({name: nn.Linear(dim, CLASSES[name]) for name in _PER_CELL})
        whole = {name: count for name, count in CLASSES.items() if name not in _PER_CELL}
        self.whole = nn.ModuleDict({name: nn.Linear(2 * dim, n) for name, n in whole.items()})

    def forward(self, tokens: Tensor) -> dict[str, Tensor]:
        """Logits by name, per cell [B, 64, classes] or per image [B, classes]."""
        both = torch.cat([tokens.mean(1), tokens.amax(1)], 1)
        logits = {name: layer(tokens) for name, layer in self.cell.items()}
        return logits | {name: layer(both) for name, layer in self.whole.items()}


class WindowHeads(nn.Module):
    """What a clip shows.

    The state at its end, the action, the moved object's cell, and ego-motion.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.state = FrameHeads(dim)
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


class LogitScale(nn.Module):
    """The learnable inverse temperature, as its logarithm."""

    def __init__(self) -> None:
        super().__init__()
        self.log = nn.Parameter(torch.tensor(2.65))


class Columns:
    """Unique answers of a batch and their keys, as numbers; prepared outside the training step.

    row_keys [R], column_keys [C]; ignored [R, C]: neither right nor wrong, because one statement
    only says more than the other, or because a colour was never met in the shape that is asked
    about (which is no evidence against it, and would be learnt as such); same_kind [R, C]: answers
    to the same kind of question.
    """

    def __init__(self, rows: Sequence[Row], rng: random.Random) -> None:
        # A text can carry two keys ("open" for a door, "yes" to two questions): one column for
        # each.
        columns = dict.fromkeys([(row.answer, row.key) for row in rows])
        columns |= dict.fromkeys(fixed_candidates())
        columns |= dict.fromkeys(hard_candidates(rows, rng))
        self.texts = [text for text, _ in columns]
        names = [key for _, key in columns]
        number: dict[str, int] = {}
        self.row_keys = torch.tensor([number.setdefault(row.key, len(number)) for row in rows])
        self.column_keys = torch.tensor([number.setdefault(key, len(number)) for key in names])
        row_parents = torch.tensor([number.get(parent(row.key), -1) for row in rows])
        column_parents = torch.tensor([number.get(parent(key), -2) for key in names])
        self.ignored = (row_parents[:, None] == self.column_keys[None]) | (
            self.row_keys[:, None] == column_parents[None]
        )
        for row_number, row in enumerate(rows):
            if row.task == "colour":
                shape = named_shape(row.question)
                for colour, unmet in NEVER_TRAINED:
                    if unmet == shape and f"color:{colour}" in number:
                        self.ignored[row_number] |= self.column_keys == number[f"color:{colour}"]
        kinds: dict[str, int] = {}
        row_kinds = torch.tensor([kinds.setdefault(_kind(row.key), len(kinds)) for row in rows])
        column_kinds = torch.tensor([kinds.setdefault(_kind(key), len(kinds)) for key in names])
        self.same_kind = row_kinds[:, None] == column_kinds[None]

    def to(self, device: torch.device) -> None:
        """Move the numbers to a device."""
        for name in ("row_keys", "column_keys", "ignored", "same_kind"):
            setattr(self, name, getattr(self, name).to(device))


def _kind(key: str) -> str:
    if key in ("yes", "no"):
        return "yes or no"
    if key == "none":
        return "object"
    if parent(key):
        return "event with object"
    return key.split(":")[0]


def answer_loss(
    predicted: Tensor, columns: Columns, head: TextHead, scale: LogitScale, table: TextTable
) -> tuple[Tensor, float]:
    """InfoNCE of predicted [R, D]; second: share of rows whose nearest column is right."""
    answers = head(table.answers(columns.texts).to(predicted.device))
    keys = columns.row_keys, columns.column_keys
    loss = info_nce(predicted, answers, *keys, scale.log, columns.ignored, columns.same_kind)
    with torch.no_grad():
        best = (predicted @ answers.T).masked_fill(columns.ignored, -2).argmax(1)
        right = float((columns.column_keys[best] == columns.row_keys).float().mean())
    return loss, right
