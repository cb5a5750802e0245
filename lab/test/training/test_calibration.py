"""Fitting the calibrator, and the sets it is fitted on."""

from __future__ import annotations

import random

import numpy as np
import pytest

pytest.importorskip("torch")

from vljepa_lab.training.calibration import ScoredSet, draw_scored, fit_calibration
from vljepa_lab.training.question_sampling import MOST, CandidateSets
from vljepa_lab.world.questions import Question
from vljepa_ros.models.calibration import probabilities

NUMBERS = ("zero", "one", "two", "three")
KEYS = tuple(f"count:{n}" for n in range(4))
COLOURS = ("red", "green", "blue", "white", "black", "pink")


def questions() -> list[Question]:
    count = Question("count", "how many?", "two", "count:2", NUMBERS, KEYS)
    colour = Question(
        "colour", "which?", "red", "color:red", COLOURS, tuple(f"color:{c}" for c in COLOURS)
    )
    door = Question("door", "open?", "yes", "yes", ("yes", "no"), ("yes", "no"))
    return [count, colour, door]


def test_a_third_lacks_the_right_answer_and_no_text_stands_twice():
    sets, rng = CandidateSets(questions()), random.Random(0)
    for question in questions():
        drawn = [sets.draw(question, rng) for _ in range(300)]
        lacking = 0
        for found in drawn:
            assert found is not None
            assert 2 <= len(found.texts) <= MOST
            assert len(set(found.texts)) == len(found.texts)
            assert (question.answer in found.texts) == (found.right >= 0)
            lacking += found.right < 0
        assert 60 < lacking < 140


def test_the_fit_recovers_how_often_the_best_is_right():
    """Similarities of known reliability: softmax with scale 12, and none where all are low."""
    rng = np.random.default_rng(0)
    sets = []
    for _ in range(1200):
        count = int(rng.integers(2, 20))
        s = rng.uniform(0.2, 0.9, count).astype(np.float32)
        weights = np.exp(12 * s)
        if rng.random() < 1 / 3:
            sets.append(ScoredSet(s * 0.5, -1))
        else:
            sets.append(ScoredSet(s, int(rng.choice(count, p=weights / weights.sum()))))
    fitted = fit_calibration(sets)
    stated, right, none, missing = [], [], [], []
    for one in sets:
        each, absent = probabilities(one.similarities, fitted)
        stated.append(each.max())
        right.append(int(each.argmax()) == one.right)
        none.append(absent)
        missing.append(one.right < 0)
    assert np.mean(stated) == pytest.approx(np.mean(right), abs=0.03)
    assert np.mean(none) == pytest.approx(np.mean(missing), abs=0.03)
    assert np.mean(np.array(none)[missing]) > 0.8
    with pytest.raises(ValueError, match="no sets"):
        fit_calibration([])


def test_single_texts_get_the_scale_that_made_the_data():
    rng = np.random.default_rng(0)
    sets = []
    for _ in range(2000):
        row = rng.uniform(-0.2, 1.0, int(rng.integers(2, 7))).astype(np.float32)
        weights = np.exp(12 * np.append(row, 0.45))
        pick = int(rng.choice(len(weights), p=weights / weights.sum()))
        sets.append(ScoredSet(row, -1 if pick == len(row) else pick))
    fitted = fit_calibration(sets)
    assert fitted.logit_scale == pytest.approx(12, rel=0.15)
    assert fitted.none_similarity == pytest.approx(0.45, abs=0.06)


def test_sets_are_scored_with_the_embeddings_of_their_texts():
    asked = [(question, np.eye(4, dtype=np.float32)[0]) for question in questions()]

    def encode(texts: list[str]) -> np.ndarray:
        right = [text in ("two", "red", "yes") for text in texts]
        return np.stack([np.eye(4, dtype=np.float32)[0 if r else 1] for r in right])

    drawn = draw_scored(asked, encode, per_task=40)
    assert len(drawn) >= 100
    for one in drawn:
        if one.right >= 0:
            assert one.similarities[one.right] == 1.0
