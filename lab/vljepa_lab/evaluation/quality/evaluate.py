"""`vljepa eval`: all tasks on held-out scenes, through the engine that the nodes use.

Each image passes the X-Encoder once; all questions, controls and streams use its tokens.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vljepa_lab.evaluation.quality.captions import decode_stream, events_detected, shipped_detector
from vljepa_lab.evaluation.quality.figures import Evaluation, Moment, StatedAnswers, figures_of
from vljepa_lab.evaluation.quality.own_words import ask_entries
from vljepa_lab.evaluation.quality.retrieval import judge_retrieval
from vljepa_lab.evaluation.quality.scenes import SceneVideo, encode_scenes, records_of, scenes_of
from vljepa_lab.evaluation.quality.tasks import (
    TASKS,
    UNSEEN_QUESTIONS,
    VQA_TASKS,
    calibration_rows,
    draw,
    splits_of,
    training_rows,
)
from vljepa_lab.evaluation.quality.vqa import Answerer, QuestionMajority, VqaQuery
from vljepa_lab.training.question_sampling import CandidateSets
from vljepa_lab.world.captions import event_text, state_keys, valid_texts
from vljepa_lab.world.own_words import REPORT, read_table
from vljepa_lab.world.questions import Question
from vljepa_lab.world.records import clip_event
from vljepa_ros.engines.protocol import Engine
from vljepa_ros.models.calibration import probabilities
from vljepa_ros.models.config import Calibration

Floats = NDArray[np.float32]
BLIND_SPLIT = "val"  # scenes whose questions the blind majority is learned from
ENCODED_SCENES = 8  # through the X-Encoder together
ASKED_SCENES = 48  # whose questions are put together: those of equal words share a pass
CONTROL_INTERVAL = 4  # each so many-th question is asked about another scene's clip as well
SETS_PER_TASK = 2000  # random sets of candidates, of which a third lack the right answer
_SETS_PER_ANSWER = 4  # at most
_DECODED = 64  # embeddings in one pass of the Y-Decoder


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

    Args:
        engine: to be judged.
        data: folder with the splits `test_a`, `test_b` and `val` (whose questions alone are used).
        scenes: of each split, at most.
        tasks: names of `TASKS`.
        seed: of the questions drawn.
        progress: receives (split, scenes done, scenes in all).
        blind: accuracy by task of a Predictor that was trained with visual tokens zeroed.

    Raises:
        FileNotFoundError: a split is missing.
    """
    run = _Run(engine, frozenset(tasks), seed)
    for record, scene in records_of(data, BLIND_SPLIT, scenes):
        run.majority.learn(training_rows(record, scene, seed))
    for split in splits_of(run.tasks):
        videos = run.encoded(scenes_of(data, split, scenes), split, scenes, progress)
        while group := list(islice(videos, ASKED_SCENES)):
            run.ask(group)
            for video, tokens in group:
                if video.split == "test_a":
                    run.watch(video, tokens)
    run.finish()
    return figures_of(engine, run.answerer, run.done, seed, blind or {}), run.done


Encoded = tuple[SceneVideo, list[Floats]]  # visual tokens [N, D] of each clip


