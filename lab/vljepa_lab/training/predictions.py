"""What the model in training answers: embeddings for the Y-Decoder and the calibration, accuracy.

The accuracy per task on validation scenes stands beside the blind baseline. For training only: the
figures that are published come from `vljepa eval` through the shipped engine. Needs torch.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from vljepa_lab.training.distributed import device_of
from vljepa_lab.training.store import Scene
from vljepa_lab.training.text_trunk import TextTable
from vljepa_lab.world.questions import Question, ask
from vljepa_lab.world.records import CLIP_FRAMES
from vljepa_ros.models.vl_jepa.nano_model import VLJEPA


def clip_tokens(model: VLJEPA, scene: Scene, lasts: list[int]) -> Tensor:
    """Visual tokens of the clips that end at `lasts`: [len(lasts), cells, dim]."""
    device = device_of(model.frame)
    with torch.no_grad():
        chunks = torch.split(torch.tensor(scene.frames), 8)
        features = torch.cat([model.frame(chunk.to(device)) for chunk in chunks])
        return model.window(torch.stack([features[t - CLIP_FRAMES + 1 : t + 1] for t in lasts]))


@dataclass(frozen=True)
class Pair:
    """A question about a clip and the embedding [D] that the Predictor answered with."""

    question: Question
    predicted: Tensor


def _scene_pairs(
    model: VLJEPA, table: TextTable, scene: Scene, lasts: list[int], seed: int, wording: str
) -> Iterator[list[Pair]]:
    """All questions that have candidates about each of the clips that end at `lasts`."""
    device = device_of(model.predictor)
    tokens = clip_tokens(model, scene, lasts)
    for row, last in enumerate(lasts):
        rng = random.Random(f"{seed} {last}")
        questions = [q for q in ask(scene.record, last, rng, wording) if len(q.candidates) > 1]
        query, valid = table.queries([q.text for q in questions])
        with torch.no_grad():
            visual = tokens[row : row + 1].expand(len(questions), -1, -1)
            predicted = model.predictor(visual, query.to(device), valid.to(device)).cpu()
        yield [Pair(q, vector.clone()) for q, vector in zip(questions, predicted, strict=True)]


def predicted_pairs(
    model: VLJEPA, table: TextTable, scenes: list[Scene], windows: int, seed: int
) -> Iterator[Pair]:
    """All questions about `windows` windows of each scene, in the wordings of training."""
    rng = random.Random(seed)
    for number, scene in enumerate(scenes):
        lasts = sorted(rng.sample(range(CLIP_FRAMES - 1, len(scene.frames)), windows))
        for pairs in _scene_pairs(model, table, scene, lasts, seed + number, "train"):
            yield from pairs


def quick_accuracy(
    model: VLJEPA, table: TextTable, scenes: list[Scene], blind: bool = False
) -> dict[str, float]:
    """Task -> share of questions about every fourth clip whose nearest candidate is right.

    `<task> blind`: always the commonest.
    """
    model.eval()
    right: dict[str, list[bool]] = defaultdict(list)
    keys: dict[str, Counter[str]] = defaultdict(Counter)
    answers: dict[str, Tensor] = {}
    for number, scene in enumerate(scenes):
        lasts = list(range(CLIP_FRAMES - 1 + number % 4, len(scene.frames), 4))
        for pairs in _scene_pairs(model, table, scene, lasts, number, "canonical"):
            texts = dict.fromkeys(text for pair in pairs for text in pair.question.candidates)
            new = [text for text in texts if text not in answers]
            if new:
                with torch.no_grad():
                    pooled = table.answers(new).to(device_of(model.predictor))
                    answers.update(zip(new, model.text_head(pooled).cpu(), strict=True))
            for pair in pairs:
                question = pair.question
                options = torch.stack([answers[text] for text in question.candidates])
                best = int((options @ pair.predicted).argmax())
                right[question.task].append(question.keys[best] == question.key)
                keys[question.task][question.key] += 1
    result = {task: round(sum(r) / len(r), 3) for task, r in sorted(right.items())}
    if blind:
        result |= {
            f"{task} blind": round(c.most_common(1)[0][1] / c.total(), 3)
            for task, c in keys.items()
        }
    return result
