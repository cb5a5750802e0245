"""Windows with questions, prepared beside the training loop by a thread."""

from __future__ import annotations

import queue
import random
import threading
from collections import defaultdict
from collections.abc import Callable, Container, Generator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np

from vljepa_lab.training.asking import Row, draw
from vljepa_lab.training.store import Scene
from vljepa_lab.world.records import CLIP_FRAMES

_T = TypeVar("_T")


@dataclass(frozen=True)
class Asked:
    """One scene of a batch: frames [start, start + frames) and the rows about each window's last
    frame.
    """

    scene: int
    start: int
    lasts: tuple[int, ...]
    rows: tuple[tuple[Row, ...], ...]


@dataclass
class Chooser:
    """Chooses windows so that every action is met about equally often, nothing twice as often.

    frames: successive frames of a scene that are used together; every window inside them is a
    candidate.
    """

    scenes: list[Scene]
    frames: int
    windows: int
    questions: int
    rng: random.Random
    known: Container[str] | None = None
    _by_action: dict[int, list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))
    _indexed: int = 0

    def choose(self, count: int) -> list[Asked]:
        """`count` scenes with questions."""
        for index in range(self._indexed, len(self.scenes)):
            for last in range(CLIP_FRAMES - 1, len(self.scenes[index].action)):
                self._by_action[int(self.scenes[index].action[last])].append((index, last))
        self._indexed = len(self.scenes)
        kinds = sorted(self._by_action)
        # -1, unclear windows: states can be asked about them all the same.
        weights = [1.5 if kind == -1 else 2.0 if kind == 0 else 1.0 for kind in kinds]
        out = []
        for kind in self.rng.choices(kinds, weights, k=count):
            index, last = self.rng.choice(self._by_action[kind])
            total = len(self.scenes[index].action)
            lowest = max(0, last - self.frames + 1)
            highest = min(last - CLIP_FRAMES + 1, total - self.frames)
            start = self.rng.randint(lowest, max(lowest, highest))
            others = [t for t in range(start + CLIP_FRAMES - 1, start + self.frames) if t != last]
            lasts = (last, *self.rng.sample(others, self.windows - 1))
            rows = tuple(
                tuple(draw(self.scenes[index], t, self.questions, self.rng, self.known))
                for t in lasts
            )
            out.append(Asked(index, start, lasts, rows))
        return out


class _Failed(Generic[_T]):
    def __init__(self, error: BaseException) -> None:
        self.error = error


def prepared(make: Callable[[], _T], ahead: int = 3) -> Generator[_T, None, None]:
    """What `make` returns, again and again, computed `ahead` calls in advance by a thread."""
    ready: queue.Queue[_T | _Failed[_T]] = queue.Queue(ahead)
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            try:
                item: _T | _Failed[_T] = make()
            except BaseException as error:
                item = _Failed(error)
            while not stop.is_set():
                try:
                    ready.put(item, timeout=0.2)
                    break
                except queue.Full:
                    continue
            if isinstance(item, _Failed):
                return

    thread = threading.Thread(target=work, name="batches", daemon=True)
    thread.start()
    try:
        while True:
            item = ready.get()
            if isinstance(item, _Failed):
                raise item.error
            yield item
    finally:
        stop.set()
        thread.join(timeout=5)


def frames_of(scenes: list[Scene], batch: list[Asked], frames: int) -> np.ndarray:
    """Pixels of a batch: [scenes, frames, H, W, 3] uint8."""
    return np.stack([scenes[a.scene].frames[a.start : a.start + frames] for a in batch])
