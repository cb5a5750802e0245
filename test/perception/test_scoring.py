"""Calibrated scores."""

from __future__ import annotations

import numpy as np
import pytest
from colour_engine import ColourEngine
from hypothesis import given, settings
from hypothesis import strategies as st

from vljepa_ros.models.calibration import EncodedText, probabilities
from vljepa_ros.models.config import Calibration
from vljepa_ros.perception.scoring import calibrated_scores, score_group
from vljepa_ros.perception.vocabulary import EncodedGroup, Group


@given(
    st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=9),
    st.floats(0.5, 200),
    st.floats(-1, 1, exclude_min=True),
)
@settings(max_examples=60, deadline=None)
def test_scores_follow_the_formula(similarities, scale, none) -> None:
    s = np.array(similarities, np.float32)
    got = probabilities(s, Calibration(scale, none))[0]
    weights = np.exp(scale * s.astype(float))
    expected = weights / (np.exp(scale * none) + weights.sum())
    assert np.allclose(got, expected, atol=1e-5)
    assert got.sum() <= 1 + 1e-5


@given(
    st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=9),
    st.sampled_from([Calibration(20.0, 0.3), Calibration(100.0), Calibration(1.0, -1e4)]),
)
@settings(max_examples=60, deadline=None)
def test_scores_and_none_add_up_and_who_always_chooses_has_no_none(similarities, how) -> None:
    found = calibrated_scores(np.array(similarities, np.float32), how)
    assert found.scores.sum() + found.none_score == pytest.approx(1.0, abs=1e-5)
    assert found.scores[found.best] == found.scores.max()
    runner_up = sorted(found.scores)[-2] if len(similarities) > 1 else 0.0
    assert found.margin == pytest.approx(found.scores.max() - runner_up, abs=1e-6)
    if not how.judges_presence:
        assert found.none_score == 0.0


def test_a_group_comes_best_label_first() -> None:
    engine = ColourEngine()
    labels = ("a blue wall", "a red wall", "a green wall")
    encoded = EncodedGroup(Group("what?", labels), engine.encode_text(labels))
    seen = engine.encode_text(["red"])[0]
    scored = score_group(seen, encoded, engine.config.calibration)
    assert scored.labels[0] == "a red wall"
    assert scored.similarities[0] == pytest.approx(1.0, abs=1e-3)
    assert list(scored.scores) == sorted(scored.scores, reverse=True)
    assert scored.scores.sum() + scored.none_score == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("how", [Calibration(20.0, 0.3), Calibration(100.0)])
def test_a_taught_label_is_asked_first_and_texts_share_what_it_leaves(how: Calibration) -> None:
    axes = np.eye(4, dtype=np.float32)
    taught = EncodedText(axes[0], Calibration(12.0, 0.5), axes[3], 0.1)
    rows = np.stack([axes[1], np.zeros(4, np.float32), axes[2]])
    group = EncodedGroup(Group("what?", ("a", "taught", "b")), rows, {1: taught})
    shown = np.array([0.7, 0.0, 0.0, 0.7], np.float32)
    scored = score_group(axes[1], group, how, shown)
    own = float(taught.score(shown))
    assert (scored.labels[0], scored.scores[0]) == ("taught", pytest.approx(own, abs=1e-5))
    assert scored.scores.sum() + scored.none_score == pytest.approx(1.0, abs=1e-5)
    alone = score_group(axes[1], EncodedGroup(Group("what?", ("a", "b")), rows[[0, 2]]), how)
    assert scored.scores[1:] == pytest.approx((1 - own) * alone.scores, abs=1e-5)
    elsewhere = score_group(axes[1], group, how, np.array([1, 0, 0, 0], np.float32))
    assert (elsewhere.labels[-1], elsewhere.scores[-1]) == ("taught", 0.0), "of another scene"
    single = EncodedGroup(Group("what?", ("taught",)), rows[[1]], {0: taught})
    assert score_group(axes[1], single, how, shown).none_score == pytest.approx(1 - own, abs=1e-5)
