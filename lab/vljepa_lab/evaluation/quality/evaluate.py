"""`vljepa eval`: all tasks on held-out scenes, through the engine that the nodes use.

Each image passes the X-Encoder once; all questions, controls and streams use its tokens.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vljepa_lab.evaluation.quality.blind import QuestionMajority
from vljepa_lab.evaluation.quality.events import shipped_detection, tell, told_rightly
from vljepa_lab.evaluation.quality.figures import figures_of
from vljepa_lab.evaluation.quality.judgement import Evaluation, Moment
from vljepa_lab.evaluation.quality.open_sets import judge_open_sets
from vljepa_lab.evaluation.quality.report import VQA_TASKS
from vljepa_lab.evaluation.quality.retrieval_task import judge_retrieval
from vljepa_lab.evaluation.quality.samples import Sample
from vljepa_lab.evaluation.quality.scenes import SceneVideo, encode_scenes, records_of, scenes_of
from vljepa_lab.evaluation.quality.tasks import (
    TASKS,
    calibration_rows,
    draw,
    splits_of,
    training_rows,
)
from vljepa_lab.evaluation.quality.vqa import Answerer, SampledClip
from vljepa_lab.world.captions import event_text, state_keys, valid_texts
from vljepa_lab.world.records import clip_event
from vljepa_ros.engines.protocol import Engine

Floats = NDArray[np.float32]
BLIND_SPLIT = "val"  # scenes whose questions the blind majority is learned from
SCENES_AT_ONCE = 8  # through the X-Encoder
SCENES_TOGETHER = 48  # whose questions are put together: those of equal words share a pass
CONTROLLED = 4  # each so many-th question is asked about another scene's clip as well


def evaluate(
    engine: Engine,
    data: Path,
    scenes: int,
    tasks: Iterable[str] = TASKS,
    seed: int = 0,
    progress: Callable[[str, int, int], None] = lambda split, done, total: None,
    blind: Mapping[str, float] | None = None,
) -> tuple[dict[str, Any], Evaluation]:
    """Evaluate and return the JSON object and what it was made from.

    :param data: folder with the splits `test_a`, `test_b` and `val` (whose questions alone are
        used).
    :param scenes: of each split, at most.
    :param progress: told (split, scenes done, scenes in all).
    :param blind: accuracy by task of a Predictor that was trained with visual tokens zeroed.
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
        group: list[tuple[SceneVideo, list[Floats]]] = []
        for videos in _groups(scenes_of(data, split, scenes)):
            group += zip(videos, encode_scenes(engine, videos), strict=True)
            counted += len(videos)
            if len(group) >= SCENES_TOGETHER:
                _evaluate_group(engine, answerer, majority, group, wanted, seed, done)
                group = []
            progress(split, counted, scenes)
        if group:
            _evaluate_group(engine, answerer, majority, group, wanted, seed, done)
        done.scenes[split] = counted
    if "decoded_event" in wanted and done.moments:
        _judge_decoder(engine, done)
    if done.moments:
        judge_retrieval(answerer, engine.config, done, wanted, seed)
    judge_open_sets(done, answerer, engine.config.calibration, seed)
    return figures_of(engine, answerer, done, seed, blind or {}), done


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
    group: list[tuple[SceneVideo, list[Floats]]],
    wanted: frozenset[str],
    seed: int,
    done: Evaluation,
) -> None:
    first = engine.config.clip_frames - 1
    asked: list[SampledClip] = []
    scenes: list[str] = []
    for place, (video, tokens) in enumerate(group):
        other = group[(place + 1) % len(group)][1]
        for t, sample in draw(video.record, video.scene, seed, wanted):
            control = _chosen(t, sample, video.scene) and len(group) > 1
            elsewhere = other[min(t - first, len(other) - 1)] if control else None
            asked.append(SampledClip(tokens[t - first], sample, elsewhere))
            scenes.append(video.scene)
    for one, scene, answered in zip(asked, scenes, answerer.answer(asked), strict=True):
        sample = one.sample
        blind = majority.answer(sample.task, sample.question, sample.keys)
        done.add(sample, scene, answered, blind)
        if sample.task == "unseen_action":
            done.ceiling.append(_told_by_text_alone(answerer, sample))
    more = [
        SampledClip(tokens[t - first], sample)
        for video, tokens in group
        if video.split == "test_a"
        for t, sample in calibration_rows(
            video.record, video.scene, seed, wanted & frozenset(VQA_TASKS)
        )
    ]
    for one, answered in zip(more, answerer.answer(more), strict=True):
        done.stated[one.sample.task].add(one.sample, answered)
    for video, tokens in group:
        if video.split == "test_a":
            _watch(engine, video, tokens, wanted, done)


def _chosen(t: int, sample: Sample, scene: str) -> bool:
    """Whether this question is asked about another clip too: the same each time."""
    words = f"{scene} {t} {sample.task} {sample.question}"
    return hashlib.blake2b(words.encode(), digest_size=1).digest()[0] % CONTROLLED == 0


def _watch(
    engine: Engine,
    video: SceneVideo,
    tokens: list[Floats],
    wanted: frozenset[str],
    done: Evaluation,
) -> None:
    """The stream as the decoder node sees it, and the moments whose event is known."""
    first = engine.config.clip_frames - 1
    if not any(task == "decoded_event" or task.startswith("retrieval") for task in wanted):
        return
    embeddings = engine.embed(tokens, engine.config.default_query)
    if "decoded_event" in wanted:
        stamps = video.stamps[first:]
        states = video.record.states[first:]
        valid = [valid_texts(video.record.events, state) for state in states]
        told = tell(stamps, embeddings, valid, engine.generate, shipped_detection(engine.config))
        done.told += told.right
        done.told_scenes += [video.scene] * len(told.right)
        noticed = told_rightly(stamps, told.shown, video.record.events)
        done.events_told += noticed
        done.events_scenes += [video.scene] * len(noticed)
        done.decodes += told.decodes
        done.seconds += stamps[-1] - stamps[0]
    for place, (clip, embedding) in enumerate(zip(tokens, embeddings, strict=True)):
        seen = clip_event(video.record, first + place)
        if seen.kind is not None:
            keys = state_keys(video.record.states[first + place])
            states_known = tuple(key for key in keys if not key.startswith("held"))
            done.moments.append(
                Moment(
                    video.scene,
                    embedding,
                    seen.kind,
                    seen.object,
                    clip.astype(np.float16),
                    states_known,
                )
            )


def _told_by_text_alone(answerer: Answerer, sample: Sample) -> bool:
    """Whether the true action's trained text is nearest to its own unseen wording: what the text
    side alone allows with perfect vision."""
    (true,) = sample.truth
    text = answerer.known(event_text(true.removeprefix("event:")))
    return sample.right(int((answerer.embedded(sample.candidates) @ text).argmax()))


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
