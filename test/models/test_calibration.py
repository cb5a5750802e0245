"""From similarities to probabilities, of each candidate and of none."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from vljepa_ros.models.calibration import (
    FAMILIAR,
    FEATURES,
    calibration_for,
    features,
    independent_probabilities,
    probabilities,
)
from vljepa_ros.models.config import Calibration
from vljepa_ros.models.folder import load_config
from vljepa_ros.resources import model_dir

FITTED = Calibration(
    logit_scale=20.0,
    none_similarity=0.6,
    scale_weights=(2.8, -1.1, 1.1, 1.1, 1.4, -0.7, 0.5, -0.7, -1.5, -0.2),
    none_weights=(6.9, -13.3, 9.9, 10.1, -7.1, 3.6, -13.8, -11.4, 9.5, -5.1),
)


@given(
    st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=40),
    st.sampled_from([FITTED, Calibration()]),
)
@settings(max_examples=80, deadline=None)
def test_probabilities_add_up_and_keep_the_order(similarities: list[float], how: Calibration):
    values = np.array(similarities, np.float32)
    each, none = probabilities(values, how)
    assert each.sum() + none == pytest.approx(1.0)
    assert (each >= 0).all()
    assert 0 <= none <= 1
    order = np.argsort(values, kind="stable")
    assert (np.diff(each[order]) >= -1e-12).all()


def test_features_are_those_of_the_two_best_and_of_the_number():
    found = features(np.array([0.2, 0.9, 0.6, -0.5], np.float32))
    assert found.shape == (FEATURES,)
    assert found[1] == pytest.approx(0.9)
    assert found[2] == pytest.approx(0.3)
    more = features(np.array([0.2, 0.9, 0.6, -0.5, 0.0, 0.1], np.float32))
    assert more[3] > found[3]
    assert np.isfinite(features(np.zeros(10_000, np.float32))).all()


def test_nothing_that_resembles_the_answer_means_none_of_these():
    far = probabilities(np.array([0.05, 0.02, -0.1]), FITTED)[1]
    near = probabilities(np.array([0.95, 0.02, -0.1]), FITTED)[1]
    assert far > 0.9
    assert near < 0.1


def test_one_candidate_follows_the_simple_formula():
    each, none = probabilities(np.array([0.6]), FITTED)
    assert each[0] == pytest.approx(0.5)
    assert none == pytest.approx(0.5)


@given(st.floats(-1, 1), st.floats(-1, 1), st.floats(0.1, 1e6))
def test_a_text_alone_has_a_probability_that_rises(low: float, high: float, scale: float) -> None:
    calibration = Calibration(logit_scale=scale, none_similarity=0.3)
    one, other = independent_probabilities(np.array(sorted((low, high))), calibration)
    assert 0.0 <= one <= other <= 1.0


def test_a_text_alone_has_no_probability_where_there_is_no_none():
    """With CLIP any text scored 1.000."""
    assert (independent_probabilities(np.array([-0.5, 0.1, 0.9]), Calibration(100.0)) == 0).all()


def test_a_folder_without_weights_still_loads_and_one_with_them_too(tmp_path: Path):
    raw = {
        "name": "m", "family": "vl_jepa", "model_id": "m-1", "dim": 4, "clip_frames": 2,
        "frame_interval": 0.5, "input_size": 8, "default_query": "?",
        "calibration": {"logit_scale": 7.0},
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(raw))
    assert load_config(tmp_path).calibration == Calibration(logit_scale=7.0)
    raw["calibration"] = {"scale_weights": [1.0] * FEATURES, "none_weights": [0.0] * FEATURES}
    (tmp_path / "config.json").write_text(json.dumps(raw))
    assert load_config(tmp_path).calibration.scale_weights == (1.0,) * FEATURES


def test_a_text_of_words_nobody_knows_needs_more_to_pass() -> None:
    config = load_config(model_dir("nano"))
    usual = config.calibration
    raised = {
        text: calibration_for(config, text).none_similarity - usual.none_similarity
        for text in ("the door opens", "die Tür ist offen", "ドアが開く", "zzqx 0000", "")
    }
    most = usual.unknown_words
    assert raised["the door opens"] == pytest.approx(0.0)
    assert 0.0 < raised["die Tür ist offen"] < most
    assert [raised[text] for text in ("ドアが開く", "zzqx 0000", "")] == pytest.approx([most] * 3)
    other = replace(config, calibration=replace(usual, unknown_words=0.0))
    assert calibration_for(other, "zzqx 0000") == other.calibration


def test_a_text_that_is_like_none_of_the_known_ones_needs_more_to_pass() -> None:
    config = load_config(model_dir("nano"))
    usual = config.calibration.none_similarity
    known = load_file(config.path("known_embeddings"))["embeddings"].astype(np.float32)
    own, other = known[5], np.linalg.svd(known)[2][-1]  # what is least like any
    both = (own + other) / np.linalg.norm(own + other)
    raised = [
        calibration_for(config, "the door opens", vector).none_similarity - usual
        for vector in (own, both, other)
    ]
    assert raised[0] == pytest.approx(0.0)
    assert 0.0 < raised[1] < raised[2]
    most = config.calibration.unfamiliar * FAMILIAR
    assert raised[2] <= most
    without = replace(config, calibration=replace(config.calibration, unfamiliar=0.0))
    assert calibration_for(without, "the door opens", other) == without.calibration
