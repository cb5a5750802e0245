"""Figures of questions in a user's own words, on answers made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from vljepa_lab.evaluation.quality.own_words import OwnWordsAnswer, own_words_figures
from vljepa_lab.world.own_words import Entry
from vljepa_lab.world.questions import Question
from vljepa_ros.models.config import Calibration

CALIBRATION = Calibration(logit_scale=20.0, none_similarity=-1.0, abstain_below=0.6)


def _answer(
    polarity: str, yes: float, key: str, clip: int = 0, kind: str = "door", pair: str = "door 1"
) -> OwnWordsAnswer:
    """The answer "yes" with similarity `yes`, and "no" with .5, where `key` is right."""
    question = Question(kind, "?", key, key, ("yes", "no"), ("yes", "no"))
    entry = Entry(kind, polarity, "?", kind, polarity, pair, {}, "", "{x}", {})
    known = None if polarity == "trained" else entry
    return OwnWordsAnswer(known, kind, ("scene", clip), question, np.array([yes, 0.5], np.float32))


def test_a_pair_counts_where_both_are_right() -> None:
    figures = own_words_figures(
        [
            _answer("plain", 0.9, "yes"),
            _answer("opposite", 0.1, "no"),
            _answer("plain", 0.9, "yes", clip=1),
            _answer("opposite", 0.9, "no", clip=1),
            _answer("plain", 0.9, "yes", clip=2),  # its opposite was not asked
        ],
        CALIBRATION,
    )
    assert figures["door"]["consistency"] == 0.5
    assert figures["door"]["accuracy"] == pytest.approx(4 / 5)
    assert figures["all"] == figures["door"]


def test_trained_wordings_are_counted_apart() -> None:
    answers = [_answer("plain", 0.9, "no"), _answer("trained", 0.9, "yes")]
    figures = own_words_figures(answers, CALIBRATION)["door"]
    assert (figures["n"], figures["accuracy"], figures["trained"]) == (1, 0.0, 1.0)


def test_withheld_answers_count_for_accuracy_but_not_for_that_of_the_others() -> None:
    answers = [
        _answer("plain", 0.9, "yes"),
        _answer("plain", 0.501, "no", clip=1),  # hardly above .5: withheld
    ]
    figures = own_words_figures(answers, CALIBRATION)["door"]
    assert (figures["abstained"], figures["answered"], figures["accuracy"]) == (0.5, 1.0, 0.5)
    assert figures["wrong_score"] == pytest.approx(0.505, abs=0.01)


def test_kinds_without_opposites_have_no_consistency() -> None:
    figures = own_words_figures(
        [_answer("choice", 0.9, "yes", kind="action", pair="")], CALIBRATION
    )
    assert "consistency" not in figures["action"]
