"""Questions in words that no training step saw (`unseen_questions` in doc/evaluation.md)."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vljepa_lab.evaluation.quality.calibration import expected_calibration_error
from vljepa_lab.evaluation.quality.scenes import SceneVideo
from vljepa_lab.evaluation.quality.vqa import Answerer, VqaQuery
from vljepa_lab.world.own_words import Entry, ask_in_own_words
from vljepa_lab.world.questions import Question, ask
from vljepa_lab.world.records import CLIP_FRAMES
from vljepa_ros.models.calibration import probabilities
from vljepa_ros.models.config import Calibration

Floats = NDArray[np.float32]
_TASKS = {"holding": "holding_anything"}  # kind of an entry -> task, where the names differ


@dataclass(frozen=True)
class OwnWordsAnswer:
    """A question with the similarities [N] of its candidates to the predicted answer.

    Attributes:
        entry: None for a question in a trained wording about the same clip.
        kind: of the entry.
        clip: scene and frame.
    """

    entry: Entry | None
    kind: str
    clip: tuple[str, int]
    question: Question
    similarities: Floats

    @property
    def right(self) -> bool:
        """Whether the nearest candidate is right."""
        return self.question.right(int(self.similarities.argmax()))


def ask_entries(
    answerer: Answerer,
    entries: tuple[Entry, ...],
    scenes: Sequence[tuple[SceneVideo, list[Floats]]],
    seed: int,
    clips: int = 1,
) -> list[OwnWordsAnswer]:
    """Ask every entry of random clips of each scene, and what training asks of the same clips.

    Args:
        answerer: asks the engine.
        entries: of a table.
        scenes: with the visual tokens [N, D] of each clip.
        seed: of the clips and objects drawn.
        clips: of each scene.
    """
    kinds = dict.fromkeys(entry.kind for entry in entries)
    rows: list[tuple[Entry | None, str, tuple[str, int], Question]] = []
    tokens_of: list[Floats] = []
    for video, tokens in scenes:
        rng = random.Random(f"{seed} {video.scene}")
        for place in sorted(rng.sample(range(len(tokens)), min(clips, len(tokens)))):
            last = place + CLIP_FRAMES - 1
            own = ask_in_own_words(entries, video.record, last, f"{seed} {video.scene}")
            asked: list[tuple[Entry | None, str, Question]] = []
            asked += [(one.entry, one.entry.kind, one.question) for one in own]
            trained = {q.task: q for q in ask(video.record, last, rng)}
            for kind in kinds:
                question = trained.get(_TASKS.get(kind, kind))
                if question is not None and question.key != "none":
                    asked.append((None, kind, question))
            rows += [(entry, kind, (video.scene, last), q) for entry, kind, q in asked]
            tokens_of += [tokens[place]] * len(asked)
    queries = [VqaQuery(t, row[3]) for t, row in zip(tokens_of, rows, strict=True)]
    answers = answerer.answer(queries)
    return [
        OwnWordsAnswer(*row, answerer.embedded(row[3].candidates) @ answer.vector)
        for row, answer in zip(rows, answers, strict=True)
    ]


def own_words_figures(
    answers: Sequence[OwnWordsAnswer], calibration: Calibration
) -> dict[str, dict[str, float]]:
    """By kind, and of `all`.

    Returns:
        accuracy: of the best candidate, withheld or not; trained: the same of the same clips in
        trained wordings; abstained: share that is withheld; answered: accuracy of the others; ece:
        calibration error; wrong_score: mean score of wrong answers; consistency: share of the clips
        in which a question and its opposite are both answered rightly, absent where no entry has an
        opposite.
    """
    by_kind: defaultdict[str, list[OwnWordsAnswer]] = defaultdict(list)
    for answer in answers:
        by_kind[answer.kind].append(answer)
    kinds = {kind: _figures(some, calibration) for kind, some in sorted(by_kind.items())}
    return kinds | {"all": _figures(answers, calibration)}


def _figures(every: Sequence[OwnWordsAnswer], calibration: Calibration) -> dict[str, float]:
    answers = [answer for answer in every if answer.entry is not None]
    trained = np.array([answer.right for answer in every if answer.entry is None])
    scores, right, held_back = [], [], []
    for answer in answers:
        each, _ = probabilities(answer.similarities, calibration)
        scores.append(float(each.max()))
        right.append(answer.right)
        held_back.append(float(each.max()) < calibration.abstain_below)
    score, truth, withheld = np.array(scores), np.array(right), np.array(held_back)
    figures = {
        "n": len(answers),
        "accuracy": _mean(truth),
        "trained": _mean(trained),
        "abstained": _mean(withheld),
        "answered": _mean(truth[~withheld]),
        "ece": round(expected_calibration_error(score, truth, debiased=True), 4),
        "wrong_score": _mean(score[~truth]),
        "consistency": _mean(np.array(_consistent(answers))),
    }
    return {name: value for name, value in figures.items() if not np.isnan(value)}


def _consistent(answers: Iterable[OwnWordsAnswer]) -> list[bool]:
    """For each clip and pair of opposites whether all of it was answered rightly."""
    pairs: defaultdict[tuple[object, ...], dict[str, bool]] = defaultdict(dict)
    for answer in answers:
        if answer.entry is not None and answer.entry.pair:
            sides = pairs[answer.clip, answer.entry.pair]
            sides[answer.entry.polarity] = answer.right
    return [all(sides.values()) for sides in pairs.values() if len(sides) > 1]


def _mean(values: NDArray[Any]) -> float:
    return round(float(values.mean()), 4) if len(values) else float("nan")
