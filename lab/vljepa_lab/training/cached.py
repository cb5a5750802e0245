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

import torch
from torch import Tensor

from vljepa_lab.training.batches import Asked, Chooser, prepared
from vljepa_lab.training.contrast import LogitScale, answer_loss
from vljepa_lab.training.distributed import device_of
from vljepa_lab.training.heads import FrameHeads, WindowHeads
from vljepa_lab.training.joint import (
    Batch,
    located_loss,
    prepare,
    text_loss,
    window_loss,
    windows_of,
)
from vljepa_lab.training.loop import Phase, Progress, RunContext, make_optimizer
from vljepa_lab.training.paraphrases import Paraphrases
from vljepa_lab.training.store import Scene
from vljepa_lab.training.texts import TextTable
from vljepa_lab.world.records import CLIP_FRAMES
from vljepa_ros.models.vl_jepa.nano_model import VLJEPA


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
    """Frame features of all scenes: [S, frames, cells, dim] fp16, on the CPU."""
    model.frame.eval()
    device, out = device_of(model.frame), []
    with torch.no_grad():
        for scene in scenes:
            chunks = [
                torch.tensor(scene.frames[i : i + 12]) for i in range(0, len(scene.frames), 12)
            ]
            out.append(torch.cat([model.frame(c.to(device)).half().cpu() for c in chunks]))
    return torch.stack(out)


def train_cached(
    model: VLJEPA,
    table: TextTable,
    scenes: list[Scene],
    config: CachedConfig,
    context: RunContext,
    evaluate: Callable[[], dict[str, float]],
    features: Tensor,
    seed: int = 0,
    name: str = "cached",
    start_from: str = "joint",
    paraphrases: Paraphrases | None = None,
) -> None:
    """Resumes from and ends with `<name>.pt`; starts with `<start_from>.pt`.

    features: `frame_features` of `scenes`.
    """
    machine = context.machine
    window_heads, scale = WindowHeads(model.architecture.window.dim), LogitScale()
    # The per-frame stage and its read-outs only pass through, for the phase that comes next.
    parts = {
        "frame": model.frame,
        "heads": FrameHeads(model.architecture.frame.dim),
        "window": model.window,
        "predictor": model.predictor,
        "text_head": model.text_head,
        "window_heads": window_heads,
        "scale": scale,
    }
    fixed = {"frame", "heads"} | ({"window", "window_heads"} if config.tokens_only else set())
    optimizer = make_optimizer(
        [(part, 1.0) for key, part in parts.items() if key not in fixed], config.rate
    )
    phase = Phase(name, context, parts, optimizer, config.minutes)
    if phase.begin(start_from):
        return
    progress = Progress(name, phase.budget, quiet=not machine.first)
    rng = random.Random(f"{name} {seed} {machine.rank} {phase.budget.spent}")
    chooser = Chooser(scenes, CLIP_FRAMES, 1, config.questions, rng, table)

    def clips(batch: list[Asked]) -> Tensor:
        taken = torch.stack(
            [features[a.scene, a.start : a.start + CLIP_FRAMES] for a in batch]
        ).float()
        return taken + torch.randn_like(taken) * config.noise

    def saved() -> None:
        table.save(context.folder / "texts.pt")
        print(f"{name}, validation:", evaluate(), flush=True)

    def ready() -> None:
        model.eval()
        model.window.train()
        model.predictor.train()

    def make() -> Batch:
        return prepare(scenes, chooser, config.scenes, table, rng, clips)

    batches = prepared(make)
    for step in phase.steps(config.rate, config.warmup, config.save_every, saved, ready):
        batch = next(batches).to(machine.device)
        with machine.autocast():
            with torch.set_grad_enabled(not config.tokens_only):
                tokens = model.window(windows_of(batch.clips, batch.asked))
                seen_in_windows = window_heads(tokens)
            predicted, where = model.predictor.predict(
                tokens, batch.query, batch.valid, config.questions
            )
        of_windows, seen = window_loss(seen_in_windows, batch.window_truth)
        contrast, right = answer_loss(
            predicted.float(), batch.columns, model.text_head, scale, table
        )
        located = located_loss(where, batch, contrast)
        told = text_loss(model, paraphrases, scale, rng, step, config.text_every, contrast)
        loss = contrast + 0.4 * located + config.texts * told
        phase.descend(loss if config.tokens_only else loss + 0.3 * of_windows)
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
    batches.close()
