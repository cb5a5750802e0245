"""The description of a domain: its clips, the fit, and what it leaves as it is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from vljepa_lab.training.domain import fit_network, marked_share, shifted, write_domain
from vljepa_lab.training.domain_clips import FRAMES, SIZE, disturbed, rearranged, strange
from vljepa_ros.models.folder import load_config
from vljepa_ros.perception.domain import Domain
from vljepa_ros.resources import model_dir

SHAPE = (FRAMES, SIZE, SIZE, 3)


def clips(seed: int, many: int) -> list[NDArray[np.uint8]]:
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(many):
        found.append(strange(rng))
        found.append(disturbed(found[-1], rng))
        found.append(rearranged(rng, found))
    return found


def test_clips_are_of_the_models_size_differ_and_come_again_with_the_seed() -> None:
    first, again = clips(1, 4), clips(1, 4)
    assert {(clip.shape, clip.dtype.name) for clip in first} == {(SHAPE, "uint8")}
    assert all(np.array_equal(one, other) for one, other in zip(first, again, strict=True))
    assert len({clip.tobytes() for clip in first}) > 10


@pytest.fixture(scope="module")
def domain() -> Domain:
    rng = np.random.default_rng(0)
    tokens = rng.normal(size=(2, 256, 4, 8)).astype(np.float16)
    tokens[1, :, 2] += 2.0
    return fit_network(*tokens)


def test_what_was_learned_is_a_place_and_a_direction(domain: Domain) -> None:
    rng = np.random.default_rng(1)
    inside = rng.normal(size=(50, 4, 8)).astype(np.float32)
    outside = inside.copy()
    outside[:, 2] += 2.0
    assert np.mean([domain.score(one) > 0 for one in inside]) > 0.8
    assert np.mean([domain.score(one) < 0 for one in outside]) > 0.8


def test_the_zero_is_where_hardly_any_stream_of_the_domain_is_marked(domain: Domain) -> None:
    rng = np.random.default_rng(2)
    streams = rng.normal(-3.0, 1.0, (40, 20)).tolist()
    assert marked_share(streams) > 0.9
    moved = shifted(domain, streams)
    shift = float(moved.out[1][0] - domain.out[1][0])
    assert marked_share(streams, shift) <= 0.001 < marked_share(streams, shift - 0.5)


def test_only_the_description_and_its_entries_are_written(tmp_path: Path, domain: Domain) -> None:
    source = model_dir("nano") / "config.json"
    raw = json.loads(source.read_text(encoding="utf-8"))
    (tmp_path / "config.json").write_text(source.read_text(encoding="utf-8"), encoding="utf-8")
    write_domain(domain, tmp_path)
    before, after = load_config(source.parent), load_config(tmp_path)
    assert after.model_id == before.model_id
    assert after.calibration.id == before.calibration.id
    found = Domain.load(after)
    assert found is not None
    tokens = np.ones((4, 8), np.float32)
    assert found.score(tokens) == pytest.approx(domain.score(tokens), abs=0.01)
    written = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    assert {key for key in raw if raw[key] != written[key]} <= {"files", "sha256"}
