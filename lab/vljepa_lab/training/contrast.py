"""The contrastive loss of a batch of questions: texts to columns, keys to positives. Needs
torch.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vljepa_lab.training.asking import Row, fixed_candidates, hard_candidates, named_shape, parent
from vljepa_lab.training.losses import info_nce
from vljepa_lab.training.texts import TextTable
from vljepa_lab.world.records import NEVER_TRAINED
from vljepa_ros.models.vl_jepa.nano_heads import TextHead


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

    def __init__(self, rows: Sequence[Row], split: str, rng: random.Random) -> None:
        # A text can carry two keys ("open" for a door, "yes" to two questions): one column for
        # each.
        columns = dict.fromkeys([(row.answer, row.key) for row in rows])
        columns |= dict.fromkeys(fixed_candidates())
        columns |= dict.fromkeys(hard_candidates(rows, split, rng))
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

    def to(self, device: torch.device) -> Columns:
        """The same columns on a device."""
        if device.type != self.row_keys.device.type:
            for name in ("row_keys", "column_keys", "ignored", "same_kind"):
                setattr(self, name, getattr(self, name).to(device))
        return self


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
    loss = info_nce(
        predicted,
        answers,
        columns.row_keys,
        columns.column_keys,
        scale.log,
        ignored=columns.ignored,
        same_kind=columns.same_kind,
    )
    with torch.no_grad():
        best = (predicted @ answers.T).masked_fill(columns.ignored, -2).argmax(1)
        right = float((columns.column_keys[best] == columns.row_keys).float().mean())
    return loss, right
