"""A phase of training: time budget, progress, checkpoint, learning rate, stopping to go on later.

Needs torch.
"""

from __future__ import annotations

import math
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vljepa_lab.training.distributed import DistributedContext
from vljepa_ros.files import atomic_write
from vljepa_ros.models.folder import load_config
from vljepa_ros.models.vl_jepa.nano_config import Architecture
from vljepa_ros.models.vl_jepa.nano_weights import load_model


class BudgetExceeded(Exception):  # noqa: N818 - no error: what was asked for was done
    """The time of this call is used up; everything is saved, the same command goes on."""


@dataclass
class Clock:
    """Wall time of one call of the trainer, minutes; 0 means as long as it takes.

    later: minutes of the phases after the present one, for the estimate of the time left.
    """

    minutes: float = 0.0
    later: float = 0.0
    _start: float = field(default_factory=time.monotonic)

    @property
    def spent(self) -> float:
        """Minutes since the call began."""
        return (time.monotonic() - self._start) / 60

    @property
    def over(self) -> bool:
        """Whether the call should stop at the next good moment."""
        return 0 < self.minutes <= self.spent

    @property
    def deadline(self) -> float | None:
        """`time.monotonic()` at which the call should stop, or None."""
        return self._start + 60 * self.minutes if self.minutes > 0 else None


@dataclass
class Budget:
    """Wall time of one phase, minutes; `spent_before` counts earlier runs of a resumed phase."""

    minutes: float
    spent_before: float = 0.0
    clock: Clock = field(default_factory=Clock)
    _start: float = field(default_factory=time.monotonic)

    @property
    def spent(self) -> float:
        """Minutes used, earlier runs included."""
        return self.spent_before + (time.monotonic() - self._start) / 60

    @property
    def share(self) -> float:
        """0..1 of the budget."""
        return min(1.0, self.spent / self.minutes) if self.minutes > 0 else 1.0

    @property
    def left(self) -> float:
        """Minutes until the phase ends."""
        return max(0.0, self.minutes - self.spent)


_PROGRESS_INTERVAL = 20.0  # seconds between two lines


class Progress:
    """Prints a line now and then, in the first process alone (`quiet` elsewhere)."""

    def __init__(self, phase: str, budget: Budget, quiet: bool) -> None:
        self._phase, self._budget, self._quiet = phase, budget, quiet
        self._sums: dict[str, float] = defaultdict(float)
        self._counts: dict[str, int] = defaultdict(int)
        self._last, self._samples, self._total = time.monotonic(), 0, 0

    def add(self, samples: int, values: Mapping[str, float | Tensor]) -> None:
        """Count a step of `samples` windows or frames; each of the values is a scalar."""
        self._samples += samples
        self._total += samples
        for name, value in values.items():
            self._sums[name] += float(value.detach() if isinstance(value, Tensor) else value)
            self._counts[name] += 1
        now = time.monotonic()
        if now - self._last < _PROGRESS_INTERVAL or self._quiet:
            return
        rate = self._samples / (now - self._last)
        means = " ".join(f"{k} {v / self._counts[k]:.3f}" for k, v in self._sums.items())
        budget = self._budget
        print(
            f"{self._phase}: {budget.spent:.1f} min, {budget.left:.1f} left "
            f"(about {budget.left + budget.clock.later:.0f} in all), {self._total} samples, "
            f"{rate:.0f}/s | {means}",
            file=sys.stderr,
            flush=True,
        )
        self._sums.clear()
        self._counts.clear()
        self._last, self._samples = now, 0


def save_checkpoint(file: Path, parts: dict[str, Any], spent: float, done: bool) -> None:
    """parts: name -> anything with `state_dict`; spent: minutes so far."""
    content = {name: part.state_dict() for name, part in parts.items()}
    with atomic_write(file) as out:
        torch.save({"parts": content, "spent": spent, "done": done}, out)


def load_checkpoint(file: Path) -> dict[str, Any] | None:
    """What `save_checkpoint` wrote, or None where there is none."""
    if not file.is_file():
        return None
    content: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
    return content


def load_start(start: Path) -> dict[str, Any] | None:
    """The checkpoint that another run left, or the parts of a model folder, as one."""
    if not start.is_dir():
        return load_checkpoint(start)
    config = load_config(start)
    model = load_model(config.path("weights"), Architecture.from_dict(config.architecture))
    parts = {name: part.state_dict() for name, part in model.named_children()}
    return {"parts": parts, "spent": 0.0, "done": True}


def load_into(checkpoint: dict[str, Any], parts: dict[str, Any], partial: bool = False) -> None:
    """Load the parts that the checkpoint has.

    partial: parameters that the checkpoint lacks keep their values (those it has and the part lacks
    are an error still).

    Raises:
        RuntimeError: the checkpoint does not fit.
    """
    for name, part in parts.items():
        if name not in checkpoint["parts"]:
            continue
        state = checkpoint["parts"][name]
        if isinstance(part, nn.Module):
            keys = part.load_state_dict(state, strict=not partial)
            if keys.unexpected_keys:
                raise RuntimeError(f"{name}: the checkpoint has unknown {keys.unexpected_keys}")
        else:
            part.load_state_dict(state)


_WEIGHT_DECAY = 0.04


