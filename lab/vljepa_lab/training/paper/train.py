"""`vljepa train full`: the paper's two stages for a full-sized VL-JEPA.

It runs in one process or under torchrun.

Stage 1 asks captions with general prompts (query-free), stage 2 asks questions. The X-Encoder stays
frozen; the Y-Encoder learns 20 times slower than the Predictor, because a text encoder at full rate
collapses.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from vljepa_lab.training.paper.samples import DataOrder, read_samples
from vljepa_lab.training.paper.trainee import BatchMaker, PaperTrainee, gathered_loss
from vljepa_ros.files import atomic_write
from vljepa_ros.models.config import ModelConfig, ModelError, form_of
from vljepa_ros.models.folder import load_config
from vljepa_ros.models.vl_jepa.paper_folder import finish_folder, write_tensors
from vljepa_ros.models.vl_jepa.paper_model import load_modules

_Y_ENCODER_RATE = 0.05
_CHECKPOINT = "last.pt"
_LOG = "train.jsonl"


@dataclass(frozen=True)
class Settings:
    """One run.

    batch: of all processes together. steps: of stage 1 and of stage 2. stop_after: leave off after
    so many steps in all, to be resumed.
    """

    model: Path
    data: tuple[Path, ...]
    out: Path
    steps: tuple[int, int]
    batch: int
    rate: float
    warmup: int
    frames: int
    seed: int
    every: int
    bf16: bool
    checkpointing: bool
    stop_after: int | None = None


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line."""
    settings = _settings(argv)
    started = "RANK" in os.environ and not dist.is_initialized()
    if started:
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        train(settings)
    except (ValueError, ModelError) as error:
        print(f"vljepa train full: {error}", file=sys.stderr)
        return 1
    finally:
        if started:
            dist.destroy_process_group()
    return 0


def train(settings: Settings) -> Path:
    """Train, or go on where the last checkpoint in `out` was written.

    Returns:
        The folder of the trained model.

    Raises:
        ValueError: Data or model that cannot be used.
    """
    run = _Run(settings)
    last = min(sum(settings.steps), settings.stop_after or sum(settings.steps))
    for step in range(run.done, last):
        run.step(step)
        if (step + 1) % settings.every == 0 or step + 1 == last:
            if run.rank == 0:
                run.save(step + 1)
            if run.ranks > 1:
                dist.barrier()
    folder = settings.out / "model"
    if run.rank == 0 and last == sum(settings.steps):
        _write_model(folder, run.config, run.trainee)
    return folder


class _Run:
    """What stays the same from step to step; `done` steps are behind it."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.config = settings, load_config(settings.model)
        if form_of(self.config) != "paper":
            raise ValueError(f"'{settings.model}' is no full-sized VL-JEPA: convert one first")
        self.rank, self.ranks = 0, 1
        if dist.is_initialized():
            self.rank, self.ranks = dist.get_rank(), dist.get_world_size()
        gpu = torch.cuda.is_available()
        self.device = torch.device("cpu")
        if gpu:
            self.device = torch.device("cuda", self.rank % torch.cuda.device_count())
        torch.manual_seed(settings.seed)
        samples = read_samples(settings.data)
        self.by_stage = {n: [s for s in samples if s.stage == n] for n in (1, 2)}
        self.trainee = PaperTrainee(self.config, settings.checkpointing).to(self.device)
        self.trainee.train()
        vision = load_modules(self.config, frozenset({"vision"}))["vision"]
        self.vision = vision.to(self.device)
        self.optimiser = _optimiser(self.trainee, settings.rate)
        settings.out.mkdir(parents=True, exist_ok=True)
        self.checkpoint = settings.out / _CHECKPOINT
        self.done = self._resume()
        if self.rank == 0:
            _cut_log(settings.out / _LOG, self.done)
        self.model: nn.Module = self.trainee
        if self.ranks > 1:
            ids = [self.rank] if gpu else None
            self.model = DistributedDataParallel(self.trainee, device_ids=ids)
        self.prepare = BatchMaker(self.config, settings.frames)

    def save(self, done: int) -> None:
        """Write the checkpoint after `done` steps."""
        model, optimiser = self.trainee.state_dict(), self.optimiser.state_dict()
        with atomic_write(self.checkpoint) as out:
            torch.save({"done": done, "model": model, "optimiser": optimiser}, out)

    def _resume(self) -> int:
        if not self.checkpoint.is_file():
            return 0
        state = torch.load(self.checkpoint, map_location=self.device, weights_only=True)
        self.trainee.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        return int(state["done"])

    def step(self, step: int) -> None:
        """One update."""
        settings = self.settings
        stage = 1 if step < settings.steps[0] else 2
        own = self.by_stage[stage]
        order = DataOrder(len(own), settings.batch, settings.seed, stage)
        in_stage = step if stage == 1 else step - settings.steps[0]
        indices = order.indices(in_stage, self.rank, self.ranks)
        batch = self.prepare([own[i] for i in indices], indices)
        pixels, *texts, keys = (tensor.to(self.device) for tensor in batch)
        rate = _schedule(step, sum(settings.steps), settings.warmup)
        for group in self.optimiser.param_groups:
            group["lr"] = group["initial_lr"] * rate
        half = torch.autocast(self.device.type, torch.bfloat16) if settings.bf16 else nullcontext()
        with half:
            with torch.no_grad():
                tokens = self.vision(pixels)
            predicted, answers, scale = self.model(tokens.float(), *texts)
        loss = gathered_loss(predicted, answers, keys, scale)
        if not bool(torch.isfinite(loss)):
            raise ValueError(
                f"loss is {float(loss.detach())} at step {step}: lower the learning rate"
            )
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.trainee.parameters(), 1.0)
        self.optimiser.step()
        self._log(step, stage, float(loss.detach()), float(norm), indices)

    def _log(self, step: int, stage: int, loss: float, norm: float, indices: list[int]) -> None:
        everyone: list[Any] = [indices]
        if self.ranks > 1:
            everyone = [None] * self.ranks
            dist.all_gather_object(everyone, indices)
        if self.rank:
            return
        samples = [index for part in everyone for index in part]
        entry = {"step": step, "stage": stage, "loss": loss, "gradient": norm, "samples": samples}
        with (self.settings.out / _LOG).open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
        if step % 10 == 0:
            print(f"stage {stage} step {step} loss {loss:.4f}", file=sys.stderr, flush=True)


def _optimiser(trainee: PaperTrainee, rate: float) -> torch.optim.Optimizer:
    groups = [
        {"params": [*trainee.predictor.parameters(), trainee.log_scale], "lr": rate},
        {"params": list(trainee.y_encoder.parameters()), "lr": rate * _Y_ENCODER_RATE},
    ]
    for group in groups:
        group["initial_lr"] = group["lr"]
    return torch.optim.AdamW(groups, weight_decay=0.01)


def _schedule(step: int, steps: int, warmup: int) -> float:
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1.0 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def _cut_log(file: Path, done: int) -> None:
    """Drop the steps after the checkpoint: they are done again."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    kept = [line for line in lines if json.loads(line)["step"] < done]
    if len(kept) < len(lines):
        file.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")


