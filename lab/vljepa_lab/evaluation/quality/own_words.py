"""`vljepa eval own-words`: questions in words that no training step saw, on held-out scenes."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vljepa_lab.evaluation.quality.calibration import expected_calibration_error
from vljepa_lab.evaluation.quality.scenes import encode_scenes, scenes_of
from vljepa_lab.evaluation.quality.vqa import Answerer, VqaQuery
from vljepa_lab.world.own_words import Entry, OwnWords, ask_in_own_words
from vljepa_ros.engines.protocol import Engine
from vljepa_ros.models.calibration import probabilities
from vljepa_ros.models.config import Calibration

CLIPS = 3  # of each scene
_TOGETHER = 8  # scenes through the X-Encoder


@dataclass(frozen=True)
class Answered:
    """A question with the similarities [N] of its candidates to the predicted answer."""

    asked: OwnWords
    scene: str
    clip: int
    similarities: NDArray[np.float32]

    @property
    def right(self) -> bool:
        """Whether the nearest candidate is right."""
        return self.asked.question.right(int(self.similarities.argmax()))


def answer_table(
    engine: Engine,
    entries: tuple[Entry, ...],
    data: Path,
    split: str,
    scenes: int,
    seed: int = 0,
    progress: Callable[[str, int, int], None] = lambda split, done, total: None,
) -> list[Answered]:
    """Ask every entry of CLIPS random clips of each scene, through the engine that the nodes use.

    Raises:
        FileNotFoundError: no scenes in `data/split`.
    """
    answerer, length = Answerer(engine), engine.config.clip_frames
    videos = scenes_of(data, split, scenes)
    done: list[Answered] = []
    finished = 0
    while some := list(islice(videos, _TOGETHER)):
        rows: list[tuple[OwnWords, str, int]] = []
        queries: list[VqaQuery] = []
        for video, tokens in zip(some, encode_scenes(engine, some), strict=True):
            rng = random.Random(f"{seed} {video.scene}")
            for clip in sorted(rng.sample(range(len(tokens)), min(CLIPS, len(tokens)))):
                last = clip + length - 1
                for asked in ask_in_own_words(entries, video.record, last, f"{seed} {video.scene}"):
                    rows.append((asked, video.scene, last))
                    queries.append(VqaQuery(tokens[clip], asked.question))
        for (asked, scene, last), answer in zip(rows, answerer.answer(queries), strict=True):
            texts = answerer.embedded(asked.question.candidates)
            done.append(Answered(asked, scene, last, texts @ answer.vector))
        finished += len(some)
        progress(split, finished, scenes)
    return done


def own_words_figures(answers: Sequence[Answered], calibration: Calibration) -> dict[str, Any]:
    """Per kind and in all: accuracy of the best candidate, share abstained, accuracy of the rest,
    calibration error, mean score of wrong answers, consistency of opposites.

    Consistency: share of the clips in which a question and its opposite are both answered rightly.
    """
    by_kind: defaultdict[str, list[Answered]] = defaultdict(list)
    for answer in answers:
        by_kind[answer.asked.entry.kind].append(answer)
    kinds = {kind: _figures(some, calibration) for kind, some in sorted(by_kind.items())}
    return {"kinds": kinds, "all": _figures(answers, calibration), "entries": _entries(answers)}


def _figures(answers: Sequence[Answered], calibration: Calibration) -> dict[str, float]:
    scores, right, held_back = [], [], []
    for answer in answers:
        each, _ = probabilities(answer.similarities, calibration)
        scores.append(float(each.max()))
        right.append(answer.right)
        held_back.append(float(each.max()) < calibration.abstain_below)
    score, truth, withheld = np.array(scores), np.array(right), np.array(held_back)
    return {
        "n": len(answers),
        "accuracy": _mean(truth),
        "abstained": _mean(withheld),
        "accuracy of the others": _mean(truth[~withheld]),
        "calibration error": round(expected_calibration_error(score, truth), 4),
        "mean score of wrong answers": _mean(score[~truth]),
        "consistency": _mean(np.array(_consistent(answers))),
    }


def _consistent(answers: Iterable[Answered]) -> list[bool]:
    pairs: defaultdict[tuple[str, int, str], dict[str, list[bool]]] = defaultdict(dict)
    for answer in answers:
        entry = answer.asked.entry
        if entry.pair:
            place = (answer.scene, answer.clip, entry.pair)
            pairs[place].setdefault(entry.polarity, []).append(answer.right)
    return [all(map(all, sides.values())) for sides in pairs.values() if len(sides) > 1]


def _entries(answers: Iterable[Answered]) -> dict[str, list[float]]:
    """Name of an entry -> accuracy, mean score where wrong is left out, and how often asked."""
    right: defaultdict[str, list[bool]] = defaultdict(list)
    for answer in answers:
        right[answer.asked.entry.name].append(answer.right)
    return {name: [_mean(np.array(some)), len(some)] for name, some in sorted(right.items())}


def _mean(values: NDArray[Any]) -> float:
    return round(float(values.mean()), 4) if len(values) else float("nan")