class _Run:
    """One evaluation in progress."""

    def __init__(self, engine: Engine, tasks: frozenset[str], seed: int) -> None:
        self.engine, self.tasks, self.seed = engine, tasks, seed
        self.done = Evaluation()
        self.majority = QuestionMajority()
        self.answerer = Answerer(engine)
        self._entries = read_table(REPORT) if UNSEEN_QUESTIONS in tasks else ()
        self._first = engine.config.clip_frames - 1  # frame at which the first clip ends

    def encoded(
        self,
        videos: Iterator[SceneVideo],
        split: str,
        total: int,
        progress: Callable[[str, int, int], None],
    ) -> Iterator[Encoded]:
        """Scenes with their visual tokens."""
        while some := list(islice(videos, ENCODED_SCENES)):
            yield from zip(some, encode_scenes(self.engine, some), strict=True)
            self.done.scenes[split] = self.done.scenes.get(split, 0) + len(some)
            progress(split, self.done.scenes[split], total)

    def ask(self, group: list[Encoded]) -> None:
        """All questions about some scenes; controls see the clip of the next scene."""
        queries: list[VqaQuery] = []
        scenes: list[str] = []
        rare: list[VqaQuery] = []
        for place, (video, tokens) in enumerate(group):
            other = group[(place + 1) % len(group)][1]
            for t, question in draw(video.record, video.scene, self.seed, self.tasks):
                control = len(group) > 1 and _is_control(t, question, video.scene)
                elsewhere = other[min(t - self._first, len(other) - 1)] if control else None
                queries.append(VqaQuery(tokens[t - self._first], question, elsewhere))
                scenes.append(video.scene)
            if video.split == "test_a":
                vqa = self.tasks & frozenset(VQA_TASKS)
                rows = calibration_rows(video.record, video.scene, self.seed, vqa)
                rare += [VqaQuery(tokens[t - self._first], question) for t, question in rows]
        of_test_a = [(video, tokens) for video, tokens in group if video.split == "test_a"]
        self.done.own_words += ask_entries(self.answerer, self._entries, of_test_a, self.seed)
        answers = self.answerer.answer(queries)
        for query, scene, answer in zip(queries, scenes, answers, strict=True):
            question = query.question
            majority = self.majority.answer(question.task, question.text, question.keys)
            self.done.add(question, scene, answer, majority)
            if question.task == "unseen_action":
                self.done.ceiling.append(self._text_alone_is_right(question))
        for query, answer in zip(rare, self.answerer.answer(rare), strict=True):
            self.done.stated[query.question.task].add(query.question, answer)

    def watch(self, video: SceneVideo, tokens: list[Floats]) -> None:
        """The stream as the decoder node sees it, and the moments whose event is known."""
        decodes = "decoded_event" in self.tasks
        if not decodes and not any(task.startswith("retrieval") for task in self.tasks):
            return
        engine, done = self.engine, self.done
        embeddings = engine.embed(tokens, engine.config.default_query)
        stamps = video.stamps[self._first :]
        states = video.record.states[self._first :]
        if decodes:
            valid = [valid_texts(video.record.events, state) for state in states]
            config = shipped_detector(engine.config)
            decoded = decode_stream(stamps, embeddings, valid, engine.generate, config)
            right, shown, decodes_made = decoded
            done.decodes += decodes_made
            done.seconds += stamps[-1] - stamps[0]
            detected = events_detected(stamps, shown, video.record.events)
            done.text_right.add_all(video.scene, right)
            done.events_detected.add_all(video.scene, detected)
        for place, (clip, embedding) in enumerate(zip(tokens, embeddings, strict=True)):
            seen = clip_event(video.record, self._first + place)
            if seen.kind is not None:
                keys = [k for k in state_keys(states[place]) if not k.startswith("held")]
                kept = clip.astype(np.float16)
                done.moments.append(
                    Moment(video.scene, embedding, seen.kind, seen.object, kept, tuple(keys))
                )

    def finish(self) -> None:
        """Judge what needs all scenes."""
        if "decoded_event" in self.tasks and self.done.moments:
            self._judge_decoder()
        if self.done.moments:
            judge_retrieval(self.answerer, self.engine.config, self.done, self.tasks, self.seed)
        judge_open_sets(self.done, self.answerer, self.engine.config.calibration, self.seed)

    def _text_alone_is_right(self, question: Question) -> bool:
        """Whether the true action's trained text is nearest to its own unseen wording.

        It is what the text side alone allows with perfect vision.
        """
        text = self.answerer.known(event_text(question.key.removeprefix("event:")))
        return question.right(int((self.answerer.embedded(question.candidates) @ text).argmax()))

    def _judge_decoder(self) -> None:
        moments, decoded = self.done.moments, self.done.decoded
        judged = self.done.judged["decoded_event"]
        kinds = [(moment.kind, moment.name) for moment in moments]
        usual = max(set(kinds), key=lambda pair: (kinds.count(pair), pair))
        for start in range(0, len(moments), _DECODED):
            part = moments[start : start + _DECODED]
            texts = self.engine.generate(np.stack([moment.embedding for moment in part]))
            for moment, generated in zip(part, texts, strict=True):
                decoded.judge(generated.text, generated.decoded, moment.kind, moment.name)
        judged.scenes = [moment.scene for moment in moments]
        judged.blind_majority = [pair == usual for pair in kinds]
        judged.right = list(decoded.right)


def _is_control(t: int, question: Question, scene: str) -> bool:
    """Whether this question is asked about another clip too: the same each time."""
    words = f"{scene} {t} {question.task} {question.text}"
    return hashlib.blake2b(words.encode(), digest_size=1).digest()[0] % CONTROL_INTERVAL == 0


def judge_open_sets(
    done: Evaluation, answerer: Answerer, calibration: Calibration, seed: int
) -> None:
    """Ask the VQA samples again with other candidates.

    SETS_PER_TASK random sets for each task, fewer where there are few samples.
    """
    rng = random.Random(seed)
    questions = {
        task: [question for question, _ in stated.asked] for task, stated in done.stated.items()
    }
    sets = CandidateSets(q for some in questions.values() for q in some[::5])
    texts = list(
        dict.fromkeys(t for some in questions.values() for q in some for t in q.candidates)
    )
    vectors = np.stack([answerer.known(text) for text in texts]) if texts else np.zeros((0, 0))
    place = {text: index for index, text in enumerate(texts)}
    for task in sorted(questions):
        answers = done.open_stated.setdefault(task, StatedAnswers())
        for _ in range(min(SETS_PER_TASK, _SETS_PER_ANSWER * len(questions[task]))):
            index = rng.randrange(len(questions[task]))
            drawn = sets.draw(questions[task][index], rng)
            if drawn is None:
                continue
            rows = vectors[[place[text] for text in drawn.texts]]
            each, none = probabilities(rows @ done.stated[task].asked[index][1], calibration)
            best = int(each.argmax())
            answers.alone.append(float(each[best]))
            answers.right.append(best == drawn.right)
            done.lacking.append((none, drawn.right < 0))
