"""What an evaluation has judged so far; figures and plots are made from it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vljepa_lab.evaluation.quality.captions import DecodedEvents
from vljepa_lab.evaluation.quality.report import VQA_TASKS, Judged
from vljepa_lab.evaluation.quality.samples import Sample
from vljepa_lab.evaluation.quality.vqa import Answered


@dataclass(frozen=True)
class Moment:
    """A clip whose event is known. embedding: [D] of the answer to the default query. tokens:
    visual tokens, [N, D] float16. kind, name: event and object. states: keys of what else is known
    of it."""

    scene: str
    embedding: NDArray[np.float32]
    kind: str
    name: str
    tokens: NDArray[np.float16]
    states: tuple[str, ...]


@dataclass
class Stated:
    """Probabilities that were stated of answers of one task, and whether these were right.

    given: that the answer is right, if one of the candidates is. alone: that it is right. asked:
    the samples with the predicted answers, to ask again with other candidates.
    """

    given: list[float] = field(default_factory=list)
    alone: list[float] = field(default_factory=list)
    right: list[bool] = field(default_factory=list)
    asked: list[tuple[Sample, NDArray[np.float32]]] = field(default_factory=list)

    def add(self, sample: Sample, answered: Answered) -> None:
        """Take in one answer."""
        self.given.append(answered.score / max(1.0 - answered.none, 1e-12))
        self.alone.append(answered.score)
        self.right.append(sample.right(answered.index))
        self.asked.append((sample, answered.vector))


@dataclass
class Evaluation:
    """Everything that was judged. told: whether the robot's text was true, image by image;
    events_told: whether it named an event, event by event. seconds: of the streams that were told.
    ceiling: whether text alone finds an unseen wording's action."""

    judged: defaultdict[str, Judged] = field(default_factory=lambda: defaultdict(Judged))
    stated: defaultdict[str, Stated] = field(default_factory=lambda: defaultdict(Stated))
    best_five: defaultdict[str, list[bool]] = field(default_factory=lambda: defaultdict(list))
    actions: list[tuple[str, str]] = field(default_factory=list)  # (true, answered) kinds
    moments: list[Moment] = field(default_factory=list)
    decoded: DecodedEvents = field(default_factory=DecodedEvents.empty)
    told: list[bool] = field(default_factory=list)
    told_scenes: list[str] = field(default_factory=list)
    events_told: list[bool] = field(default_factory=list)
    events_scenes: list[str] = field(default_factory=list)
    decodes: int = 0
    seconds: float = 0.0
    scenes: dict[str, int] = field(default_factory=dict)
    ceiling: list[bool] = field(default_factory=list)
    open_stated: dict[str, Stated] = field(default_factory=dict)
    lacking: list[tuple[float, bool]] = field(default_factory=list)  # (stated, true)

    def add(self, sample: Sample, scene: str, answered: Answered, majority: int) -> None:
        """Judge one answer."""
        judged = self.judged[sample.task]
        judged.scenes.append(scene)
        judged.right.append(sample.right(answered.index))
        judged.blind_majority.append(sample.right(majority))
        judged.blind_zeroed.append(sample.right(answered.blind_index))
        if answered.other_index >= 0:
            judged.other_clip.append(sample.right(answered.other_index))
        if sample.task in VQA_TASKS:
            self.stated[sample.task].add(sample, answered)
        if len(sample.candidates) > 5:
            self.best_five[sample.task].append(answered.rank <= 5)
        if sample.task == "action":
            (true,) = sample.truth
            self.actions.append((true, sample.keys[answered.index]))

    def whole_sets(self) -> tuple[list[float], list[bool]]:
        """Probabilities and outcomes of all VQA answers, the right one being among the
        candidates."""
        return (
            [value for one in self.stated.values() for value in one.given],
            [value for one in self.stated.values() for value in one.right],
        )
