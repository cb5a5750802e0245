"""Phase 1: the per-frame stage learns to see, from what the simulator knows of each frame.

InfoNCE from scratch on the few scenes of a batch failed; some minutes of this make it work. Needs
torch.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from vljepa_lab.training.augmentation import augment, distract
from vljepa_lab.training.batches import truth_of
from vljepa_lab.training.distributed import device_of, to_device
from vljepa_lab.training.loop import Phase, PhaseConfig, RunContext
from vljepa_lab.training.losses import FrameHeads, dense_loss
from vljepa_lab.training.store import Scene, SceneStore
from vljepa_ros.models.vl_jepa.nano_model import VLJEPA, FrameStage


@dataclass(frozen=True)
class DenseConfig(PhaseConfig):
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
    return torch.from_numpy(pixels), truth_of(picks)


def probe(stage: FrameStage, heads: FrameHeads, store: SceneStore) -> dict[str, float]:
    """Accuracy of the read-outs on 512 frames of `store`: the gate before joint training."""
    rng = np.random.default_rng(0)
    stage.eval()
    pixels, truth = _batch(store.scenes, 512, rng)
    device = device_of(stage)
    with torch.no_grad():
        parts = [heads(stage(chunk.to(device))) for chunk in torch.split(pixels, 64)]
    logits = {name: torch.cat([part[name] for part in parts]).cpu() for name in truth}
    stage.train()
    return {name: round(value, 3) for name, value in dense_loss(logits, truth)[1].items()}


def train_dense(
    model: VLJEPA,
    store: SceneStore,
    held_out: SceneStore,
    config: DenseConfig,
    context: RunContext,
    seed: int = 0,
) -> FrameHeads:
    """Train `model.frame`; resumes from and ends with `dense.pt`. Returns the read-outs."""
    machine = context.machine
    heads = FrameHeads(model.architecture.frame.dim)
    parts = {"frame": model.frame, "heads": heads}
    phase = Phase("dense", context, config, parts, [(part, 1.0) for part in parts.values()])
    if phase.begin():
        freeze_statistics(model.frame)
        return heads
    rng = np.random.default_rng([seed, machine.rank, int(phase.budget.spent * 1e6)])
    generator = torch.Generator().manual_seed(int(rng.integers(1 << 40)))
    channels_last(model.frame.stem)

    def saved() -> None:
        if held_out.scenes:
            print("dense, held out:", probe(model.frame, heads, held_out), flush=True)

    def ready() -> None:
        store.refresh()
        model.frame.train()

    for _ in phase.steps(saved, ready):
        pixels, truth = _batch(store.scenes, config.batch, rng, config.distracted)
        clean = augment(pixels[:, None], generator, shift=0)[:, 0].to(machine.device)
        with machine.autocast():
            logits = heads(model.frame(clean))
        loss, accuracy = dense_loss(logits, to_device(truth, machine.device))
        phase.descend(loss, limit=1e3)
        phase.progress.add(config.batch, {"loss": loss, **accuracy})
    freeze_statistics(model.frame)
    return heads
