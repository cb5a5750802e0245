"""Heads on the same fixed visual tokens, trained on the same batches: VL-JEPA's Predictor, one that
sees nothing, and one that writes words. Needs torch.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from vljepa_lab.compare.generating_head import GeneratingHead, GeneratingSizes
from vljepa_lab.training.batches import Batch, ClipSampler, SampledClip, prepare
from vljepa_lab.training.decoder import decoder_words
from vljepa_lab.training.loop import make_optimizer, set_rate
from vljepa_lab.training.losses import LogitScale, answer_loss, locate_loss
from vljepa_lab.training.question_sampling import canonical_text
from vljepa_lab.training.store import Scene
from vljepa_lab.training.texts import TextTable
from vljepa_lab.world.questions import Question
from vljepa_lab.world.records import CLIP_FRAMES
from vljepa_ros.models.vl_jepa.nano_config import VisualAttention
from vljepa_ros.models.vl_jepa.nano_heads import TextHead
from vljepa_ros.models.vl_jepa.nano_model import VLJEPA, Predictor, trainable_parameters
from vljepa_ros.models.vl_jepa.nano_text import DecoderWords


@dataclass(frozen=True)
class Setting:
    """clips in a batch, questions about each, steps, learning rate, steps of its warm-up."""

    steps: int = 600
    clips: int = 20
    questions: int = 6
    rate: float = 1e-3
    warmup: int = 40
    seed: int = 0


class Head(Protocol):
    """Something that answers questions from visual tokens."""

    module: nn.Module

    def loss(self, tokens: Tensor, batch: Batch, questions: int) -> Tensor:
        """Of one batch; tokens [clips, N, D]."""

    def right(self, tokens: Tensor, questions: Sequence[Question]) -> list[bool]:
        """Whether each question about one clip, tokens [N, D], is answered rightly."""

    def answer(self, tokens: Tensor, question: Question) -> None:
        """Answer one question: its time is taken."""


class JepaHead:
    """Predictor and the text head of the Y-Encoder, both from nothing; nearest candidate."""

    def __init__(
        self,
        model: VLJEPA,
        table: TextTable,
        attention: VisualAttention = "cross",
        slots: int = 0,
        blind: bool = False,
    ) -> None:
        sizes = model.architecture
        cells = sizes.frame.grid**2
        self.blind, self.table = blind, table
        self.predictor = Predictor(
            replace(sizes.predictor, visual_attention=attention, slots=slots),
            sizes.window.dim,
            sizes.text.dim,
            sizes.dim,
            cells,
        )
        self.text_head = TextHead(sizes.text, sizes.dim)
        self.scale = LogitScale()
        self.module: nn.Module = nn.ModuleList([self.predictor, self.text_head, self.scale])
        self._texts: dict[tuple[str, ...], Tensor] = {}

    def loss(self, tokens: Tensor, batch: Batch, questions: int) -> Tensor:
        """InfoNCE; with slots also where the named objects are."""
        tokens = torch.zeros_like(tokens) if self.blind else tokens
        self._texts.clear()
        predicted, where = self.predictor.predict(tokens, batch.query, batch.valid, questions)
        loss, _ = answer_loss(predicted, batch.columns, self.text_head, self.scale, self.table)
        if where is not None and not self.blind:
            cells = torch.tensor([row.cells for row in batch.rows])
            loss = loss + 0.4 * locate_loss(where, cells)
        return loss

    def _predicted(self, tokens: Tensor, questions: Sequence[Question]) -> Tensor:
        query, valid = self.table.queries([question.text for question in questions])
        tokens = torch.zeros_like(tokens) if self.blind else tokens
        visual = tokens.expand(len(questions), -1, -1)
        found: Tensor = self.predictor(visual, query, valid)
        return found

    def _candidates(self, texts: tuple[str, ...]) -> Tensor:
        if texts not in self._texts:
            self._texts[texts] = self.text_head(self.table.answers(texts))
        return self._texts[texts]

    @torch.no_grad()
    def right(self, tokens: Tensor, questions: Sequence[Question]) -> list[bool]:
        """Nearest candidate."""
        predicted = self._predicted(tokens, questions)
        return [
            q.keys[int((self._candidates(q.candidates) @ vector).argmax())] == q.key
            for q, vector in zip(questions, predicted, strict=True)
        ]

    @torch.no_grad()
    def answer(self, tokens: Tensor, question: Question) -> None:
        """One Predictor pass and the comparison with candidates that are embedded already."""
        (vector,) = self._predicted(tokens, [question])
        (self._candidates(question.candidates) @ vector).argmax()


class WritingHead:
    """Writes the canonical text of the answer; right where it is the one of the truth."""

    def __init__(self, model: VLJEPA, table: TextTable, sizes: GeneratingSizes) -> None:
        self.table, self.words = table, DecoderWords(decoder_words())
        text, window = model.architecture.text, model.architecture.window
        self.head = GeneratingHead(sizes, window.dim, text.dim, len(self.words))
        self.module: nn.Module = self.head

    def loss(self, tokens: Tensor, batch: Batch, questions: int) -> Tensor:
        """Cross-entropy of the words."""
        goals = [self.words.ids(canonical_text(row.key)) for row in batch.rows]
        longest = max(len(goal) for goal in goals)
        ids = torch.zeros(len(goals), longest, dtype=torch.long)
        for place, goal in enumerate(goals):
            ids[place, : len(goal)] = torch.tensor(goal)
        visual = tokens.repeat_interleave(questions, 0)
        logits = self.head(visual, batch.query, batch.valid, ids)
        return functional.cross_entropy(logits.flatten(0, 1), ids.flatten(), ignore_index=0)

    def _written(self, tokens: Tensor, question: Question) -> str:
        query, _ = self.table.queries([question.text])
        return self.words.text(self.head.write(tokens[None], query)[0])

    @torch.no_grad()
    def right(self, tokens: Tensor, questions: Sequence[Question]) -> list[bool]:
        """The text written is that of the truth, word by word."""
        goals = [self.words.text(self.words.ids(canonical_text(q.key))) for q in questions]
        return [self._written(tokens, q) == goal for q, goal in zip(questions, goals, strict=True)]

    def answer(self, tokens: Tensor, question: Question) -> None:
        """Write one answer."""
        self._written(tokens, question)


def batches(
    scenes: list[Scene], tokens: Tensor, table: TextTable, setting: Setting
) -> Iterator[tuple[Tensor, Batch]]:
    """The same batches for the same setting, whoever learns from them.

    :param tokens: [scenes, windows, N, D] of each clip of each scene.
    """
    rng = random.Random(setting.seed)
    chooser = ClipSampler(scenes, CLIP_FRAMES, 1, setting.questions, rng)

    def clips(batch: list[SampledClip]) -> Tensor:
        return torch.stack([tokens[a.scene, a.lasts[0] - CLIP_FRAMES + 1] for a in batch]).float()

    for _ in range(setting.steps):
        batch = prepare(scenes, chooser, setting.clips, table, rng, clips)
        yield batch.clips, batch


def train(
    heads: dict[str, Head],
    stream: Iterator[tuple[Tensor, Batch]],
    setting: Setting,
    say: Callable[[str], None],
) -> dict[str, float]:
    """Train all heads side by side; seconds of CPU that each one took."""
    optimizers = {
        name: make_optimizer([(head.module, 1.0)], setting.rate) for name, head in heads.items()
    }
    seconds = dict.fromkeys(heads, 0.0)
    for step, (tokens, batch) in enumerate(stream):
        losses = {}
        for name, head in heads.items():
            begin = time.process_time()
            set_rate(
                optimizers[name], setting.rate, step, (step + 1) / setting.steps, setting.warmup
            )
            loss = head.loss(tokens, batch, setting.questions)
            optimizers[name].zero_grad()
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(head.module.parameters(), 1.0)
            optimizers[name].step()
            seconds[name] += time.process_time() - begin
            losses[name] = float(loss.detach())
        if (step + 1) % 50 == 0:
            state = ", ".join(f"{name} {loss:.3f}" for name, loss in losses.items())
            say(f"step {step + 1} of {setting.steps}: {state}")
    return seconds


def parameters(head: Head) -> int:
    """Trainable parameters."""
    return trainable_parameters(head.module)