def make_optimizer(groups: Iterable[tuple[nn.Module, float]], rate: float) -> torch.optim.AdamW:
    """AdamW; each module with its own factor on the learning rate.

    There is no decay on vectors and positions.
    """
    settings = []
    for module, factor in groups:
        matrices: list[nn.Parameter] = []
        others: list[nn.Parameter] = []
        for name, parameter in module.named_parameters():
            if parameter.requires_grad:
                plain = parameter.ndim > 1 and "position" not in name and "extra" not in name
                (matrices if plain else others).append(parameter)
        settings.append({"params": matrices, "weight_decay": _WEIGHT_DECAY, "factor": factor})
        settings.append({"params": others, "weight_decay": 0.0, "factor": factor})
    return torch.optim.AdamW(settings, lr=rate, betas=(0.9, 0.98))


def set_rate(
    optimizer: torch.optim.Optimizer, rate: float, step: int, share: float, warmup: int
) -> None:
    """Linear warm-up over `warmup` steps, then a cosine down to 2%.

    The cosine goes over the phase's `share` of its budget.
    """
    cosine = 0.98 * 0.5 * (1 + math.cos(math.pi * share)) + 0.02
    for group in optimizer.param_groups:
        group["lr"] = rate * group["factor"] * cosine * min(1.0, (step + 1) / warmup)


@dataclass(frozen=True)
class RunContext:
    """Where and how long training runs: the folder of the checkpoints, the machine, the clock."""

    folder: Path
    machine: DistributedContext = field(default_factory=DistributedContext)
    clock: Clock = field(default_factory=Clock)


@dataclass(frozen=True)
class PhaseConfig:
    """What each phase's settings have.

    Minutes of wall time, learning rate, steps of its warm-up, minutes between checkpoints.
    """

    minutes: float
    rate: float
    warmup: int
    save_every: float


class Phase:
    """One phase: its parts, its optimiser, its checkpoint `folder/<name>.pt`."""

    def __init__(
        self,
        name: str,
        context: RunContext,
        config: PhaseConfig,
        parts: Mapping[str, nn.Module],
        groups: Iterable[tuple[nn.Module, float]],
    ) -> None:
        """Make the optimiser.

        Args:
            name: Of the phase.
            context: Where it runs.
            config: Of the phase.
            parts: Name -> module; all are saved, the optimiser only while the phase is not done.
            groups: Modules that are trained, each with its factor on the learning rate.
        """
        self.name, self.context, self.config, self.parts = name, context, config, parts
        self.optimizer = make_optimizer(groups, config.rate)
        self.budget = Budget(config.minutes, clock=context.clock)
        self.progress = Progress(name, self.budget, quiet=not context.machine.first)

    @property
    def file(self) -> Path:
        """Its checkpoint."""
        return self.context.folder / f"{self.name}.pt"

    def begin(self, start_from: str = "") -> bool:
        """Load its checkpoint, else the parts that `folder/<start_from>.pt` has.

        Returns whether there is nothing left to do. A phase that was done goes on where it is given
        more minutes than it had. Parts move to the machine's device.
        """
        saved = load_checkpoint(self.file)
        for part in self.parts.values():
            part.to(self.context.machine.device)
        if saved is not None:
            load_into(saved, {**self.parts, "optimizer": self.optimizer}, partial=True)
            self.budget.spent_before = saved["spent"]
            return bool(saved["done"]) and saved["spent"] >= 0.999 * self.config.minutes
        start = load_checkpoint(self.context.folder / f"{start_from}.pt") if start_from else None
        if start is not None:
            load_into(start, dict(self.parts), partial=True)
        return False

    def steps(self, saved: Callable[[], object], ready: Callable[[], object]) -> Iterator[int]:
        """Step numbers until the phase's minutes are used up.

        saved: called in the first process after a checkpoint (to evaluate); ready: called in all
        before the first step and after `saved` (to set the modules' modes).

        Raises:
            BudgetExceeded: the call's time is over; a checkpoint was written.
        """
        machine, budget, config, step = self.context.machine, self.budget, self.config, 0
        machine.same_start(self.parts.values())
        ready()
        # The first process's clock for all: a process that saved alone would wait for ever.
        next_save = machine.agreed(budget.spent)[0] + config.save_every
        while True:
            share, spent, over = machine.agreed(
                budget.share, budget.spent, float(self.context.clock.over)
            )
            done = share >= 1
            if done or over or spent > next_save:
                self._save(done)
                if over and not done:
                    raise BudgetExceeded(self.name)
                if machine.first:
                    saved()
                if done:
                    break
                ready()
                next_save = spent + config.save_every
            set_rate(self.optimizer, config.rate, step, share, config.warmup)
            yield step
            step += 1
        machine.wait()

    def _save(self, done: bool) -> None:
        if self.context.machine.first:
            keep: dict[str, Any] = dict(self.parts)
            keep |= {} if done else {"optimizer": self.optimizer}
            save_checkpoint(self.file, keep, self.budget.spent, done)
        self.context.machine.wait()

    def descend(self, loss: Tensor, limit: float = 1.0) -> None:
        """One step down a scalar loss, gradients averaged over processes, norm at most `limit`."""
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        trained = [p for group in self.optimizer.param_groups for p in group["params"]]
        self.context.machine.average_gradients(trained)
        torch.nn.utils.clip_grad_norm_(trained, limit)
        self.optimizer.step()
