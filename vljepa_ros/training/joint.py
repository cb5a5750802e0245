"""Phase 2: X-Encoder, Predictor and the Y-Encoder's head together, by InfoNCE and the simulator's
truth.

Needs torch.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from vljepa_ros.models.vl_jepa.vl_jepa import VLJEPA
from vljepa_ros.training.asking import Row
from vljepa_ros.training.augment import augment
from vljepa_ros.training.batches import Asked, Chooser, frames_of, prepared
from vljepa_ros.training.checkpoint import load_checkpoint, load_into, save_checkpoint
from vljepa_ros.training.contrast import Columns, LogitScale, answer_loss
from vljepa_ros.training.dense import channels_last, freeze_statistics
from vljepa_ros.training.distract import distract
from vljepa_ros.training.heads import FrameHeads, WindowHeads
from vljepa_ros.training.losses import dense_loss, locate_loss
from vljepa_ros.training.paraphrases import Paraphrases
from vljepa_ros.training.progress import Budget, Progress
from vljepa_ros.training.schedule import make_optimizer, set_rate
from vljepa_ros.training.store import CLASSES, Scene, Store
from vljepa_ros.training.texts import TextTable
from vljepa_ros.world.questions import CLIP_FRAMES

__all__ = ["JointConfig", "Prepared", "train_joint", "window_loss", "window_truth"]


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
class Prepared:
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


def window_truth(scenes: list[Scene], batch: list[Asked]) -> dict[str, Tensor]:
    """Targets of each window of a batch, window by window."""
    picks = [(scenes[a.scene], t) for a in batch for t in a.lasts]
    found = {
        name: torch.from_numpy(np.stack([s.truth[name][t] for s, t in picks])).long()
        for name in CLASSES
    }
    found["action"] = torch.tensor([int(s.action[t]) for s, t in picks])
    found["moved"] = torch.tensor([int(s.moved[t]) for s, t in picks])
    found["motion"] = torch.from_numpy(np.stack([s.motion[t] for s, t in picks]))
    return found


def window_loss(
    logits: dict[str, Tensor], truth: dict[str, Tensor]
) -> tuple[Tensor, dict[str, float]]:
    """State at the end of the clip, action, moved object's cell, ego-motion."""
    classes = {name: truth[name] for name in (*CLASSES, "action")}
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
) -> Prepared:
    """Draw a batch and look everything up."""
    batch = chooser.choose(count)
    rows = [row for asked in batch for window in asked.rows for row in window]
    columns = Columns(rows, "train", rng)
    query, valid = table.queries([row.question for row in rows])
    table.add_answers(columns.texts)
    spans = [(scenes[a.scene], slice(a.start, a.start + chooser.frames)) for a in batch]
    return Prepared(
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
            for name in CLASSES
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
    folder: Path,
    evaluate: Callable[[], dict[str, float]],
    seed: int = 0,
    phase: str = "joint",
    start_from: str = "dense",
    paraphrases: Paraphrases | None = None,
) -> None:
    """Resumes from and ends with `folder/<phase>.pt`; starts with what `folder/<start_from>.pt`
    has.
    """
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
        [(part, config.frame_factor if name == "frame" else 1.0) for name, part in parts.items()],
        config.rate,
    )
    file = folder / f"{phase}.pt"
    saved = load_checkpoint(file)
    if saved is None:
        start = load_checkpoint(folder / f"{start_from}.pt")
        if start is not None:
            load_into(start, parts, partial=True)
    else:
        load_into(saved, parts | ({} if saved["done"] else {"optimizer": optimizer}))
        if saved["done"]:
            freeze_statistics(model.frame)
            return
    budget = Budget(config.minutes, saved["spent"] if saved else 0.0)
    progress = Progress(phase, budget)
    rng = random.Random(f"{phase} {seed} {budget.spent}")
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

    model.train()
    freeze_statistics(model.frame)
    next_save = budget.spent + config.save_every
    for step, batch in enumerate(
        prepared(lambda: prepare(store.scenes, chooser, config.scenes, table, rng, clips))
    ):
        set_rate(optimizer, config.rate, step, budget.share, config.warmup)
        features = model.frame(batch.clips.flatten(0, 1))
        tokens = model.window(windows_of(features.unflatten(0, batch.clips.shape[:2]), batch.asked))
        predicted, where = model.predictor.predict(
            tokens, batch.query, batch.valid, config.questions
        )
        contrast, right = answer_loss(predicted, batch.columns, model.text_head, scale, table)
        of_frames, _ = dense_loss(frame_heads(features), batch.frame_truth)
        of_windows, seen = window_loss(window_heads(tokens), batch.window_truth)
        cells = torch.tensor([row.cells for row in batch.rows])
        located = locate_loss(where, cells) if where is not None else contrast * 0
        loss = contrast + 0.25 * of_frames + 0.3 * of_windows + 0.4 * located
        told = contrast.detach() * 0
        if paraphrases is not None and step % config.text_every == 0:
            told = paraphrases.loss(model.text_head, scale.log.detach().exp(), rng)
            loss = loss + config.texts * told
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(
            [p for group in optimizer.param_groups for p in group["params"]], 1.0
        )
        optimizer.step()
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
        if budget.share >= 1:
            break
        if budget.spent > next_save:
            save_checkpoint(file, parts | {"optimizer": optimizer}, budget.spent, False)
            table.save(folder / "texts.pt")
            store.refresh()
            print(f"{phase}, validation:", evaluate(), flush=True)
            model.train()
            freeze_statistics(model.frame)
            next_save = budget.spent + config.save_every
    save_checkpoint(file, parts, budget.spent, True)
    table.save(folder / "texts.pt")
    print(f"{phase}, validation:", evaluate(), flush=True)
