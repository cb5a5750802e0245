"""Predicted embeddings and their true answers, for the Y-Decoder and for calibration. Needs
torch.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from vljepa_lab.training.machine import device_of
from vljepa_lab.training.quick_eval import clip_tokens, questions_of
from vljepa_lab.training.store import Scene
from vljepa_lab.training.texts import TextTable
from vljepa_lab.world.clips import CLIP_FRAMES
from vljepa_lab.world.questions import Question
from vljepa_ros.models.vl_jepa.nano_model import VLJEPA


@dataclass(frozen=True)
class Pair:
    """A question about a clip and the embedding [D] that the Predictor answered with."""

    question: Question
    predicted: Tensor


def predicted_pairs(
    model: VLJEPA,
    table: TextTable,
    scenes: list[Scene],
    windows: int,
    seed: int,
    wording: str = "train",
) -> Iterator[Pair]:
    """All questions about `windows` windows of each scene."""
    rng, device = random.Random(seed), device_of(model.predictor)
    for number, scene in enumerate(scenes):
        lasts = sorted(rng.sample(range(CLIP_FRAMES - 1, len(scene.frames)), windows))
        tokens = clip_tokens(model, scene, lasts)
        for row, last in enumerate(lasts):
            questions = questions_of(scene, last, seed + number, wording)
            query, valid = table.queries([q.text for q in questions])
            with torch.no_grad():
                visual = tokens[row : row + 1].expand(len(questions), -1, -1)
                predicted = model.predictor(visual, query.to(device), valid.to(device)).cpu()
            for question, vector in zip(questions, predicted, strict=True):
                yield Pair(question, vector.clone())
