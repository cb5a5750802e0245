"""Phase 3: window stage, Predictor and text head on cached frame features, the per-frame stage
fixed.

Without the per-frame stage in the loop a step costs half, so more windows and fresh questions about
them are seen. With `tokens_only` the window stage is fixed as well: the Predictor alone. Needs
torch.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from vljepa_ros.models.vl_jepa.vl_jepa import VLJEPA
from vljepa_ros.training.batches import Asked, Chooser, prepared
from vljepa_ros.training.checkpoint import load_checkpoint, load_into, save_checkpoint
from vljepa_ros.training.contrast import LogitScale, answer_loss
from vljepa_ros.training.heads import FrameHeads, WindowHeads
from vljepa_ros.training.joint import prepare, window_loss, windows_of
from vljepa_ros.training.losses import locate_loss
from vljepa_ros.training.paraphrases import Paraphrases
from vljepa_ros.training.progress import Budget, Progress
from vljepa_ros.training.schedule import make_optimizer, set_rate
from vljepa_ros.training.store import Scene
from vljepa_ros.training.texts import TextTable
from vljepa_ros.world.questions import CLIP_FRAMES

__all__ = ["CachedConfig", "frame_features", "train_cached"]


@dataclass(frozen=True)
class CachedConfig:
    """As JointConfig; noise: of the cached features, as a share of their spread (1 after
    LayerNorm).
    """

    minutes: float = 16.0
    scenes: int = 20
    questions: int = 8
    rate: float = 8e-4
    warmup: int = 60
    save_every: float = 5.0
    noise: float = 0.08
    tokens_only: bool = False
    texts: float = 0.5
    text_every: int = 2


def frame_features(model: VLJEPA, scenes: list[Scene]) -> Tensor:
    """Frame features of all scenes: [S, frames, cells, dim] fp16."""
    model.frame.eval()
    out = []
    with torch.no_grad():
        for scene in scenes:
            chunks = [scene.frames[i : i + 12] for i in range(0, len(scene.frames), 12)]
            out.append(torch.cat([model.frame(torch.tensor(chunk)).half() for chunk in chunks]))
    return torch.stack(out)


def train_cached(
    model: VLJEPA,
    table: TextTable,
    scenes: list[Scene],
    config: CachedConfig,
    folder: Path,
    evaluate: Callable[[], dict[str, float]],
    features: Tensor,
    seed: int = 0,
    phase: str = "cached",
    start_from: str = "joint",
    paraphrases: Paraphrases | None = None,
) -> None:
    """Resumes from and ends with `folder/<phase>.pt`; starts with `folder/<start_from>.pt`.

    features: `frame_features` of `scenes`.
    """
    window_heads, scale = WindowHeads(model.architecture.window.dim), LogitScale()
    # The per-frame stage and its read-outs only pass through, for the phase that comes next.
    heads = FrameHeads(model.architecture.frame.dim)
    parts = {
        "frame": model.frame,
        "heads": heads,
        "window": model.window,
        "predictor": model.predictor,
        "text_head": model.text_head,
        "window_heads": window_heads,
        "scale": scale,
    }
    fixed = {"frame", "heads"} | ({"window", "window_heads"} if config.tokens_only else set())
    optimizer = make_optimizer(
        [(part, 1.0) for name, part in parts.items() if name not in fixed], config.rate
    )
    file = folder / f"{phase}.pt"
    saved = load_checkpoint(file)
    if saved is not None:
        load_into(saved, parts | ({} if saved["done"] else {"optimizer": optimizer}))
        if saved["done"]:
            return
    else:
        start = load_checkpoint(folder / f"{start_from}.pt")
        if start is not None:
            load_into(start, parts, partial=True)
    budget = Budget(config.minutes, saved["spent"] if saved else 0.0)
    progress = Progress(phase, budget)
    rng = random.Random(f"{phase} {seed} {budget.spent}")
    chooser = Chooser(scenes, CLIP_FRAMES, 1, config.questions, rng, table)

    def clips(batch: list[Asked]) -> Tensor:
        taken = torch.stack(
            [features[a.scene, a.start : a.start + CLIP_FRAMES] for a in batch]
        ).float()
        return taken + torch.randn_like(taken) * config.noise

    model.eval()
    model.window.train()
    model.predictor.train()
    next_save = budget.spent + config.save_every
    for step, batch in enumerate(
        prepared(lambda: prepare(scenes, chooser, config.scenes, table, rng, clips))
    ):
        set_rate(optimizer, config.rate, step, budget.share, config.warmup)
        with torch.set_grad_enabled(not config.tokens_only):
            tokens = model.window(windows_of(batch.clips, batch.asked))
            of_windows, seen = window_loss(window_heads(tokens), batch.window_truth)
        predicted, where = model.predictor.predict(
            tokens, batch.query, batch.valid, config.questions
        )
        contrast, right = answer_loss(predicted, batch.columns, model.text_head, scale, table)
        cells = torch.tensor([row.cells for row in batch.rows])
        located = locate_loss(where, cells) if where is not None else contrast * 0
        loss = contrast + 0.4 * located
        if not config.tokens_only:
            loss = loss + 0.3 * of_windows
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
                **seen,
                "scale": float(scale.log.detach().exp()),
            },
        )
        if budget.share >= 1:
            break
        if budget.spent > next_save:
            save_checkpoint(file, parts | {"optimizer": optimizer}, budget.spent, False)
            print(f"{phase}, validation:", evaluate(), flush=True)
            model.window.train()
            model.predictor.train()
            next_save = budget.spent + config.save_every
    save_checkpoint(file, parts, budget.spent, True)
    table.save(folder / "texts.pt")
    print(f"{phase}, validation:", evaluate(), flush=True)
