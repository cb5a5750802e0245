"""Phase 1: the per-frame stage learns to see, from what the simulator knows of each frame.

InfoNCE from scratch on the few scenes of a batch failed; some minutes of this make it work. Needs
torch.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from vljepa_ros.models.vl_jepa.vl_jepa import VLJEPA
from vljepa_ros.models.vl_jepa.x_encoder import FrameStage
from vljepa_ros.training.augment import augment
from vljepa_ros.training.checkpoint import load_checkpoint, load_into, save_checkpoint
from vljepa_ros.training.distract import distract
from vljepa_ros.training.heads import FrameHeads
from vljepa_ros.training.losses import dense_loss
from vljepa_ros.training.progress import Budget, Progress
from vljepa_ros.training.schedule import make_optimizer, set_rate
from vljepa_ros.training.store import CLASSES, Scene, Store

__all__ = ["DenseConfig", "channels_last", "freeze_statistics", "probe", "train_dense"]


@dataclass(frozen=True)
class DenseConfig:
    """batch: frames, each of another scene where there are enough; distracted: see JointConfig."""

    minutes: float = 8.0
    batch: int = 64
    rate: float = 2e-3
    warmup: int = 60
    save_every: float = 2.0
    distracted: float = 0.7


def channels_last(convolutions: nn.Module) -> None:
    """Store kernels as oneDNN and cuDNN like them best."""
    for module in convolutions.modules():
        if isinstance(module, nn.Conv2d):
            module.weight.data = module.weight.data.contiguous(memory_format=torch.channels_last)


def freeze_statistics(stage: FrameStage) -> None:
    """Keep BatchNorm's statistics as they are from now on, also in training mode."""
    for module in stage.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()


def _batch(
    scenes: list[Scene], count: int, rng: np.random.Generator, distracted: float = 0.0
) -> tuple[Tensor, dict[str, Tensor]]:
    picks = [
        (scenes[i], int(rng.integers(len(scenes[i].frames))))
        for i in rng.choice(len(scenes), count, replace=len(scenes) < count)
    ]
    pixels = np.stack([scene.frames[t] for scene, t in picks])
    if distracted:
        source = random.Random(int(rng.integers(1 << 40)))
        for index, (scene, t) in enumerate(picks):
            if source.random() < distracted:
                states = scene.record.states[t : t + 1]
                pixels[index] = distract(pixels[index : index + 1], states, source)[0]
    frames = torch.from_numpy(pixels)
    truth = {
        name: torch.from_numpy(np.stack([scene.truth[name][t] for scene, t in picks])).long()
        for name in CLASSES
    }
    return frames, truth


def probe(
    stage: FrameStage, heads: FrameHeads, store: Store, frames: int = 512
) -> dict[str, float]:
    """Accuracy of the read-outs on frames of `store`: the gate before joint training."""
    rng = np.random.default_rng(0)
    stage.eval()
    pixels, truth = _batch(store.scenes, frames, rng)
    with torch.no_grad():
        parts = [heads(stage(chunk)) for chunk in torch.split(pixels, 64)]
    logits = {name: torch.cat([part[name] for part in parts]) for name in CLASSES}
    stage.train()
    return {name: round(value, 3) for name, value in dense_loss(logits, truth)[1].items()}


def train_dense(
    model: VLJEPA, store: Store, held_out: Store, config: DenseConfig, folder: Path, seed: int = 0
) -> None:
    """Train `model.frame`; resumes from and ends with `folder/dense.pt`."""
    heads = FrameHeads(model.architecture.frame.dim)
    parts = {"frame": model.frame, "heads": heads}
    optimizer = make_optimizer([(model.frame, 1.0), (heads, 1.0)], config.rate)
    file = folder / "dense.pt"
    saved = load_checkpoint(file)
    if saved:
        load_into(saved, parts | ({} if saved["done"] else {"optimizer": optimizer}))
        if saved["done"]:
            freeze_statistics(model.frame)
            return
    budget = Budget(config.minutes, saved["spent"] if saved else 0.0)
    progress, rng = (
        Progress("dense", budget),
        np.random.default_rng([seed, int(budget.spent * 1e6)]),
    )
    generator = torch.Generator().manual_seed(int(rng.integers(1 << 40)))
    channels_last(model.frame.stem)
    model.frame.train()
    step, next_save = 0, budget.spent + config.save_every
    while budget.share < 1:
        set_rate(optimizer, config.rate, step, budget.share, config.warmup)
        pixels, truth = _batch(store.scenes, config.batch, rng, config.distracted)
        clean = augment(pixels[:, None], generator, shift=0)[:, 0]
        loss, accuracy = dense_loss(heads(model.frame(clean)), truth)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        step += 1
        progress.add(config.batch, {"loss": float(loss.detach())} | accuracy)
        if budget.spent > next_save:
            next_save = budget.spent + config.save_every
            store.refresh()
            save_checkpoint(file, parts | {"optimizer": optimizer}, budget.spent, False)
            if held_out.scenes:
                print("dense, held out:", probe(model.frame, heads, held_out), flush=True)
    save_checkpoint(file, parts, budget.spent, True)
    freeze_statistics(model.frame)
    if held_out.scenes:
        print("dense, held out:", probe(model.frame, heads, held_out), flush=True)
