"""Taught labels on the disk: what comes back, what is left out, what goes first."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from colour_engine import ColourEngine

from vljepa_ros.perception import taught_store
from vljepa_ros.perception.lesson import (
    MAX_FRAMES,
    Example,
    Lesson,
    Recording,
    checked_label,
    embedded_again,
)
from vljepa_ros.perception.memory.row import clip_to_jpeg
from vljepa_ros.perception.taught_store import TaughtStore, read_lesson
from vljepa_ros.perception.teaching import TeachingError

ENGINE = ColourEngine()
CONFIG = ENGINE.config


def recording(colour: tuple[int, int, int], shows_other: bool, frames: int = 25) -> Recording:
    """Noisy clips of a colour, as they are embedded."""
    random, examples = np.random.default_rng(sum(colour)), []
    size = CONFIG.input_size
    for stamp in range(frames):
        pixels = np.array(colour) + random.normal(0, 9, (CONFIG.clip_frames, size, size, 3))
        clip = np.clip(pixels, 0, 255).astype(np.uint8)
        vector = random.normal(size=CONFIG.dim) * 0.05 + np.eye(CONFIG.dim)[int(shows_other)]
        vector = (vector / np.linalg.norm(vector)).astype(np.float32)
        examples.append(Example(stamp, vector, clip_to_jpeg(clip, size), len(clip)))
    return Recording("front", shows_other, tuple(examples))


@pytest.fixture(scope="module")
def lesson() -> Lesson:
    shown = (recording((220, 30, 30), False), recording((30, 30, 220), True))
    return Lesson("grün / the lamp", "dark", CONFIG.model_id, shown)


def test_a_label_comes_back_as_it_was(lesson: Lesson, tmp_path: Path) -> None:
    store = TaughtStore(tmp_path / "taught")
    assert not store.refresh(CONFIG), "no folder is no news"
    store.put(lesson.learned(0))
    assert not store.refresh(CONFIG), "its own file is none either"
    other = TaughtStore(store.folder)
    assert other.refresh(CONFIG)
    assert other.problems == {}
    back = other.lessons[lesson.name]
    assert (back.name, back.other, back.model_id) == (lesson.name, lesson.other, lesson.model_id)
    for one, same in zip(lesson.recordings, back.recordings, strict=True):
        assert (one.camera, one.shows_other) == (same.camera, same.shows_other)
        for example, kept in zip(one.examples, same.examples, strict=True):
            assert np.array_equal(example.vector, kept.vector)
            assert replace(example, vector=kept.vector) == kept
    assert back.label is not None
    assert back.message == ""
    store.remove(lesson.name)
    assert other.refresh(CONFIG)
    assert other.lessons == {}


def test_a_damaged_file_is_named_and_the_rest_serves(lesson: Lesson, tmp_path: Path) -> None:
    store = TaughtStore(tmp_path)
    store.put(lesson)
    path = store.path_of(lesson.name)
    whole = path.read_bytes()
    for number, bad in enumerate((b"", whole[:-1], whole[: len(whole) // 2], b"x" * 99, whole)):
        (tmp_path / f"bad{number}.taught").write_bytes(bad)
    fresh = TaughtStore(tmp_path)
    assert fresh.refresh(CONFIG)
    assert list(fresh.lessons) == [lesson.name]
    assert sorted(fresh.problems) == [f"bad{number}.taught" for number in range(5)]
    assert all(f"bad{n}.taught" in text for n, text in enumerate(fresh.problems.values()))
    path.write_bytes(b"damaged while it is in use")
    assert fresh.refresh(CONFIG)
    assert lesson.name in fresh.lessons, "what is in use stays"
    assert path.name in fresh.problems
    with pytest.raises(TeachingError, match="holds no taught label"):
        read_lesson(path)


def test_another_models_label_is_learned_again_from_its_pictures(lesson: Lesson, tmp_path: Path):
    store = TaughtStore(tmp_path)
    store.put(replace(lesson, model_id="another-model"))
    fresh = TaughtStore(tmp_path)
    fresh.refresh(CONFIG)
    stale = fresh.lessons[lesson.name]
    assert stale.label is None
    assert "another-model" in stale.message
    steps = embedded_again(stale, ENGINE)
    count = 0
    while True:
        try:
            next(steps)
        except StopIteration as end:
            again = end.value.learned(0)
            break
        count += 1
    assert count == 50, "a step for each picture"
    assert again.model_id == CONFIG.model_id
    assert again.label is not None
    red, blue = ENGINE.encode_text(["red", "blue"])
    assert again.label.score(red) > 0.8
    assert again.label.score(blue) < 0.2


def test_only_the_newest_frames_are_kept(lesson: Lesson, monkeypatch, tmp_path: Path) -> None:
    first = lesson.recordings[0]
    for _ in range(9):
        lesson = lesson.shown(first)
    assert lesson.frames(False) == MAX_FRAMES
    assert lesson.frames(True) == 25
    size = lesson.pictures
    monkeypatch.setattr(taught_store, "MAX_PICTURES", size // 2)
    store = TaughtStore(tmp_path)
    store.put(replace(lesson, name="older"))
    store.put(lesson)
    kept = store.lessons[lesson.name]
    assert 0.1 * size < kept.pictures <= size // 2
    assert not kept.of(False)[0].examples[0].jpeg
    assert kept.of(False)[-1].examples[-1].jpeg
    assert kept.frames(False) == MAX_FRAMES, "their embeddings stay"
    assert read_lesson(store.path_of(lesson.name)).pictures == kept.pictures


@pytest.mark.parametrize("name", ["", "  ", "x" * 129, "a | b"])
def test_a_name_that_cannot_be_used_is_refused(name: str) -> None:
    with pytest.raises(TeachingError, match="allowed"):
        checked_label(name, "name")
