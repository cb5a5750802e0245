"""What an evaluation has judged so far; figures and plots are made from it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vljepa_lab.evaluation.quality.captions import DecodedEvents
from vljepa_lab.evaluation.quality.tasks import VQA_TASKS, Sample
from vljepa_lab.evaluation.quality.vqa import VqaAnswer


@dataclass(frozen=True)
class Moment:
    """A clip whose event is known.

    embedding: [D] of the answer to the default query. kind, name: event and object. tokens: visual
    tokens, [N, D] float16. states: keys of what else is known of it.
    """

    scene: str
    embedding: NDArray[np.float32]
    kind: str
    name: str
    tokens: NDArray[np.float16]
    states: tuple[str, ...]


@dataclass
class TaskAnswers:
    """Answers of one task, judged; lists of equal length, one entry for each sample.

    scenes: id of the scene. right, blind_majority, blind_zeroed: whether the model, the
    question-string majority and the Predictor with visual tokens zeroed were right; blind lists
    may be empty for a task with a known chance level instead. other_clip: whether the answer is
    the same from another scene's clip, for a part of the samples.
    """

    scenes: list[str] = field(default_factory=list)
    right: list[bool] = field(default_factory=list)
    blind_majority: list[bool] = field(default_factory=list)
    blind_zeroed: list[bool] = field(default_factory=list)
    other_clip: list[bool] = field(default_factory=list)
    chance: float | None = None

    def blind_by(self, trained: float | None = None) -> dict[str, float]:
        """What is reached without looking, by who answers: question-string `majority`, the
        Predictor with visual tokens `zeroed`, one `trained` with them zeroed, `chance`."""
        parts = {"majority": self.blind_majority, "zeroed": self.blind_zeroed}
        shares = {name: float(np.mean(part)) for name, part in parts.items() if part}
        if trained is not None and shares:
            shares["trained"] = trained
        if self.chance is not None:
            shares["chance"] = self.chance
        return shares


@dataclass
class StatedAnswers:
    """Probabilities that were stated of answers, and whether these were right.

    given: that the answer is right, if one of the candidates is. alone: that it is right. asked:
    the samples with the predicted answers, to ask again with other candidates.
    """

    given: list[float] = field(default_factory=list)
    alone: list[float] = field(default_factory=list)
    right: list[bool] = field(default_factory=list)
    asked: list[tuple[Sample, NDArray[np.float32]]] = field(default_factory=list)

    def add(self, sample: Sample, answer: VqaAnswer) -> None:
        """Take in one answer."""
        self.given.append(answer.score / max(1.0 - answer.none, 1e-12))
        self.alone.append(answer.score)
        self.right.append(sample.right(answer.index))
        self.asked.append((sample, answer.vector))

    @staticmethod
    def joined(parts: dict[str, StatedAnswers]) -> StatedAnswers:
        """The answers of all tasks in one."""
        joined = StatedAnswers()
        for part in parts.values():
            joined.given += part.given
            joined.alone += part.alone
            joined.right += part.right
        return joined


@dataclass
class Evaluation:
    """Everything that was judged.

    judged, stated, best_five: by task. actions: kinds, (true, answered). text_right: whether the
    robot's text was true, image by image; events_detected: whether it named an event, event by
    event. decodes, seconds: of the streams that were decoded. ceiling: whether text alone finds an
    unseen wording's action. lacking: (stated, true) that the right answer is not among the
    candidates.
    """

    judged: defaultdict[str, TaskAnswers] = field(default_factory=lambda: defaultdict(TaskAnswers))
    stated: defaultdict[str, StatedAnswers] = field(
        default_factory=lambda: defaultdict(StatedAnswers)
    )
    open_stated: dict[str, StatedAnswers] = field(default_factory=dict)
    best_five: defaultdict[str, list[bool]] = field(default_factory=lambda: defaultdict(list))
    actions: list[tuple[str, str]] = field(default_factory=list)
    moments: list[Moment] = field(default_factory=list)
    decoded: DecodedEvents = field(default_factory=DecodedEvents)
    text_right: TaskAnswers = field(default_factory=TaskAnswers)
    events_detected: TaskAnswers = field(default_factory=TaskAnswers)
    decodes: int = 0
    seconds: float = 0.0
    scenes: dict[str, int] = field(default_factory=dict)
    ceiling: list[bool] = field(default_factory=list)
    lacking: list[tuple[float, bool]] = field(default_factory=list)

    def add(self, sample: Sample, scene: str, answer: VqaAnswer, majority: int) -> None:
        """Judge one answer."""
        judged = self.judged[sample.task]
        judged.scenes.append(scene)
        judged.right.append(sample.right(answer.index))
        judged.blind_majority.append(sample.right(majority))
        judged.blind_zeroed.append(sample.right(answer.blind_index))
        if answer.other_index >= 0:
            judged.other_clip.append(sample.right(answer.other_index))
        if sample.task in VQA_TASKS:
            self.stated[sample.task].add(sample, answer)
        if len(sample.candidates) > 5:
            self.best_five[sample.task].append(answer.rank <= 5)
        if sample.task == "action":
            (true,) = sample.truth
            self.actions.append((true, sample.keys[answer.index]))
