"""Phases that train on windows: everything together, or on cached frame features.

`joint` trains X-Encoder, Predictor and the Y-Encoder's head by InfoNCE and the simulator's truth;
`cached` all but the per-frame stage, `predictor` (tokens_only) the Predictor and the head alone.
Needs torch.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from vljepa_lab.training.augmentation import augment, distract
from vljepa_lab.training.batches import (
    Batch,
    ClipSampler,
    SampledClip,
    frames_of,
    prepare,
    prepared,
    windows_of,
)
from vljepa_lab.training.dense import channels_last, freeze_statistics
from vljepa_lab.training.distributed import device_of
from vljepa_lab.training.loop import Phase, Progress, RunContext, make_optimizer
from vljepa_lab.training.losses import (
    FrameHeads,
    LogitScale,
    WindowHeads,
    answer_loss,
    dense_loss,
    locate_loss,
)
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


@dataclass(frozen=True)
class _Run:
    """What both phases share: the model, the texts, the phase with its optimiser, randomness."""

    model: VLJEPA
    table: TextTable
    scale: LogitScale
    phase: Phase
    rng: random.Random
    paraphrases: Paraphrases | None
    config: JointConfig | CachedConfig

    @classmethod
    def begin(
        cls,
        model: VLJEPA,
        table: TextTable,
        heads: Mapping[str, nn.Module],
        factors: Mapping[str, float],
        config: JointConfig | CachedConfig,
        context: RunContext,
        name: str,
        start_from: str,
        seed: int,
        paraphrases: Paraphrases | None,
    ) -> _Run | None:
        """Load `<name>.pt`, else `<start_from>.pt`; None where the phase is done.

        Args:
            model: Its frame and window stages, Predictor and text head are saved.
            table: Embeds questions and answers.
            heads: Read-outs, saved too.
            factors: Part -> factor on the learning rate; parts that are missing stay fixed.
            config: Of the phase.
            context: Where it runs.
            name: Of the phase.
            start_from: Phase whose checkpoint it begins with.
            seed: Of the batches.
            paraphrases: Adds the loss on texts alone.
        """
        scale = LogitScale()
        parts = {
            "frame": model.frame,
            "window": model.window,
            "predictor": model.predictor,
            "text_head": model.text_head,
            **heads,
            "scale": scale,
        }
        groups = [(part, factors[key]) for key, part in parts.items() if key in factors]
        phase = Phase(name, context, parts, make_optimizer(groups, config.rate), config.minutes)
        if phase.begin(start_from):
            return None
        rng = random.Random(f"{name} {seed} {context.machine.rank} {phase.budget.spent}")
        return cls(model, table, scale, phase, rng, paraphrases, config)

    def train(
        self,
        make: Callable[[], Batch],
        see: Callable[[Batch], tuple[Tensor, list[tuple[float, Tensor]], dict[str, float]]],
        ready: Callable[[], None],
        evaluate: Callable[[], dict[str, float]],
    ) -> None:
        """Steps until the phase's time is over.

        Args:
            make: Draws a batch.
            see: Visual tokens [windows, cells, D] of a batch, weighted losses on what the simulator
                knows of it, and what to print of them.
            ready: Sets the modules' modes.
            evaluate: Accuracy on validation scenes, printed after each checkpoint.
        """
        config, phase, model, machine = (
            self.config,
            self.phase,
            self.model,
            self.phase.context.machine,
        )
        progress = Progress(phase.name, phase.budget, quiet=not machine.first)

        def saved() -> None:
            self.table.save(phase.context.folder / "texts.pt")
            print(f"{phase.name}, validation:", evaluate(), flush=True)

        with closing(prepared(make)) as batches:
            for step in phase.steps(config.rate, config.warmup, config.save_every, saved, ready):
                batch = next(batches).to(machine.device)
                with machine.autocast():
                    tokens, dense, seen = see(batch)
                    predicted, where = model.predictor.predict(
                        tokens, batch.query, batch.valid, config.questions
                    )
                contrast, right = answer_loss(
                    predicted.float(), batch.columns, model.text_head, self.scale, self.table
                )
                located = located_loss(where, batch, contrast)
                on_texts = text_loss(
                    model, self.paraphrases, self.scale, self.rng, step, config.text_every, contrast
                )
                loss = contrast + 0.4 * located + config.texts * on_texts
                phase.descend(loss + sum((weight * part for weight, part in dense), loss * 0))
                progress.add(
                    len(tokens),
                    {
                        "contrast": float(contrast.detach()),
                        "right": right,
                        "locate": float(located.detach()),
                        **({"texts": float(on_texts.detach())} if on_texts.requires_grad else {}),
                        **seen,
                        "scale": float(self.scale.log.detach().exp()),
                    },
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
    """Train everything at once; resumes from and ends with `<name>.pt`, starts with what
    `<start_from>.pt` has."""
    frame_heads = FrameHeads(model.architecture.frame.dim)
    window_heads = WindowHeads(model.architecture.window.dim)
    heads = {"heads": frame_heads, "window_heads": window_heads}
    rates = dict.fromkeys(("window", "predictor", "text_head", *heads, "scale"), 1.0)
    rates["frame"] = config.frame_factor
    run = _Run.begin(
        model, table, heads, rates, config, context, name, start_from, seed, paraphrases
    )
    if run is None:
        freeze_statistics(model.frame)
        return
    rng = run.rng
    generator = torch.Generator().manual_seed(rng.randrange(1 << 40))
    channels_last(model.frame.stem)
    sampler = ClipSampler(store.scenes, config.frames, config.windows, config.questions, rng, table)

    def clips(batch: list[SampledClip]) -> Tensor:
        pixels = frames_of(store.scenes, batch, config.frames)
        for index, sampled in enumerate(batch):
            if rng.random() < config.distracted:
                span = slice(sampled.start, sampled.start + config.frames)
                states = store.scenes[sampled.scene].record.states[span]
                pixels[index] = distract(pixels[index], states, rng)
        return augment(torch.from_numpy(pixels), generator, shift=0)

    def see(batch: Batch) -> tuple[Tensor, list[tuple[float, Tensor]], dict[str, float]]:
        features = model.frame(batch.clips.flatten(0, 1))
        tokens = model.window(windows_of(features.unflatten(0, batch.clips.shape[:2]), batch.asked))
        of_frames, _ = dense_loss(frame_heads(features), batch.frame_truth)
        of_windows, seen = window_loss(window_heads(tokens), batch.window_truth)
        figures = {"frames": float(of_frames.detach()), **seen}
        return tokens, [(0.25, of_frames), (0.3, of_windows)], figures

    def ready() -> None:
        store.refresh()
        model.train()
        freeze_statistics(model.frame)

    run.train(
        lambda: prepare(store.scenes, sampler, config.scenes, table, rng, clips),
        see,
        ready,
        evaluate,
    )


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
    """Train on frame features that were computed beforehand, the per-frame stage fixed.

    Without the per-frame stage in the loop a step costs half, so more windows and fresh questions
    about them are seen. With `config.tokens_only` the window stage is fixed as well. Resumes from
    and ends with `<name>.pt`; starts with `<start_from>.pt`.

    Args:
        model: Trained in place.
        table: Embeds questions and answers.
        scenes: To train on.
        config: Of the phase.
        context: Where it runs.
        evaluate: Accuracy on validation scenes.
        features: `frame_features` of `scenes`, [S, frames, cells, D] fp16.
        seed: Of the batches.
        name: Of the phase.
        start_from: Phase whose checkpoint it begins with.
        paraphrases: Adds the loss on texts alone.
    """
    window_heads = WindowHeads(model.architecture.window.dim)
    # The read-outs of the per-frame stage only pass through, for the phase that comes next.
    heads = {"heads": FrameHeads(model.architecture.frame.dim), "window_heads": window_heads}
    visual = () if config.tokens_only else ("window", "window_heads")
    rates = dict.fromkeys((*visual, "predictor", "text_head", "scale"), 1.0)
    run = _Run.begin(
        model, table, heads, rates, config, context, name, start_from, seed, paraphrases
    )
    if run is None:
        return
    rng = run.rng
    sampler = ClipSampler(scenes, CLIP_FRAMES, 1, config.questions, rng, table)

    def clips(batch: list[SampledClip]) -> Tensor:
        taken = torch.stack(
            [features[a.scene, a.start : a.start + CLIP_FRAMES] for a in batch]
        ).float()
        return taken + torch.randn_like(taken) * config.noise

    def see(batch: Batch) -> tuple[Tensor, list[tuple[float, Tensor]], dict[str, float]]:
        with torch.set_grad_enabled(not config.tokens_only):
            tokens = model.window(windows_of(batch.clips, batch.asked))
            of_windows, seen = window_loss(window_heads(tokens), batch.window_truth)
        return tokens, [] if config.tokens_only else [(0.3, of_windows)], seen

    def ready() -> None:
        model.eval()
        model.window.train()
        model.predictor.train()

    run.train(
        lambda: prepare(scenes, sampler, config.scenes, table, rng, clips), see, ready, evaluate
    )