def _write_model(folder: Path, config: ModelConfig, trainee: PaperTrainee) -> None:
    """A folder like the one that was started from, with the new weights and temperature."""
    from safetensors.torch import load_file

    folder.mkdir(parents=True, exist_ok=True)
    raw: dict[str, Any] = json.loads((config.folder / "config.json").read_text(encoding="utf-8"))
    raw["sha256"] = {}
    scale = float(trainee.log_scale.detach().exp())
    raw["calibration"] = {**raw.get("calibration", {}), "logit_scale": min(scale, 60.0)}
    for part, name in config.files.items():
        if name.endswith(".json"):
            (folder / name).write_bytes((config.folder / name).read_bytes())
            raw["files"][part] = name
    for part in ("x_encoder", "token_table"):
        write_tensors(folder, raw, part, load_file(str(config.path(part))))
    write_tensors(folder, raw, "predictor", trainee.predictor.state_dict())
    write_tensors(folder, raw, "y_encoder", trainee.y_encoder.state_dict())
    finish_folder(folder, raw)


def _settings(argv: Sequence[str] | None) -> Settings:
    parser = argparse.ArgumentParser(
        prog="vljepa train full",
        description="Train a full-sized VL-JEPA: stage 1 on captions, stage 2 on questions. "
        "Several GPUs: torchrun --nproc-per-node N -m vljepa_lab.training.paper.train OPTIONS. "
        "Run the same line again to go on after an interruption.",
    )
    parser.add_argument("--model", type=Path, required=True, help="model folder to start from")
    parser.add_argument(
        "--data",
        type=Path,
        nargs="+",
        required=True,
        help="JSONL files and WebDataset tar files with captions, questions and answers",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument(
        "--steps", type=int, nargs=2, default=(20000, 10000), metavar=("STAGE1", "STAGE2")
    )
    parser.add_argument("--batch", type=int, default=256, help="of all processes together")
    parser.add_argument("--rate", type=float, default=1e-4, help="learning rate of the Predictor")
    parser.add_argument("--warmup", type=int, default=500, help="steps")
    parser.add_argument("--frames", type=int, default=8, help="frames of a clip")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--every", type=int, default=500, help="steps between checkpoints")
    parser.add_argument("--bf16", action="store_true", help="compute in bfloat16")
    parser.add_argument(
        "--gradient-checkpointing",
        dest="checkpointing",
        action="store_true",
        help="less memory, a third more time",
    )
    parser.add_argument(
        "--stop-after", type=int, metavar="STEP", help="leave off at this step, to be resumed"
    )
    given = vars(parser.parse_args(argv))
    return Settings(**{**given, "data": tuple(given["data"]), "steps": tuple(given["steps"])})


if __name__ == "__main__":
    sys.exit(main())
