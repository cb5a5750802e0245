"""What an evaluation has judged, and the JSON object of `vljepa eval` that is made from it.

doc/evaluation.md names the fields.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vljepa_lab.evaluation.bootstrap import scene_bootstrap
from vljepa_lab.evaluation.quality.calibration import (
    accuracy_coverage,
    at_threshold,
    expected_calibration_error,
)
from vljepa_lab.evaluation.quality.captions import DecodedEvents, bleu
from vljepa_lab.evaluation.quality.own_words import OwnWordsAnswer, own_words_figures
from vljepa_lab.evaluation.quality.tasks import TASKS, UNSEEN_QUESTIONS, VQA_TASKS
from vljepa_lab.evaluation.quality.vqa import Answerer, VqaAnswer
from vljepa_lab.world.captions import event_key, event_text, event_texts
from vljepa_lab.world.questions import Question
from vljepa_ros.engines.protocol import Engine
from vljepa_ros.files import JsonObject
from vljepa_ros.perception.vocabulary import same_text


@dataclass(frozen=True)
class Moment:
    """A clip whose event is known.

    Attributes:
        embedding: [D] of the answer to the default query.
        kind, name: event and object.
        tokens: visual tokens, [N, D] float16.
        states: keys of what else is known of it.
    """

    scene: str
    embedding: NDArray[np.float32]
    kind: str
    name: str
    tokens: NDArray[np.float16]
    states: tuple[str, ...]


@dataclass
class TaskAnswers:
    """Answers of one task, judged; lists of equal length, one entry for each question.

    Attributes:
        scenes: id of the scene.
        right, blind_majority, blind_zeroed: whether the model, the question-string majority and
            the Predictor with visual tokens zeroed were right; blind lists may be empty for a
            task with a known chance level instead.
        other_clip: whether the answer is the same from another scene's clip, for a part of the
            samples.
    """

    scenes: list[str] = field(default_factory=list)
    right: list[bool] = field(default_factory=list)
    blind_majority: list[bool] = field(default_factory=list)
    blind_zeroed: list[bool] = field(default_factory=list)
    other_clip: list[bool] = field(default_factory=list)
    chance: float | None = None

    def add_all(self, scene: str, right: Sequence[bool]) -> None:
        """Take in answers of one scene."""
        self.right += right
        self.scenes += [scene] * len(right)

    def blind_by(self, trained: float | None = None) -> dict[str, float]:
        """What is reached without looking, by who answers.

        `majority`: the commonest answer to a question's string. `zeroed`: the Predictor with visual
        tokens of zeros. `trained`: one that was trained so. `chance`.
        """
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

    Attributes:
        given: that the answer is right, if one of the candidates is.
        alone: that it is right.
        asked: the questions with the predicted answers, to ask again with other candidates.
    """

    given: list[float] = field(default_factory=list)
    alone: list[float] = field(default_factory=list)
    right: list[bool] = field(default_factory=list)
    asked: list[tuple[Question, NDArray[np.float32]]] = field(default_factory=list)

    def add(self, question: Question, answer: VqaAnswer) -> None:
        """Take in one answer."""
        self.given.append(answer.score / max(1.0 - answer.none, 1e-12))
        self.alone.append(answer.score)
        self.right.append(question.right(answer.index))
        self.asked.append((question, answer.vector))

    @staticmethod
    def joined(parts: dict[str, StatedAnswers]) -> StatedAnswers:
        """The answers of all tasks in one."""
        every = [(part.given, part.alone, part.right) for part in parts.values()]
        return StatedAnswers(*(list(chain(*lists)) for lists in zip(*every, strict=True)))


