"""Windows with questions, prepared beside the training loop by a thread."""

from __future__ import annotations

import random
from collections import defaultdict, deque
from collections.abc import Callable, Container, Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from vljepa_lab.training.distributed import to_device
from vljepa_lab.training.losses import Columns
from vljepa_lab.training.question_sampling import Row, sample_questions
from vljepa_lab.training.store import Scene
from vljepa_lab.training.text_trunk import TextTable
from vljepa_lab.world.records import CLIP_FRAMES

_T = TypeVar("_T")


@dataclass(frozen=True)
class SampledClip:
    """One scene of a batch.

    Its frames are [start, start + frames); the rows are about each window's last frame.
    """

    scene: int
    start: int
    lasts: tuple[int, ...]
    rows: tuple[tuple[Row, ...], ...]


@dataclass
class ClipSampler:
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

    def draw(self, count: int) -> list[SampledClip]:
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
                tuple(sample_questions(self.scenes[index], t, self.questions, self.rng, self.known))
                for t in lasts
            )
            out.append(SampledClip(index, start, lasts, rows))
        return out


def prefetched(make: Callable[[], _T], ahead: int = 3) -> Generator[_T, None, None]:
    """What `make` returns, again and again, computed `ahead` calls in advance by a thread."""
    pool = ThreadPoolExecutor(1, thread_name_prefix="batches")
    waiting = deque(pool.submit(make) for _ in range(ahead + 1))
    try:
        while True:
            item = waiting.popleft().result()
            waiting.append(pool.submit(make))
            yield item
    finally:
        # However long the last batch takes: a thread that is still in torch when the interpreter
        # ends is torn out of it, which aborts the process.
        pool.shutdown(cancel_futures=True)


def frames_of(scenes: list[Scene], batch: list[SampledClip], frames: int) -> np.ndarray:
    """Pixels of a batch: [scenes, frames, H, W, 3] uint8."""
    return np.stack([scenes[a.scene].frames[a.start : a.start + frames] for a in batch])


@dataclass(frozen=True)
class Batch:
    """One batch, ready.

    Clips (pixels or features) [S, F, ...], rows window by window, texts looked up.
    """

    clips: Tensor
    sampled: list[SampledClip]
    rows: list[Row]
    columns: Columns
    query: Tensor
    valid: Tensor
    frame_truth: dict[str, Tensor]
    window_truth: dict[str, Tensor]

    @property
    def cells(self) -> Tensor:
        """Where the slots should point, [R, 2] (see `Row`), on the CPU."""
        return torch.tensor([row.cells for row in self.rows])

    def to(self, device: torch.device) -> Batch:
        """The same batch on a device."""
        self.columns.to(device)
        return replace(
            self,
            clips=self.clips.to(device),
            query=self.query.to(device),
            valid=self.valid.to(device),
            frame_truth=to_device(self.frame_truth, device),
            window_truth=to_device(self.window_truth, device),
        )


def truth_of(picks: list[tuple[Scene, int]]) -> dict[str, Tensor]:
    """Targets of frames, each of a scene: [len(picks), ...] int64."""
    return {
        name: torch.from_numpy(np.stack([scene.truth[name][t] for scene, t in picks])).long()
        for name in picks[0][0].truth
    }


def window_truth(scenes: list[Scene], batch: list[SampledClip]) -> dict[str, Tensor]:
    """Targets of each window of a batch, window by window."""
    picks = [(scenes[a.scene], t) for a in batch for t in a.lasts]
    return truth_of(picks) | {
        "action": torch.tensor([int(s.action[t]) for s, t in picks]),
        "moved": torch.tensor([int(s.moved[t]) for s, t in picks]),
        "motion": torch.from_numpy(np.stack([s.motion[t] for s, t in picks])),
    }


def prepare(
    sampler: ClipSampler,
    count: int,
    table: TextTable,
    rng: random.Random,
    clips: Callable[[list[SampledClip]], Tensor],
) -> Batch:
    """Draw a batch and look everything up.

    Args:
        sampler: of the scenes.
        count: scenes of the batch.
        table: of the texts.
        rng: draws the hard candidates.
        clips: makes [S, F, ...], pixels or features, of the frames that were drawn.
    """
    scenes, batch = sampler.scenes, sampler.draw(count)
    rows = [row for sampled in batch for window in sampled.rows for row in window]
    columns = Columns(rows, rng)
    query, valid = table.queries([row.question for row in rows])
    table.add_answers(columns.texts)
    frames = [(scenes[a.scene], t) for a in batch for t in range(a.start, a.start + sampler.frames)]
    of_frames, of_windows = truth_of(frames), window_truth(scenes, batch)
    return Batch(clips(batch), batch, rows, columns, query, valid, of_frames, of_windows)


def windows_of(features: Tensor, batch: list[SampledClip]) -> Tensor:
    """Frame features [S, F, cells, D] -> [windows, T, cells, D], scene by scene."""
    return torch.stack(
        [
            features[index, last - clip.start - CLIP_FRAMES + 1 : last - clip.start + 1]
            for index, clip in enumerate(batch)
            for last in clip.lasts
        ]
    )
