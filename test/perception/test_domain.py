"""Descriptions of a model's domain, and the evidence of a stream."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from colour_domain import write_domain
from colour_engine import ColourEngine
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from vljepa_ros.models.config import ModelError
from vljepa_ros.perception.domain import MOST, Domain, DomainWatch, out_of_domain

SECOND = 1_000_000_000
SCORES = st.floats(-1e6, 1e6) | st.sampled_from([-1e300, 1e300])


def clip(end: float, span: float = 1.5) -> tuple[int, ...]:
    return round((end - span) * SECOND), round(end * SECOND)


def fed(watch: DomainWatch, scores: list[float], start: float = 0.0, rate: float = 5.0) -> list:
    return [watch.observe(clip(start + i / rate), score) for i, score in enumerate(scores)]


@pytest.mark.parametrize("rate", [0.5, 2.0, 5.0, 30.0])
def test_a_camera_leaves_within_seconds_and_comes_back(rate: float) -> None:
    watch = DomainWatch()
    seconds = round(16 * rate)
    assert all(fed(watch, [MOST] * seconds, rate=rate))
    away = fed(watch, [-MOST] * seconds, 100.0, rate)
    assert away[0], "one clip decides nothing"
    assert not any(away[round(4 * rate) :])
    back = fed(watch, [MOST] * seconds, 200.0, rate)
    assert not back[0]
    assert all(back[round(4 * rate) :])


@given(st.lists(SCORES, max_size=30), st.lists(st.integers(-(10**18), 10**18), max_size=30))
@settings(max_examples=50, deadline=None)
def test_no_order_of_stamps_breaks_it(scores: list[float], stamps: list[int]) -> None:
    watch = DomainWatch()
    watch.observe((0, 0), math.nan)
    for score, stamp in zip(scores, stamps, strict=False):
        watch.observe((stamp, stamp), score)
    fed(watch, [MOST] * 60, 2e9)
    assert watch.in_domain


def test_what_wavers_does_not_flicker() -> None:
    watch = DomainWatch()
    seen = fed(watch, [0.4, -0.4] * 100)
    assert len(set(seen[30:])) == 1


def test_a_folder_without_a_description_has_no_domain() -> None:
    assert Domain.load(ColourEngine().config) is None


def test_the_description_scores_tokens(tmp_path: Path) -> None:
    domain = Domain.load(write_domain(ColourEngine().config, tmp_path))
    assert domain is not None
    red = np.array([[255, 0, 0]] * 4, np.float32)
    assert domain.score(red) > 1
    assert domain.score(red[:, ::-1]) < -1


def broken(file: Path, how: str) -> None:
    arrays: dict[str, Any] = load_file(file)
    if how == "lacks a layer":
        del arrays["out.bias"]
    elif how == "does not fit":
        arrays["hidden.weight"] = arrays["hidden.weight"][:3]
    elif how == "is no matrix":
        arrays["cell.weight"] = arrays["cell.weight"][0]
    else:
        file.write_bytes(b"nothing")
        return
    save_file(arrays, file)


@pytest.mark.parametrize("how", ["lacks a layer", "does not fit", "is no matrix", "is no file"])
def test_an_unusable_description_is_named(tmp_path: Path, how: str) -> None:
    config = write_domain(ColourEngine().config, tmp_path)
    broken(config.path("domain"), how)
    with pytest.raises(ModelError, match=r"domain\.safetensors"):
        Domain.load(config)


def test_the_message_names_a_better_model_but_not_the_same_again() -> None:
    config = replace(ColourEngine().config, domain="colours")
    assert "'colour' was made for (colours)" in out_of_domain(config)
    assert "model:=everyday" in out_of_domain(config)
    assert "model:=everyday" not in out_of_domain(replace(config, name="everyday"))
