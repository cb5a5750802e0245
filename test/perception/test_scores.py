"""Calibrated scores, answers, and the cache of texts behind them."""

from __future__ import annotations

from collections.abc import Generator

import numpy as np
import pytest
from colour_engine import COLOURS, ColourEngine
from hypothesis import given, settings
from hypothesis import strategies as st

from vljepa_ros.models.config import Calibration
from vljepa_ros.perception.answer import answer, checked_question
from vljepa_ros.perception.encode_texts import encode_texts
from vljepa_ros.perception.labels import EncodedGroup, calibrated, score_group
from vljepa_ros.perception.vocabulary import Group, VocabularyError, from_groups
from vljepa_ros.perception.vocabulary_encoder import VocabularyEncoder


@given(
    st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=9),
    st.floats(0.5, 200),
    st.floats(-1, 1),
)
@settings(max_examples=60, deadline=None)
def test_scores_follow_the_formula(similarities, scale, none) -> None:
    s = np.array(similarities, np.float32)
    got = calibrated(s, Calibration(scale, none))
    weights = np.exp(scale * s.astype(float))
    expected = weights / (np.exp(scale * none) + weights.sum())
    assert np.allclose(got, expected, atol=1e-5)
    assert got.sum() <= 1 + 1e-5


def test_a_group_comes_best_label_first() -> None:
    engine = ColourEngine()
    labels = ("a blue wall", "a red wall", "a green wall")
    encoded = EncodedGroup(Group("what?", labels), engine.encode_text(labels))
    seen = engine.encode_text(["red"])[0]
    scored = score_group(seen, encoded, engine.config.calibration)
    assert scored.labels[0] == "a red wall"
    assert scored.similarities[0] == pytest.approx(1.0, abs=1e-3)
    assert list(scored.scores) == sorted(scored.scores, reverse=True)


def ask(candidates: list[str], similarities: dict[str, float], abstain: float = 0.5):
    asked: list[list[str]] = []

    def similarity(question: str, texts) -> np.ndarray:
        asked.append(list(texts))
        return np.array([similarities[text] for text in texts], np.float32)

    calibration = Calibration(logit_scale=10.0, none_similarity=0.0)
    return answer(checked_question("what?", candidates), similarity, calibration, abstain), asked


def test_duplicates_are_answered_as_one() -> None:
    got, asked = ask(["no", "yes", "no ", "yes"], {"yes": 0.9, "no": 0.3})
    assert asked == [["no", "yes"]]
    assert (got.text, got.index) == ("yes", 1)
    assert got.scores[1] == got.scores[3]
    assert got.scores[0] == got.scores[2]
    assert got.margin == pytest.approx(got.scores[1] - got.scores[0])
    assert not got.abstained


def test_a_single_candidate_has_its_score_as_margin_and_may_be_doubtful() -> None:
    got, _ = ask(["yes"], {"yes": -0.4})
    assert got.margin == pytest.approx(float(got.scores[0]))
    assert got.abstained


@pytest.mark.parametrize(
    ("question", "candidates", "reason"),
    [
        ("", ["a"], "has 0 characters, allowed: 1 to 512"),
        ("x" * 513, ["a"], "has 513 characters, allowed: 1 to 512"),
        ("what?", [], "0 candidates, allowed: 1 to 10000"),
        ("what?", ["a"] * 10001, "10001 candidates, allowed: 1 to 10000"),
        ("what?", ["a", " "], "text 1 of the candidates has 0 characters"),
    ],
)
def test_questions_that_cannot_be_asked(question, candidates, reason) -> None:
    with pytest.raises(VocabularyError, match=reason):
        checked_question(question, candidates)


def test_many_texts_are_encoded_in_slices() -> None:
    engine = ColourEngine()
    engine.text_seconds = 0.002
    texts = [f"{colour} {i}" for i in range(20) for colour in COLOURS]
    counts = [0]

    def watched() -> Generator[None, None, None]:
        vectors = yield from encode_texts(engine, texts)
        assert np.array_equal(vectors, ColourEngine().encode_text(texts))

    counts += [len(engine.texts) for _ in watched()]
    assert len(counts) > 5
    assert max(np.diff(counts)) <= 64
    with pytest.raises(StopIteration) as end:
        next(encode_texts(engine, []))
    assert end.value.value.shape == (0, len(COLOURS))


def test_a_vocabulary_comes_into_use_when_all_of_it_is_encoded_and_the_newest_wins() -> None:
    ready: list[int] = []
    engine = ColourEngine()
    engine.text_seconds = 0.002
    encoder = VocabularyEncoder(engine, lambda v: ready.append(v.version))
    encoder.replace(1, from_groups({"what?": [f"red {i}" for i in range(100)]}))
    encoder.advance()
    assert encoder.current is None
    encoder.replace(2, from_groups({"what?": ["green", "blue"], "where?": ["red"]}))
    while encoder.pending:
        encoder.advance()
    assert ready == [2]
    assert encoder.current is not None
    assert [g.embeddings.shape[0] for g in encoder.current.groups] == [2, 1]
