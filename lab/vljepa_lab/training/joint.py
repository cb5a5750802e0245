"""Phase 2: X-Encoder, Predictor and the Y-Encoder's head together, by InfoNCE and the simulator's
truth.

Needs torch.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from vljepa_lab.training.asking import Row
from vljepa_lab.training.augmentation import augment, distract
from vljepa_lab.training.batches import Asked, Chooser, frames_of, prepared
from vljepa_lab.training.contrast import Columns, LogitScale, answer_loss
from vljepa_lab.training.dense import channels_last, freeze_statistics
from vljepa_lab.training.distributed import moved
from vljepa_lab.training.heads import FrameHeads, WindowHeads
from vljepa_lab.training.loop import Phase, Progress, RunContext, make_optimizer
from vljepa_lab.training.losses import dense_loss, locate_loss
from vljepa_lab.training.paraphrases import Paraphrases
from vljepa_lab.training.store import Scene, Store
from vljepa_lab.training.texts import TextTable
from vljepa_lab.world.records import CLIP_FRAMES
from vljepa_ros.models.vl_jepa.nano_model import VLJEPA


@dataclass(frozen=True)
class JointConfig:
    """scenes per batch, successive frames of each, windows in them, questions about each window.

    frame_factor: learning rate of the pre-trained frame stage, as a share of `rate`. distracted:
    share of the clips with things added to the room (`distract`). texts: weight of the loss on
    texts alone, which is added at every `text_every`-th step.
    """

    minutes: float = 24.0
    scenes: int = 10
    frames: int = 5
    windows: int = 2
    questions: int = 4
    rate: float = 1e-3
    frame_factor: float = 0.3
    warmup: int = 40
    distracted: float = 0.7
    texts: float = 0.5
    text_every: int = 2
    save_every: float = 6.0


@dataclass(frozen=True)
class Batch:
    """One batch, ready: clips (pixels or features) [S, F, ...], rows window by window, texts looked
    up.
    """

    clips: Tensor
    asked: list[Asked]
    rows: list[Row]
    columns: Columns
    query: Tensor
    valid: Tensor
    frame_truth: dict[str, Tensor]
    window_truth: dict[str, Tensor]

    def to(self, device: torch.device) -> Batch:
        """The same batch on a device."""
        return replace(
            self,
            clips=self.clips.to(device),
            columns=self.columns.to(device),
            query=self.query.to(device),
            valid=self.valid.to(device),
            frame_truth=moved(self.frame_truth, device),
            window_truth=moved(self.window_truth, device),
        )


def window_truth(scenes: list[Scene], batch: list[Asked]) -> dict[str, Tensor]:
    """Targets of each window of a batch, window by window."""
    picks = [(scenes[a.scene], t) for a in batch for t in a.lasts]
    found = {
        name: torch.from_numpy(np.stack([s.truth[name][t] for s, t in picks])).long()
        for name in picks[0][0].truth
    }
    found["action"] = torch.tensor([int(s.action[t]) for s, t in picks])
    found["moved"] = torch.tensor([int(s.moved[t]) for s, t in picks])
    found["motion"] = torch.from_numpy(np.stack([s.motion[t] for s, t in picks]))
    return found


def window_loss(
    logits: dict[str, Tensor], truth: dict[str, Tensor]
) -> tuple[Tensor, dict[str, float]]:
    """State at the end of the clip, action, moved object's cell, ego-motion."""
    classes = {name: goal for name, goal in truth.items() if name not in ("moved", "motion")}
    loss, accuracy = dense_loss(logits, classes)
    loss = loss + 0.5 * functional.smooth_l1_loss(logits["motion"].float(), truth["motion"])
    asked = truth["moved"] >= 0
    if asked.any():
        loss = loss + 0.5 * functional.cross_entropy(
            logits["moved"].float()[asked], truth["moved"][asked]
        )
    return loss, {name: accuracy[name] for name in ("action", "shape") if name in accuracy}


def prepare(
    scenes: list[Scene],
    chooser: Chooser,
    count: int,
    table: TextTable,
    rng: random.Random,
    clips: Callable[[list[Asked]], Tensor],
) -> Batch:
    """Draw a batch and look everything up."""
    batch = chooser.choose(count)
    rows = [row for asked in batch for window in asked.rows for row in window]
    columns = Columns(rows, "train", rng)
    query, valid = table.queries([row.question for row in rows])
    table.add_answers(columns.texts)
    spans = [(scenes[a.scene], slice(a.start, a.start + chooser.frames)) for a in batch]
    return Batch(
        clips(batch),
        batch,
        rows,
        columns,
        query,
        valid,
        {
            name: torch.from_numpy(
                np.concatenate([s.truth[name][span] for s, span in spans])
            ).long()
            for name in spans[0][0].truth
        },
        window_truth(scenes, batch),
    )


