"""Heads on the same fixed visual tokens, trained on the same batches.

They are VL-JEPA's Predictor, one that sees nothing, and one that writes the answer word by word.
Needs torch.
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
from torch.nn.utils.rnn import pad_sequence

from vljepa_lab.training.batches import Batch, ClipSampler, SampledClip, prepare
from vljepa_lab.training.decoder import decoder_words
from vljepa_lab.training.loop import make_optimizer, set_rate
from vljepa_lab.training.losses import LogitScale, answer_loss, locate_loss
from vljepa_lab.training.question_sampling import canonical_text
from vljepa_lab.training.store import Scene
from vljepa_lab.training.text_trunk import TextTable
from vljepa_lab.world.questions import Question
from vljepa_lab.world.records import CLIP_FRAMES
from vljepa_ros.models.vl_jepa.nano_config import VisualAttention
from vljepa_ros.models.vl_jepa.nano_heads import TextHead
from vljepa_ros.models.vl_jepa.nano_model import VLJEPA, Predictor, mlp
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
        """Answer a question about a clip's tokens [N, D], to be timed."""


class JepaHead:
    """Predictor and the text head of the Y-Encoder, both from nothing; nearest candidate.

    blind: its visual tokens are all zero, so it is not taught where objects are.
    """

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
        """InfoNCE, tokens [clips, N, D]; with slots also where the named objects are."""
        self._texts.clear()
        clip = torch.arange(len(batch.query), device=tokens.device) // questions
        predicted, where = self.predictor.predict(tokens, batch.query, batch.valid, clip)
        loss, _ = answer_loss(predicted, batch.columns, self.text_head, self.scale, self.table)
        if where is not None and not self.blind:
            loss = loss + 0.4 * locate_loss(where, batch.cells)
        return loss

    def _predicted(self, tokens: Tensor, questions: Sequence[Question]) -> Tensor:
        query, valid = self.table.queries([question.text for question in questions])
        visual = tokens.expand(len(questions), -1, -1)
        predicted: Tensor = self.predictor(visual, query, valid)
        return predicted

    def _candidates(self, texts: tuple[str, ...]) -> Tensor:
        if texts not in self._texts:
            self._texts[texts] = self.text_head(self.table.answers(texts))
        return self._texts[texts]

    @torch.no_grad()
    def right(self, tokens: Tensor, questions: Sequence[Question]) -> list[bool]:
        """Whether the nearest candidate is right, for each question about tokens [N, D]."""
        predicted = self._predicted(tokens, questions)
        return [
            q.keys[int((self._candidates(q.candidates) @ vector).argmax())] == q.key
            for q, vector in zip(questions, predicted, strict=True)
        ]

    @torch.no_grad()
    def answer(self, tokens: Tensor, question: Question) -> None:
        """A Predictor pass on tokens [N, D], compared with candidates embedded before."""
        (vector,) = self._predicted(tokens, [question])
        (self._candidates(question.candidates) @ vector).argmax()


@dataclass(frozen=True)
class GeneratingSizes:
    """Sizes of the writing head.

    Attributes:
        positions: longest question.
        answer: longest answer in words, its end included.
    """

    dim: int = 192
    depth: int = 5
    heads: int = 6
    positions: int = 72
    answer: int = 20


