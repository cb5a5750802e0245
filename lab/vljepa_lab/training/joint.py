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
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from vljepa_lab.training.augmentation import augment, distract
from vljepa_lab.training.batches import (
    Batch,
    ClipSampler,
    SampledClip,
    frames_of,
    prefetched,
    prepare,
    windows_of,
)
from vljepa_lab.training.dense import channels_last, freeze_statistics
from vljepa_lab.training.distributed import device_of
from vljepa_lab.training.loop import Phase, PhaseConfig, RunContext
from vljepa_lab.training.losses import (
    FrameHeads,
    LogitScale,
    WindowHeads,
    answer_loss,
    dense_loss,
    locate_loss,
)
from vljepa_lab.training.paraphrases import Paraphrases
from vljepa_lab.training.store import Scene, SceneStore
from vljepa_lab.training.text_trunk import TextTable
from vljepa_lab.world.records import CLIP_FRAMES
from vljepa_ros.models.vl_jepa.nano_model import VLJEPA


@dataclass(frozen=True)
class JointConfig(PhaseConfig):
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
class CachedConfig(PhaseConfig):
    """As JointConfig, on cached features.

    Attributes:
        noise: of the cached features, as a share of their spread (1 after LayerNorm).
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
    """State at the end of the clip, action, moved object's cell, ego-motion.

    Args:
        logits: name -> [B, ...] of the window heads; `motion` [B, 3].
        truth: name -> [B, ...]; `moved` is -1 where no object was moved.

    Returns:
        The loss, a scalar, and the accuracy of some.
    """
    classes = {name: goal for name, goal in truth.items() if name not in ("moved", "motion")}
    loss, accuracy = dense_loss(logits, classes)
    loss = loss + 0.5 * functional.smooth_l1_loss(logits["motion"].float(), truth["motion"])
    labelled = truth["moved"] >= 0
    if labelled.any():
        loss = loss + 0.5 * functional.cross_entropy(
            logits["moved"].float()[labelled], truth["moved"][labelled]
        )
    return loss, {name: accuracy[name] for name in ("action", "shape") if name in accuracy}


def frame_features(model: VLJEPA, scenes: list[Scene]) -> Tensor:
    """Frame features of all scenes: [S, frames, cells, dim] fp16, on the CPU."""
    model.frame.eval()
    device, out = device_of(model.frame), []
    with torch.no_grad():
        for scene in scenes:
            chunks = torch.split(torch.tensor(scene.frames), 12)
            out.append(torch.cat([model.frame(c.to(device)).half().cpu() for c in chunks]))
    return torch.stack(out)


_Forward = tuple[Tensor, list[tuple[float, Tensor]], Mapping[str, float | Tensor]]
"""Visual tokens [windows, cells, D] of a batch, weighted losses on what the simulator knows of it,
and what to print of them."""


@dataclass(frozen=True)
class WindowTraining:
    """What the phases on windows share.

    table: embeds questions and answers; evaluate: accuracy on validation scenes, printed after each
    checkpoint; seed: of the batches; paraphrases: add the loss on texts alone.
    """

    model: VLJEPA
    table: TextTable
    context: RunContext
    evaluate: Callable[[], dict[str, float]]
    seed: int = 0
    paraphrases: Paraphrases | None = None

    def joint(
        self,
        store: SceneStore,
        config: JointConfig,
        name: str = "joint",
        start_from: str = "dense",
    ) -> None:
        """Train X-Encoder, Predictor, and the Y-Encoder's head, in place.

        Resumes from and ends with `<name>.pt`; starts with `<start_from>.pt`.

        Args:
            store: Training scenes; takes in new shards where a checkpoint is written.
            config: Of the phase.
            name: Of the phase.
            start_from: Phase whose checkpoint it begins with.
        """
        model = self.model
        frame_heads = FrameHeads(model.architecture.frame.dim)
        window_heads = WindowHeads(model.architecture.window.dim)
        heads = {"heads": frame_heads, "window_heads": window_heads}
        rates = dict.fromkeys(("window", "predictor", "text_head", *heads, "scale"), 1.0)
        run = _Run.begin(
            self, config, heads, rates | {"frame": config.frame_factor}, name, start_from
        )
        if run is None:
            freeze_statistics(model.frame)
            return
        rng = run.rng
        generator = torch.Generator().manual_seed(rng.randrange(1 << 40))
        channels_last(model.frame.stem)

        def clips(batch: list[SampledClip]) -> Tensor:
            pixels = frames_of(store.scenes, batch, config.frames)
            for index, sampled in enumerate(batch):
                if rng.random() < config.distracted:
                    span = slice(sampled.start, sampled.start + config.frames)
                    states = store.scenes[sampled.scene].record.states[span]
                    pixels[index] = distract(pixels[index], states, rng)
            return augment(torch.from_numpy(pixels), generator, shift=0)

        def forward(batch: Batch) -> _Forward:
            features = model.frame(batch.clips.flatten(0, 1))
            features_of_clips = features.unflatten(0, batch.clips.shape[:2])
            tokens = model.window(windows_of(features_of_clips, batch.sampled))
            of_frames, _ = dense_loss(frame_heads(features), batch.frame_truth)
            of_windows, accuracy = window_loss(window_heads(tokens), batch.window_truth)
            return tokens, [(0.25, of_frames), (0.3, of_windows)], {"frames": of_frames, **accuracy}

        def ready() -> None:
            store.refresh()
            model.train()
            freeze_statistics(model.frame)

        run.train(store.scenes, config.frames, config.windows, clips, forward, ready)

    def cached(
        self,
        scenes: list[Scene],
        features: Tensor,
        config: CachedConfig,
        name: str = "cached",
        start_from: str = "joint",
    ) -> None:
        """Train on frame features that were computed beforehand, the per-frame stage fixed.

        Without the per-frame stage in the loop a step costs half, so more windows and fresh
        questions about them are seen. With `config.tokens_only` the window stage is fixed as well.
        Resumes from and ends with `<name>.pt`; starts with `<start_from>.pt`.

        Args:
            scenes: To train on.
            features: `frame_features` of `scenes`, [S, frames, cells, D] fp16.
            config: Of the phase.
            name: Of the phase.
            start_from: Phase whose checkpoint it begins with.
        """
        model = self.model
        window_heads = WindowHeads(model.architecture.window.dim)
        # The read-outs of the per-frame stage only pass through, for the phase that comes next.
        heads = {"heads": FrameHeads(model.architecture.frame.dim), "window_heads": window_heads}
        visual = () if config.tokens_only else ("window", "window_heads")
        rates = dict.fromkeys((*visual, "predictor", "text_head", "scale"), 1.0)
        run = _Run.begin(self, config, heads, rates, name, start_from)
        if run is None:
            return

        def clips(batch: list[SampledClip]) -> Tensor:
            spans = [features[a.scene, a.start : a.start + CLIP_FRAMES] for a in batch]
            clean = torch.stack(spans).float()
            return clean + torch.randn_like(clean) * config.noise

        def forward(batch: Batch) -> _Forward:
            with torch.set_grad_enabled(not config.tokens_only):
                tokens = model.window(windows_of(batch.clips, batch.sampled))
                of_windows, accuracy = window_loss(window_heads(tokens), batch.window_truth)
            return tokens, [] if config.tokens_only else [(0.3, of_windows)], accuracy

        def ready() -> None:
            model.eval()
            model.window.train()
            model.predictor.train()

        run.train(scenes, CLIP_FRAMES, 1, clips, forward, ready)


@dataclass(frozen=True)
class _Run:
    """One phase on windows: its checkpoint and optimiser, the logit scale, randomness."""

    shared: WindowTraining
    config: JointConfig | CachedConfig
    scale: LogitScale
    phase: Phase
    rng: random.Random

    @classmethod
    def begin(
        cls,
        shared: WindowTraining,
        config: JointConfig | CachedConfig,
        heads: Mapping[str, nn.Module],
        factors: Mapping[str, float],
        name: str,
        start_from: str,
    ) -> _Run | None:
        """Load `<name>.pt`, else `<start_from>.pt`; None where the phase is done.

        Args:
            shared: Its model's frame and window stages, Predictor and text head are saved.
            config: Of the phase.
            heads: Read-outs, saved too.
            factors: Part -> factor on the learning rate; parts that are missing stay fixed.
            name: Of the phase.
            start_from: Phase whose checkpoint it begins with.
        """
        scale, context = LogitScale(), shared.context
        names = ("frame", "window", "predictor", "text_head")
        parts = {part: getattr(shared.model, part) for part in names} | {**heads, "scale": scale}
        groups = [(part, factors[key]) for key, part in parts.items() if key in factors]
        phase = Phase(name, context, config, parts, groups)
        if phase.begin(start_from):
            return None
        rng = random.Random(f"{name} {shared.seed} {context.machine.rank} {phase.budget.spent}")
        return cls(shared, config, scale, phase, rng)

    def train(
        self,
        scenes: list[Scene],
        frames: int,
        windows: int,
        clips: Callable[[list[SampledClip]], Tensor],
        forward: Callable[[Batch], _Forward],
        ready: Callable[[], None],
    ) -> None:
        """Steps until the phase's time is over.

        Args:
            scenes: To draw from.
            frames: Successive frames of each scene of a batch.
            windows: In these frames.
            clips: Pixels or features of a batch.
            forward: The visual stages.
            ready: Sets the modules' modes.
        """
        config, phase, rng, table = self.config, self.phase, self.rng, self.shared.table
        model, machine = self.shared.model, self.shared.context.machine
        sampler = ClipSampler(scenes, frames, windows, config.questions, rng, table)

        def saved() -> None:
            table.save(self.shared.context.folder / "texts.pt")
            print(f"{phase.name}, validation:", self.shared.evaluate(), flush=True)

        draw = partial(prepare, sampler, config.scenes, table, rng, clips)
        with closing(prefetched(draw)) as batches:
            for step in phase.steps(saved, ready):
                batch = next(batches).to(machine.device)
                with machine.autocast():
                    tokens, dense, printed = forward(batch)
                    clip = torch.arange(len(batch.query), device=tokens.device) // config.questions
                    predicted, where = model.predictor.predict(
                        tokens, batch.query, batch.valid, clip
                    )
                contrast, right = answer_loss(
                    predicted.float(), batch.columns, model.text_head, self.scale, table
                )
                located = contrast.detach() * 0
                if where is not None:
                    located = locate_loss(where, batch.cells.to(where.device))
                on_texts, paraphrases = contrast.detach() * 0, self.shared.paraphrases
                if paraphrases is not None and step % config.text_every == 0:
                    scale = self.scale.log.detach().exp()
                    on_texts = paraphrases.loss(model.text_head, scale, rng)
                    printed = {"texts": on_texts, **printed}
                loss = contrast + 0.4 * located + config.texts * on_texts
                phase.descend(loss + sum((weight * part for weight, part in dense), loss * 0))
                figures = {"contrast": contrast, "right": right, "locate": located, **printed}
                phase.progress.add(len(tokens), figures | {"scale": self.scale.log.detach().exp()})