@dataclass
class Evaluation:
    """All answers of an evaluation.

    Attributes:
        judged, stated, best_five: by task.
        actions: kinds, (true, answered).
        text_right: whether the robot's text was true, image by image.
        events_detected: whether it named an event, event by event.
        own_words: answers to unseen questions.
        decodes, seconds: of the streams that were decoded.
        ceiling: whether text alone finds an unseen wording's action.
        lacking: (stated, true) that the right answer is not among the candidates.
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
    scenes: dict[str, int] = field(default_factory=dict)
    decodes: int = 0
    seconds: float = 0.0
    ceiling: list[bool] = field(default_factory=list)
    lacking: list[tuple[float, bool]] = field(default_factory=list)
    own_words: list[OwnWordsAnswer] = field(default_factory=list)

    def add(self, question: Question, scene: str, answer: VqaAnswer, majority: int) -> None:
        """Judge one answer."""
        judged = self.judged[question.task]
        judged.scenes.append(scene)
        judged.right.append(question.right(answer.index))
        judged.blind_majority.append(question.right(majority))
        judged.blind_zeroed.append(question.right(answer.blind_index))
        if answer.other_index >= 0:
            judged.other_clip.append(question.right(answer.other_index))
        if question.task in VQA_TASKS:
            self.stated[question.task].add(question, answer)
        if len(question.candidates) > 5:
            self.best_five[question.task].append(answer.rank <= 5)
        if question.task == "action":
            self.actions.append((question.key, question.keys[answer.index]))


def figures_of(
    engine: Engine, answerer: Answerer, done: Evaluation, seed: int, blind: Mapping[str, float]
) -> JsonObject:
    """All figures of an evaluation. blind: see `evaluate`."""
    figures = {
        name: task_figures(done.judged[name], blind.get(name))
        for name in TASKS
        if name in done.judged
    }
    for name, hits in done.best_five.items():
        figures[name]["top5"] = _mean(hits)
    result: JsonObject = {
        "model_id": engine.config.model_id,
        "engine": engine.info.engine,
        "device": engine.info.device,
        "precision": engine.info.precision,
        "scenes": done.scenes,
        "seed": seed,
        "tasks": figures,
        **macro(figures),
    }
    streams = {"text_right_share": done.text_right, "events_named_share": done.events_detected}
    for name, answers in streams.items():
        if answers.right:
            share = task_figures(answers)
            result |= {name: share["accuracy"], f"{name}_ci": share["ci"]}
    if done.events_detected.right:
        result["events_named_n"] = len(done.events_detected.right)
    if done.seconds:
        result["decodes_per_minute"] = round(60 * done.decodes / done.seconds, 2)
    if done.decoded.right:
        result |= _captions(engine, answerer, done)
    if done.ceiling:
        result["unseen_action_ceiling"] = _mean(done.ceiling)
        if "unseen_action" in figures and np.mean(done.ceiling) > 0:
            reached = figures["unseen_action"]["accuracy"] / float(np.mean(done.ceiling))
            result["unseen_action_of_ceiling"] = round(reached, 4)
    if done.own_words:
        result[UNSEEN_QUESTIONS] = own_words_figures(done.own_words, engine.config.calibration)
    if done.stated:
        result |= _calibration(done, engine.config.calibration.abstain_below)
    return result


def task_figures(judged: TaskAnswers, trained: float | None = None) -> JsonObject:
    """Return accuracy, ci, blind (the best that does not look), blind_by, n and scenes of one task.

    Args:
        judged: the task's answers.
        trained: accuracy of a Predictor that was trained with visual tokens zeroed.

    Raises:
        ValueError: the task has no samples.
    """
    estimate = scene_bootstrap(judged.right, judged.scenes)
    blind = {name: round(value, 4) for name, value in judged.blind_by(trained).items()}
    figures: JsonObject = {
        "accuracy": round(estimate.value, 4),
        "ci": [round(estimate.low, 4), round(estimate.high, 4)],
        "blind": max(blind.values(), default=None),
        "blind_by": blind,
        "n": estimate.n,
        "scenes": estimate.scenes,
    }
    if judged.other_clip:
        figures["other_clip"] = _mean(judged.other_clip)
    return figures


def macro(tasks: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """The two averages over the VQA tasks.

    Returns:
        macro_vqa, the mean accuracy of the tasks present; and the mean of
        (accuracy - blind) / (1 - blind) over them: 0 for blind guessing, 1 for perfect.
    """
    present = [tasks[name] for name in VQA_TASKS if name in tasks]
    if not present:
        return {}
    pairs = [(task["accuracy"], task["blind"]) for task in present if task["blind"] is not None]
    figures = {"macro_vqa": _mean([task["accuracy"] for task in present])}
    if pairs:
        gains = [(own - blind) / max(1.0 - blind, 1e-9) for own, blind in pairs]
        figures["macro_vqa_above_blind"] = _mean(gains)
    return figures


def _captions(engine: Engine, answerer: Answerer, done: Evaluation) -> JsonObject:
    """The Y-Decoder from predicted embeddings, and from those of the texts themselves."""
    events = list(dict.fromkeys((m.kind, m.name) for m in done.moments))
    events.sort(key=lambda pair: event_key(*pair))
    vectors = answerer.embedded(tuple(event_text(kind, name) for kind, name in events))
    batches = [vectors[start : start + 64] for start in range(0, len(vectors), 64)]
    written = [generated.text for batch in batches for generated in engine.generate(batch)]
    references = [event_texts(kind, name) for kind, name in events]
    exact = [same_text(text, own) for text, own in zip(written, references, strict=True)]
    return {
        "decoded_event_object_named": _mean(done.decoded.named),
        "decoded_by_decoder_share": _mean(done.decoded.written),
        "bleu_predicted": round(bleu(done.decoded.texts), 4),
        "exact_from_true_embedding": _mean(exact),
        "bleu_from_true_embedding": round(bleu(list(zip(written, references, strict=True))), 4),
    }


def _calibration(done: Evaluation, abstain_below: float) -> JsonObject:
    """ECE on whole sets (`ece`) and on random ones (`ece_open`), abstention, coverage."""
    every = StatedAnswers.joined(done.stated)
    by_task = {name: _ece(one.given, one.right) for name, one in sorted(done.stated.items())}
    result: JsonObject = {
        "ece": _ece(every.given, every.right, debiased=False),
        "ece_debiased": _ece(every.given, every.right),
        "ece_by_task": by_task,
        "ece_n": {name: len(one.right) for name, one in sorted(done.stated.items())},
        "ece_worst": max(by_task.values()),
        "abstain_below": abstain_below,
        **_answered(every, abstain_below, "abstained_share"),
        "coverage": _coverage(every, "share", "accuracy", "threshold"),
    }
    drawn = StatedAnswers.joined(done.open_stated)
    if not drawn.right:
        return result
    asked = {name: one for name, one in sorted(done.open_stated.items()) if one.right}
    by_task = {name: _ece(one.alone, one.right) for name, one in asked.items()}
    stated_none, none = zip(*done.lacking, strict=True)
    missing, withheld = np.array(none), np.array(drawn.alone) < abstain_below
    return result | {
        "ece_open": _ece(drawn.alone, drawn.right),
        "ece_open_by_task": by_task,
        "ece_open_worst": max(by_task.values()),
        "ece_none": _ece(stated_none, none),
        "open_sets": {
            "n": len(drawn.right),
            "lacking": _mean(missing),
            **_answered(drawn, abstain_below, "abstained"),
            "abstained_where_lacking": _mean(withheld[missing]) if missing.any() else None,
            "abstained_where_present": None if missing.all() else _mean(withheld[~missing]),
            "coverage": _coverage(drawn, "share", "accuracy"),
        },
    }


def _answered(answers: StatedAnswers, abstain_below: float, name: str) -> dict[str, float]:
    """Share that is withheld, as `name`, and accuracy of the others."""
    kept = at_threshold(answers.alone, answers.right, abstain_below)
    return {name: round(1 - kept.share, 4), "accuracy_answered": round(kept.accuracy, 4)}


def _mean(values: ArrayLike) -> float:
    return round(float(np.asarray(values).mean()), 4)


def _ece(stated: ArrayLike, right: ArrayLike, debiased: bool = True) -> float:
    return round(expected_calibration_error(stated, right, debiased=debiased), 4)


def _coverage(answers: StatedAnswers, *names: str) -> list[dict[str, float]]:
    curve = accuracy_coverage(answers.alone, answers.right)
    return [{name: round(getattr(point, name), 4) for name in names} for point in curve]
