"""`vljepa eval`: all tasks on held-out scenes, through the engine that the nodes use."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.engines.protocol import Engine
from vljepa_ros.evaluation.blind import QuestionMajority
from vljepa_ros.evaluation.calibration import expected_calibration_error
from vljepa_ros.evaluation.captions import DecodedEvents
from vljepa_ros.evaluation.data import SceneVideo, records_of, scenes_of
from vljepa_ros.evaluation.events import shipped_detection, tell
from vljepa_ros.evaluation.report import VQA_TASKS, Judged, macro, task_figures
from vljepa_ros.evaluation.retrieval import first_of_each, ranks
from vljepa_ros.evaluation.samples import Sample
from vljepa_ros.evaluation.streams import encode_scenes
from vljepa_ros.evaluation.tasks import TASKS, draw, splits_of, training_rows
from vljepa_ros.evaluation.vqa import Answered, Answerer
from vljepa_ros.world.captions import event_key, event_text, valid_texts
from vljepa_ros.world.questions import window

__all__ = ["BLIND_SPLIT", "TASKS", "Evaluation", "evaluate"]

Floats = NDArray[np.float32]
BLIND_SPLIT = "val"  # scenes whose questions the blind majority is learned from
SCENES_AT_ONCE = 8
MOMENTS = 500


@dataclass(frozen=True)
class Moment:
    """A clip whose event is known: its scene, the embedding of `what is happening?`, kind,
    object."""

    scene: str
    embedding: Floats
    kind: str
    name: str


@dataclass
class Evaluation:
    """Everything that was judged; `result` makes figures of it, plots draw from it."""

    judged: defaultdict[str, Judged] = field(default_factory=lambda: defaultdict(Judged))
    scores: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    actions: list[tuple[str, str]] = field(default_factory=list)  # (true, answered) kinds
    moments: list[Moment] = field(default_factory=list)
    decoded: DecodedEvents = field(default_factory=DecodedEvents.empty)
    told: list[bool] = field(default_factory=list)
    told_scenes: list[str] = field(default_factory=list)
    decodes: int = 0
    seconds: float = 0.0
    scenes: dict[str, int] = field(default_factory=dict)
    ceiling: list[bool] = field(default_factory=list)

    def add(self, sample: Sample, scene: str, answered: Answered, majority: int) -> None:
        """Judge one answer."""
        judged = self.judged[sample.task]
        judged.scenes.append(scene)
        judged.right.append(sample.right(answered.index))
        judged.blind_majority.append(sample.right(majority))
        judged.blind_zeroed.append(sample.right(answered.blind_index))
        self.scores[sample.task].append(answered.score)
        if sample.task == "action":
            (true,) = sample.truth
            self.actions.append((true, sample.keys[answered.index]))

    def calibration(self) -> tuple[list[float], list[bool]]:
        """Stated probabilities and outcomes of all VQA answers in trained wording."""
        names = [name for name in VQA_TASKS if name in self.judged]
        stated = [score for name in names for score in self.scores[name]]
        return stated, [right for name in names for right in self.judged[name].right]


def evaluate(
    engine: Engine,
    data: Path,
    scenes: int,
    tasks: Iterable[str] = TASKS,
    seed: int = 0,
    progress: Callable[[str, int, int], None] = lambda split, done, total: None,
) -> tuple[dict[str, Any], Evaluation]:
    """Evaluate and return the JSON object and what it was made from.

    :param data: folder with the splits `test_a`, `test_b` and `val` (whose questions alone are
        used).
    :param scenes: of each split, at most.
    :param progress: told (split, scenes done, scenes in all).
    :raises FileNotFoundError: a split is missing.
    """
    wanted = frozenset(tasks)
    done = Evaluation()
    majority = QuestionMajority()
    for record, scene in records_of(data, BLIND_SPLIT, scenes):
        majority.learn(training_rows(record, scene, seed))
    answerer = Answerer(engine)
    for split in splits_of(wanted):
        counted = 0
        for videos in _groups(scenes_of(data, split, scenes)):
            _evaluate_group(engine, answerer, majority, videos, wanted, seed, done)
            counted += len(videos)
            progress(split, counted, scenes)
        done.scenes[split] = counted
    return _result(engine, answerer, done, wanted, seed), done


def _groups(videos: Iterable[SceneVideo]) -> Iterable[list[SceneVideo]]:
    group: list[SceneVideo] = []
    for video in videos:
        group.append(video)
        if len(group) == SCENES_AT_ONCE:
            yield group
            group = []
    if group:
        yield group


def _evaluate_group(
    engine: Engine,
    answerer: Answerer,
    majority: QuestionMajority,
    videos: list[SceneVideo],
    wanted: frozenset[str],
    seed: int,
    done: Evaluation,
) -> None:
    first = engine.config.clip_frames - 1
    encoded = encode_scenes(engine, videos)
    places: list[tuple[SceneVideo, Floats, Sample]] = [
        (video, tokens[t - first], sample)
        for video, tokens in zip(videos, encoded, strict=True)
        for t, sample in draw(video.record, video.scene, seed, wanted)
    ]
    answers = answerer.answer([place[1] for place in places], [place[2] for place in places])
    for (video, _, sample), answered in zip(places, answers, strict=True):
        blind = majority.answer(sample.task, sample.question, sample.keys)
        done.add(sample, video.scene, answered, blind)
        if sample.task == "unseen_action":
            done.ceiling.append(_told_by_text_alone(answerer, sample))
    for video, tokens in zip(videos, encoded, strict=True):
        if video.split == "test_a":
            _watch(engine, video, tokens, wanted, done)


def _watch(
    engine: Engine,
    video: SceneVideo,
    tokens: list[Floats],
    wanted: frozenset[str],
    done: Evaluation,
) -> None:
    """The stream as the decoder node sees it, and the moments whose event is known."""
    first = engine.config.clip_frames - 1
    embeddings = engine.embed(tokens, engine.config.default_query)
    if "decoded_event" in wanted:
        stamps = video.stamps[first:]
        states = video.record.states[first:]
        valid = [valid_texts(video.record.events, state) for state in states]
        told = tell(stamps, embeddings, valid, engine.generate, shipped_detection(engine.config))
        done.told += told.right
        done.told_scenes += [video.scene] * len(told.right)
        done.decodes += told.decodes
        done.seconds += stamps[-1] - stamps[0]
    for place, embedding in enumerate(embeddings):
        seen = window(video.record, first + place)
        if seen.kind is not None:
            done.moments.append(Moment(video.scene, embedding, seen.kind, seen.object))


def _told_by_text_alone(answerer: Answerer, sample: Sample) -> bool:
    """Whether the true action's trained text is nearest to its own unseen wording: what the text
    side alone allows with perfect vision."""
    (true,) = sample.truth
    (text,) = answerer.embedded((event_text(true.removeprefix("event:")),))
    return sample.right(int((answerer.embedded(sample.candidates) @ text).argmax()))


def _result(
    engine: Engine, answerer: Answerer, done: Evaluation, wanted: frozenset[str], seed: int
) -> dict[str, Any]:
    if "decoded_event" in wanted and done.moments:
        _judge_decoder(engine, done)
    if wanted & {"retrieval_r1", "retrieval_r5"} and done.moments:
        _judge_retrieval(answerer, done, wanted, seed)
    figures = {name: task_figures(done.judged[name]) for name in TASKS if name in done.judged}
    result: dict[str, Any] = {
        "model_id": engine.config.model_id,
        "engine": engine.info.engine,
        "device": engine.info.device,
        "precision": engine.info.precision,
        "scenes": done.scenes,
        "seed": seed,
        "tasks": figures,
        **macro(figures),
    }
    if done.told:
        told = task_figures(Judged(done.told_scenes, done.told))
        result["text_right_share"] = told["accuracy"]
        result["text_right_share_ci"] = told["ci"]
        result["decodes_per_minute"] = round(60 * done.decodes / done.seconds, 2)
    if done.decoded.right:
        result["decoded_event_object_named"] = round(float(np.mean(done.decoded.named)), 4)
        result["decoded_by_decoder_share"] = round(float(np.mean(done.decoded.written)), 4)
    if done.ceiling:
        result["unseen_action_ceiling"] = round(float(np.mean(done.ceiling)), 4)
    stated, right = done.calibration()
    if stated:
        result["ece"] = round(expected_calibration_error(stated, right), 4)
        result["ece_debiased"] = round(expected_calibration_error(stated, right, debiased=True), 4)
        result["ece_by_task"] = {
            name: round(
                expected_calibration_error(
                    done.scores[name], done.judged[name].right, debiased=True
                ),
                4,
            )
            for name in VQA_TASKS
            if name in done.judged
        }
    return result


def _judge_decoder(engine: Engine, done: Evaluation) -> None:
    judged = done.judged["decoded_event"]
    kinds = [(moment.kind, moment.name) for moment in done.moments]
    usual = max(set(kinds), key=lambda pair: (kinds.count(pair), pair))
    for start in range(0, len(done.moments), 64):
        part = done.moments[start : start + 64]
        texts = engine.generate(np.stack([moment.embedding for moment in part]))
        for moment, generated in zip(part, texts, strict=True):
            done.decoded.judge(generated.text, generated.decoded, moment.kind, moment.name)
            judged.scenes.append(moment.scene)
            judged.blind_majority.append((moment.kind, moment.name) == usual)
    judged.right = list(done.decoded.right)


def _judge_retrieval(
    answerer: Answerer, done: Evaluation, wanted: frozenset[str], seed: int
) -> None:
    """At most MOMENTS moments of different events, one relevant for each text."""
    order = np.random.default_rng(seed).permutation(len(done.moments)).tolist()
    keys = [event_key(moment.kind, moment.name) for moment in done.moments]
    chosen = [done.moments[i] for i in first_of_each(keys, order)][:MOMENTS]
    texts = answerer.embedded(
        tuple(event_text(moment.kind, moment.name, seed, unseen=True) for moment in chosen)
    )
    placed = ranks(texts, np.stack([moment.embedding for moment in chosen]))
    for name, depth in (("retrieval_r1", 1), ("retrieval_r5", 5)):
        if name in wanted:
            done.judged[name] = Judged(
                scenes=[moment.scene for moment in chosen],
                right=[bool(rank <= depth) for rank in placed],
                chance=min(1.0, depth / len(chosen)),
            )