class _Layer(nn.Module):
    def __init__(self, dim: int, heads: int, visual_dim: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_self, self.norm_cross = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.norm_mlp = nn.LayerNorm(dim)
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.query, self.seen = nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.key_value = nn.Linear(visual_dim, 2 * dim)
        self.mlp = mlp(dim, 3)

    def _split(self, x: Tensor) -> Tensor:
        return x.reshape(x.shape[0], x.shape[1], self.heads, -1).transpose(1, 2)

    def _joined(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2).flatten(2)

    def visual_keys(self, visual: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of the visual tokens: the same for all words."""
        key, value = self.key_value(visual).chunk(2, -1)
        return self._split(key), self._split(value)

    def forward(
        self, x: Tensor, visual: tuple[Tensor, Tensor], mask: Tensor | None, past: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        query, key, value = self.qkv(self.norm_self(x)).chunk(3, -1)
        kept = torch.stack([self._split(key), self._split(value)])
        kept = kept if past is None else torch.cat([past, kept], 3)
        own = functional.scaled_dot_product_attention(
            self._split(query), kept[0], kept[1], attn_mask=mask
        )
        x = x + self.out(self._joined(own))
        seen = functional.scaled_dot_product_attention(
            self._split(self.query(self.norm_cross(x))), *visual
        )
        x = x + self.seen(self._joined(seen))
        return x + self.mlp(self.norm_mlp(x)), kept


class GeneratingHead(nn.Module):
    """Writes answers from visual tokens and question; word 0 is padding, 1 the end.

    A causal transformer over [question, answer] that attends to the visual tokens in each layer;
    the question's positions see each other both ways (a prefix language model). Keys and values are
    kept while it writes, so a further word costs one position.
    """

    def __init__(self, sizes: GeneratingSizes, visual_dim: int, query_dim: int, words: int) -> None:
        super().__init__()
        dim = sizes.dim
        self.longest = sizes.answer
        self.query_in = nn.Linear(query_dim, dim)
        self.position = nn.Parameter(torch.randn(1, sizes.positions, dim) * 0.02)
        self.begin = nn.Parameter(torch.randn(1, 1, dim) * 0.02)
        self.answer_position = nn.Parameter(torch.randn(1, sizes.answer, dim) * 0.02)
        self.words = nn.Embedding(words, dim)
        nn.init.normal_(self.words.weight, std=0.05)
        self._each = [_Layer(dim, sizes.heads, visual_dim) for _ in range(sizes.depth)]
        self.layers = nn.ModuleList(self._each)  # which makes their weights known
        self.norm = nn.LayerNorm(dim)

    def _text(self, ids: Tensor) -> Tensor:
        """Inputs of the answer's positions: a beginning, then the words so far."""
        begin = self.begin.expand(len(ids), -1, -1)
        return torch.cat([begin, self.words(ids)], 1) + self.answer_position[:, : ids.shape[1] + 1]

    def forward(self, visual: Tensor, query: Tensor, valid: Tensor, ids: Tensor) -> Tensor:
        """Teacher forcing: logits [B, L, words] of the answers ids [B, L]; visual [B, N, D]."""
        count, length = query.shape[1], ids.shape[1]
        asked = self.query_in(query) + self.position[:, :count]
        x = torch.cat([asked, self._text(ids[:, :-1])], 1)
        row = torch.arange(count + length, device=x.device)
        # the question sees itself, the answer sees the question and what stands before
        past = (row[None, :] <= row[:, None]) & (row[:, None] >= count)
        allowed = (row[None, :] < count) | past
        real = torch.cat([valid.bool(), valid.new_ones(len(ids), length).bool()], 1)
        mask = allowed[None, None] & real[:, None, None, :]
        for layer in self._each:
            x, _ = layer(x, layer.visual_keys(visual), mask, None)
        return functional.linear(self.norm(x[:, count:]), self.words.weight)

    @torch.no_grad()
    def write(self, visual: Tensor, query: Tensor) -> list[list[int]]:
        """Word ids of each answer, greedy, the end included; questions of equal length."""
        x = self.query_in(query) + self.position[:, : query.shape[1]]
        seen = [layer.visual_keys(visual) for layer in self._each]
        past: list[Tensor | None] = []
        for layer, own in zip(self._each, seen, strict=True):
            x, kept = layer(x, own, None, None)
            past.append(kept)
        ids = torch.zeros(len(query), 0, dtype=torch.long)
        running = torch.ones(len(query), dtype=torch.bool)
        while running.any() and ids.shape[1] < self.longest:
            x = self._text(ids)[:, -1:]
            for place, layer in enumerate(self._each):
                x, past[place] = layer(x, seen[place], None, past[place])
            word = functional.linear(self.norm(x[:, -1]), self.words.weight).argmax(-1)
            ids = torch.cat([ids, torch.where(running, word, DecoderWords.END)[:, None]], 1)
            running &= word != DecoderWords.END
        return [[int(word) for word in row] for row in ids]


class WritingHead:
    """Writes the canonical text of the answer; right where it is the one of the truth."""

    def __init__(self, model: VLJEPA, table: TextTable, sizes: GeneratingSizes) -> None:
        self.table, self.words = table, DecoderWords(decoder_words())
        text, window = model.architecture.text, model.architecture.window
        self.head = GeneratingHead(sizes, window.dim, text.dim, len(self.words))
        self.module: nn.Module = self.head

    def loss(self, tokens: Tensor, batch: Batch, questions: int) -> Tensor:
        """Cross-entropy of the words, tokens [clips, N, D]."""
        goals = [torch.tensor(self.words.ids(canonical_text(row.key))) for row in batch.rows]
        ids = pad_sequence(goals, batch_first=True)
        visual = tokens.repeat_interleave(questions, 0)
        logits = self.head(visual, batch.query, batch.valid, ids)
        return functional.cross_entropy(logits.flatten(0, 1), ids.flatten(), ignore_index=0)

    def _written(self, tokens: Tensor, question: Question) -> str:
        query, _ = self.table.queries([question.text])
        return self.words.text(self.head.write(tokens[None], query)[0])

    @torch.no_grad()
    def right(self, tokens: Tensor, questions: Sequence[Question]) -> list[bool]:
        """Whether the text written from tokens [N, D] is the true one, word by word."""
        goals = [self.words.text(self.words.ids(canonical_text(q.key))) for q in questions]
        return [self._written(tokens, q) == goal for q, goal in zip(questions, goals, strict=True)]

    def answer(self, tokens: Tensor, question: Question) -> None:
        """Write one answer from tokens [N, D]."""
        self._written(tokens, question)


def batches(
    scenes: list[Scene], tokens: Tensor, table: TextTable, setting: Setting
) -> Iterator[tuple[Tensor, Batch]]:
    """The same batches for the same setting, for every head.

    Args:
        scenes: to train on.
        tokens: [scenes, windows, N, D] of each clip of each scene.
        table: outputs of the text trunk.
        setting: sizes, steps and seed.
    """
    rng = random.Random(setting.seed)
    sampler = ClipSampler(scenes, CLIP_FRAMES, 1, setting.questions, rng)

    def clips(batch: list[SampledClip]) -> Tensor:
        return torch.stack([tokens[a.scene, a.lasts[0] - CLIP_FRAMES + 1] for a in batch]).float()

    for _ in range(setting.steps):
        batch = prepare(sampler, setting.clips, table, rng, clips)
        yield batch.clips, batch


def train(
    heads: dict[str, Head],
    stream: Iterator[tuple[Tensor, Batch]],
    setting: Setting,
    say: Callable[[str], None],
) -> dict[str, float]:
    """Train all heads on the same batches (tokens [clips, N, D]); seconds of CPU of each."""
    optimizers = {
        name: make_optimizer([(head.module, 1.0)], setting.rate) for name, head in heads.items()
    }
    seconds = dict.fromkeys(heads, 0.0)
    for step, (tokens, batch) in enumerate(stream):
        losses, share = {}, (step + 1) / setting.steps
        for name, head in heads.items():
            begin, optimizer = time.process_time(), optimizers[name]
            set_rate(optimizer, setting.rate, step, share, setting.warmup)
            loss = head.loss(tokens, batch, setting.questions)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            torch.nn.utils.clip_grad_norm_(head.module.parameters(), 1.0)
            optimizer.step()
            seconds[name] += time.process_time() - begin
            losses[name] = float(loss.detach())
        if (step + 1) % 50 == 0:
            state = ", ".join(f"{name} {loss:.3f}" for name, loss in losses.items())
            say(f"step {step + 1} of {setting.steps}: {state}")
    return seconds
