"""The frame of a phase's training loop: resume, learning rate, saving, stopping, all processes.

Needs torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vljepa_lab.training.checkpoint import load_checkpoint, load_into, save_checkpoint
from vljepa_lab.training.machine import Machine
from vljepa_lab.training.progress import Budget, Clock, Paused
from vljepa_lab.training.schedule import set_rate


@dataclass(frozen=True)
class Place:
    """Where and how long training runs: the folder of the checkpoints, the machine, the clock."""

    folder: Path
    machine: Machine = field(default_factory=Machine)
    clock: Clock = field(default_factory=Clock)


@dataclass
class Phase:
    """One phase: its parts, its optimiser, its checkpoint `folder/<name>.pt`.

    parts: name -> module; all are saved, the optimiser only while the phase is not done.
    """

    name: str
    place: Place
    parts: Mapping[str, nn.Module]
    optimizer: torch.optim.Optimizer
    minutes: float
    budget: Budget = field(init=False)

    def __post_init__(self) -> None:
        self.budget = Budget(self.minutes, clock=self.place.clock)

    @property
    def file(self) -> Path:
        """Its checkpoint."""
        return self.place.folder / f"{self.name}.pt"

    def begin(self, start_from: str = "") -> bool:
        """Load its checkpoint, else the parts that `folder/<start_from>.pt` has.

        Returns whether there is nothing left to do. A phase that was done goes on where it is given
        more minutes than it had. Parts move to the machine's device.
        """
        saved = load_checkpoint(self.file)
        for part in self.parts.values():
            part.to(self.place.machine.device)
        if saved is not None:
            done = bool(saved["done"])
            keep: dict[str, Any] = dict(self.parts)
            load_into(saved, keep if done else keep | {"optimizer": self.optimizer}, partial=True)
            self.budget = Budget(self.minutes, saved["spent"], self.place.clock)
            return done and saved["spent"] >= 0.999 * self.minutes
        start = load_checkpoint(self.place.folder / f"{start_from}.pt") if start_from else None
        if start is not None:
            load_into(start, dict(self.parts), partial=True)
        return False

    def steps(
        self,
        rate: float,
        warmup: int,
        save_every: float,
        saved: Callable[[], None],
        ready: Callable[[], None],
    ) -> Iterator[int]:
        """Step numbers until the phase's minutes are used up.

        saved: called in the first process after a checkpoint (to evaluate); ready: called in all
        before the first step and after `saved` (to set the modules' modes).

        Raises:
            Paused: the call's time is over; a checkpoint was written.
        """
        machine, budget, step = self.place.machine, self.budget, 0
        machine.same_start(self.parts.values())
        ready()
        # The first process's clock for all: a process that saved alone would wait for ever.
        next_save = machine.agreed(budget.spent)[0] + save_every
        while True:
            share, spent, over = machine.agreed(
                budget.share, budget.spent, float(self.place.clock.over)
            )
            if share >= 1:
                break
            if over or spent > next_save:
                self._save(False)
                if over:
                    raise Paused(self.name)
                if machine.first:
                    saved()
                ready()
                next_save = spent + save_every
            set_rate(self.optimizer, rate, step, share, warmup)
            yield step
            step += 1
        self._save(True)
        if machine.first:
            saved()
        machine.wait()

    def _save(self, done: bool) -> None:
        if self.place.machine.first:
            keep: dict[str, Any] = dict(self.parts)
            keep |= {} if done else {"optimizer": self.optimizer}
            save_checkpoint(self.file, keep, self.budget.spent, done)
        self.place.machine.wait()

    def descend(self, loss: Tensor, limit: float = 1.0) -> None:
        """One step down the loss, gradients averaged over all processes, norm at most `limit`."""
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        trained = [p for group in self.optimizer.param_groups for p in group["params"]]
        self.place.machine.average_gradients(trained)
        torch.nn.utils.clip_grad_norm_(trained, limit)
        self.optimizer.step()
