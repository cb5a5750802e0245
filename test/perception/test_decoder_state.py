"""The state file: exact, atomic, nothing that lies in it stops a start."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vljepa_ros.perception.decoder_state import (
    REFRESH_INTERVAL_S,
    CameraState,
    StateFile,
)
from vljepa_ros.perception.selective_decoder import SceneUpdate

DIM = 8
IN_A_DIRECTORY = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def update(seed: int = 0, **fields: object) -> SceneUpdate:
    state = np.random.default_rng(seed).normal(size=DIM).astype(np.float32)
    values = {
        "is_event": True,
        "reason": "change",
        "sequence": 3,
        "corrects": 3,
        "stamp": 12.5,
        "onset": 11.0,
        "text": "the door opens",
        "previous_text": "nothing is happening",
        "decoded": True,
        "confidence": 0.75,
        "change": 0.4,
        "state": state / np.linalg.norm(state),
        **fields,
    }
    return SceneUpdate(**values)  # type: ignore[arg-type]


def made(path: Path, model_id: str = "nano-1", clock: Clock | None = None) -> StateFile:
    clock = clock or Clock()
    return StateFile(path / "state.json", model_id, DIM, clock, clock)


def same(one: CameraState, other: CameraState) -> bool:
    plain = {k: v for k, v in vars(one.last).items() if k != "state"}
    return (
        (one.query, one.seen) == (other.query, other.seen)
        and plain == {k: v for k, v in vars(other.last).items() if k != "state"}
        and np.array_equal(one.last.state, other.last.state)
    )


@IN_A_DIRECTORY
@given(
    text=st.text(),
    query=st.text(),
    stamp=st.floats(0, 2**31, exclude_max=True),
    sequence=st.integers(0, 2**32 - 1),
    seed=st.integers(0, 100),
    cameras=st.lists(st.from_regex(r"[a-z][a-z0-9_]*", fullmatch=True), unique=True, max_size=3),
)
def test_what_is_written_is_read_again_exactly(
    tmp_path: Path, text: str, query: str, stamp: float, sequence: int, seed: int, cameras: list
) -> None:
    last = update(seed, text=text, stamp=stamp, onset=stamp, sequence=sequence)
    states = {camera: CameraState(query, 1000.0, last) for camera in cameras}
    made(tmp_path).write(states)
    found, warning = made(tmp_path).read(60.0)
    assert warning == ""
    assert set(found) == set(states)
    assert all(same(found[camera], states[camera]) for camera in cameras)
    assert os.listdir(tmp_path) == ["state.json"]


def test_no_file_is_a_fresh_start_without_a_warning(tmp_path: Path) -> None:
    assert made(tmp_path / "nowhere").read(60.0) == ({}, "")


@pytest.mark.parametrize(("later", "kept"), [(59.0, True), (61.0, False), (-61.0, False)])
def test_a_state_that_is_too_old_is_discarded(tmp_path: Path, later: float, kept: bool) -> None:
    made(tmp_path).write({"front": CameraState("q", 1000.0, update())})
    clock = Clock()
    clock.now += later
    found, warning = made(tmp_path, clock=clock).read(60.0)
    assert (bool(found), warning) == (kept, "")


def test_a_state_of_another_model_is_discarded_and_named(tmp_path: Path) -> None:
    made(tmp_path).write({"front": CameraState("q", 1000.0, update())})
    found, warning = made(tmp_path, "nano-2").read(60.0)
    assert found == {}
    assert "of model nano-1, this is nano-2; starting afresh" in warning


@IN_A_DIRECTORY
@given(st.data())
def test_damage_of_any_kind_is_a_warning_or_harmless(tmp_path: Path, data: st.DataObject) -> None:
    file = made(tmp_path)
    file.write({"front": CameraState("q", 1000.0, update())})
    content = bytearray(file.path.read_bytes())
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content)))]
    else:
        place = data.draw(st.integers(0, len(content) - 1))
        content[place : place + 4] = data.draw(st.binary(max_size=8))
    file.path.write_bytes(bytes(content))
    found, warning = made(tmp_path).read(1e12)
    assert not (found and warning)
    for state in found.values():
        assert state.last.state.shape == (DIM,)
        assert 0.5 < np.linalg.norm(state.last.state) < 2.0


@pytest.mark.parametrize(
    "content",
    ["", "[]", "3", '{"format": 2}', '{"format": 1, "model_id": "nano-1"}', "[" * 100_000],
)
def test_what_is_no_state_is_a_warning_that_names_the_file(tmp_path: Path, content: str) -> None:
    (tmp_path / "state.json").write_text(content)
    found, warning = made(tmp_path).read(60.0)
    assert found == {}
    assert str(tmp_path / "state.json") in warning
    assert "starting afresh" in warning


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("state", "AAAA"),
        ("state", "?"),
        ("sequence", -1),
        ("sequence", 1.5),
        ("stamp", None),
        ("stamp", 1e300),  # no message holds it
        ("stamp", -5.0),
        ("change", 1e300),
        ("onset", "x"),
        ("text", 3),
        ("confidence", True),
    ],
)
def test_a_field_that_cannot_be_is_a_warning(tmp_path: Path, field: str, value: object) -> None:
    file = made(tmp_path)
    file.write({"front": CameraState("q", 1000.0, update())})
    raw = json.loads(file.path.read_text())
    raw["cameras"]["front"]["last"][field] = value
    file.path.write_text(json.dumps(raw))
    found, warning = made(tmp_path).read(60.0)
    assert found == {}
    assert "damaged" in warning


def test_news_is_written_at_once(tmp_path: Path) -> None:
    """Of two cameras that change together, too: a kill would let one be published again."""
    clock = Clock()
    file = made(tmp_path, clock=clock)
    seen = 0.0

    def written(news: bool) -> bool:
        file.path.unlink(missing_ok=True)
        file.keep(lambda: {"front": CameraState("q", seen, update())}, news)
        return file.path.exists()

    assert written(news=True)
    assert written(news=True)
    assert not written(news=False)
    seen = 1.0
    clock.now += REFRESH_INTERVAL_S - 0.1
    assert not written(news=False)
    clock.now += 0.2
    assert written(news=False), "what goes on keeps young"
    clock.now += 2 * REFRESH_INTERVAL_S
    assert not written(news=False), "a camera that has stopped is not written again and again"


def test_what_cannot_be_written_leaves_the_old_content(tmp_path: Path) -> None:
    file = made(tmp_path)
    file.write({"front": CameraState("q", 1000.0, update())})
    with pytest.raises(TypeError):
        file.write({"front": CameraState(b"q", 1000.0, update())})  # type: ignore[arg-type]
    assert list(file.read(60.0)[0]) == ["front"]
    assert os.listdir(tmp_path) == ["state.json"]
    (tmp_path / "a file").write_text("")
    with pytest.raises((FileExistsError, NotADirectoryError)):
        StateFile(tmp_path / "a file" / "state.json", "nano-1", DIM).write({})
