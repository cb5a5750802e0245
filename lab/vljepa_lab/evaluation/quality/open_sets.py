"""The calibrator on sets of candidates of which a third lack the right answer."""

from __future__ import annotations

import random

import numpy as np

from vljepa_lab.evaluation.quality.judgement import Evaluation, Stated
from vljepa_lab.evaluation.quality.samples import Sample
from vljepa_lab.evaluation.quality.vqa import Answerer
from vljepa_lab.training.candidate_sets import CandidateSets
from vljepa_lab.world.questions import Question
from vljepa_ros.models.calibration import probabilities
from vljepa_ros.models.config import Calibration

SETS_PER_TASK = 2000
_SETS_PER_ANSWER = 4  # at most


def judge_open_sets(
    done: Evaluation, answerer: Answerer, calibration: Calibration, seed: int
) -> None:
    """Ask the VQA samples again with SETS_PER_TASK random sets of candidates for each task, fewer
    where there are few samples."""
    rng = random.Random(seed)
    questions = {
        task: [_question(sample) for sample, _ in stated.asked]
        for task, stated in done.stated.items()
    }
    sets = CandidateSets(q for some in questions.values() for q in some[::5])
    texts = list(
        dict.fromkeys(t for some in questions.values() for q in some for t in q.candidates)
    )
    vectors = np.stack([answerer.known(text) for text in texts]) if texts else np.zeros((0, 0))
    place = {text: index for index, text in enumerate(texts)}
    for task in sorted(questions):
        found = done.open_stated.setdefault(task, Stated())
        for _ in range(min(SETS_PER_TASK, _SETS_PER_ANSWER * len(questions[task]))):
            index = rng.randrange(len(questions[task]))
            drawn = sets.draw(questions[task][index], rng)
            if drawn is None:
                continue
            rows = vectors[[place[text] for text in drawn.texts]]
            each, none = probabilities(rows @ done.stated[task].asked[index][1], calibration)
            best = int(each.argmax())
            found.alone.append(float(each[best]))
            found.right.append(best == drawn.right)
            done.lacking.append((none, drawn.right < 0))


def _question(sample: Sample) -> Question:
    (key,) = sample.truth
    answer = sample.candidates[sample.keys.index(key)]
    return Question(sample.task, sample.question, answer, key, sample.candidates, sample.keys)