def windows_of(features: Tensor, batch: list[Asked]) -> Tensor:
    """Frame features [S, F, cells, D] -> [windows, T, cells, D], scene by scene."""
    return torch.stack(
        [
            features[index, last - asked.start - CLIP_FRAMES + 1 : last - asked.start + 1]
            for index, asked in enumerate(batch)
            for last in asked.lasts
        ]
    )


def train_joint(
    model: VLJEPA,
    table: TextTable,
    store: Store,
    config: JointConfig,
    context: RunContext,
    evaluate: Callable[[], dict[str, float]],
    seed: int = 0,
    name: str = "joint",
    start_from: str = "dense",
    paraphrases: Paraphrases | None = None,
) -> None:
    """Resumes from and ends with `<name>.pt`; starts with what `<start_from>.pt` has."""
    machine = context.machine
    frame_heads = FrameHeads(model.architecture.frame.dim)
    window_heads = WindowHeads(model.architecture.window.dim)
    scale = LogitScale()
    parts = {
        "frame": model.frame,
        "window": model.window,
        "predictor": model.predictor,
        "text_head": model.text_head,
        "heads": frame_heads,
        "window_heads": window_heads,
        "scale": scale,
    }
    optimizer = make_optimizer(
        [(part, config.frame_factor if key == "frame" else 1.0) for key, part in parts.items()],
        config.rate,
    )
    phase = Phase(name, context, parts, optimizer, config.minutes)
    if phase.begin(start_from):
        freeze_statistics(model.frame)
        return
    progress = Progress(name, phase.budget, quiet=not machine.first)
    rng = random.Random(f"{name} {seed} {machine.rank} {phase.budget.spent}")
    generator = torch.Generator().manual_seed(rng.randrange(1 << 40))
    channels_last(model.frame.stem)
    chooser = Chooser(store.scenes, config.frames, config.windows, config.questions, rng, table)

    def clips(batch: list[Asked]) -> Tensor:
        pixels = frames_of(store.scenes, batch, config.frames)
        for index, asked in enumerate(batch):
            if rng.random() < config.distracted:
                span = slice(asked.start, asked.start + config.frames)
                states = store.scenes[asked.scene].record.states[span]
                pixels[index] = distract(pixels[index], states, rng)
        return augment(torch.from_numpy(pixels), generator, shift=0)

    def saved() -> None:
        table.save(context.folder / "texts.pt")
        print(f"{name}, validation:", evaluate(), flush=True)

    def ready() -> None:
        store.refresh()
        model.train()
        freeze_statistics(model.frame)

    def make() -> Batch:
        return prepare(store.scenes, chooser, config.scenes, table, rng, clips)

    batches = prepared(make)
    for step in phase.steps(config.rate, config.warmup, config.save_every, saved, ready):
        batch = next(batches).to(machine.device)
        with machine.autocast():
            features = model.frame(batch.clips.flatten(0, 1))
            tokens = model.window(
                windows_of(features.unflatten(0, batch.clips.shape[:2]), batch.asked)
            )
            predicted, where = model.predictor.predict(
                tokens, batch.query, batch.valid, config.questions
            )
            seen_in_frames, seen_in_windows = frame_heads(features), window_heads(tokens)
        contrast, right = answer_loss(
            predicted.float(), batch.columns, model.text_head, scale, table
        )
        of_frames, _ = dense_loss(seen_in_frames, batch.frame_truth)
        of_windows, seen = window_loss(seen_in_windows, batch.window_truth)
        located = located_loss(where, batch, contrast)
        told = text_loss(model, paraphrases, scale, rng, step, config.text_every, contrast)
        phase.descend(
            contrast + 0.25 * of_frames + 0.3 * of_windows + 0.4 * located + config.texts * told
        )
        progress.add(
            len(tokens),
            {
                "contrast": float(contrast.detach()),
                "right": right,
                "locate": float(located.detach()),
                **({"texts": float(told.detach())} if told.requires_grad else {}),
                "frames": float(of_frames.detach()),
                **seen,
                "scale": float(scale.log.detach().exp()),
            },
        )
    batches.close()


def located_loss(where: Tensor | None, batch: Batch, like: Tensor) -> Tensor:
    """Where the slots point; zero where the Predictor has none."""
    if where is None:
        return like.detach() * 0
    cells = torch.tensor([row.cells for row in batch.rows], device=where.device)
    return locate_loss(where, cells)


def text_loss(
    model: VLJEPA,
    paraphrases: Paraphrases | None,
    scale: LogitScale,
    rng: random.Random,
    step: int,
    every: int,
    like: Tensor,
) -> Tensor:
    """The loss on texts alone at every `every`-th step, else zero."""
    if paraphrases is None or step % every:
        return like.detach() * 0
    return paraphrases.loss(model.text_head, scale.log.detach().exp(), rng)
