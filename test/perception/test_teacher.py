"""The teacher without nodes: a change of the model, a full disk, what others wait for."""

from __future__ import annotations

import errno
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from colour_engine import ColourEngine

from vljepa_ros.perception import taught_store
from vljepa_ros.perception.lesson import MAX_FRAMES
from vljepa_ros.perception.memory.row import SAMPLE, Row
from vljepa_ros.perception.memory.store import Filter, MemoryStore, open_store
from vljepa_ros.perception.pipeline import CameraFeed, Observation, Pipeline
from vljepa_ros.perception.ring import ClipRing
from vljepa_ros.perception.taught_store import TaughtStore
from vljepa_ros.perception.teacher import Teacher
from vljepa_ros.perception.teaching import TeachingError
from vljepa_ros.perception.worker import Worker

RED, BLUE = (220, 30, 30), (30, 30, 220)


class School:
    """A teacher whose camera shows colours."""

    def __init__(self, folder: Path, model_id: str = "") -> None:
        engine = ColourEngine()
        if model_id:
            object.__setattr__(engine.config, "model_id", model_id)
        self.engine, self.warnings = engine, []
        ring: ClipRing[Any] = ClipRing(1, 1.0, lambda message: message)
        self.pipeline = Pipeline(engine, [CameraFeed("front", ring, 5.0)], lambda seen: 0.0, print)
        self.teacher = Teacher(folder, self.pipeline, "none", self.warnings.append)
        self.stamp = 0

    def record(self, colour: tuple[int, int, int], shows_other: bool, clips: int = 24) -> Any:
        self.teacher.start("lit", "dark", "front", shows_other)
        config, random = self.engine.config, np.random.default_rng(sum(colour))
        for _ in range(clips):
            self.stamp += 1
            size = config.input_size
            noise = random.normal(0, 9, (config.clip_frames, size, size, 3))
            frames = np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)
            vector = np.eye(config.dim)[int(shows_other)] + random.normal(0, 0.03, config.dim)
            vector = (vector / np.linalg.norm(vector)).astype(np.float32)
            seen = Observation("front", self.stamp, self.stamp, "", vector, 0.0, 0, ())
            self.teacher.running.add(seen, frames)
        return self.teacher.stop()

    def judges(self) -> bool:
        return self.teacher.in_use()["lit"].calibration.judges_presence


def test_a_full_disk_is_said_and_the_label_is_used_until_the_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    school = School(tmp_path)
    assert school.record(RED, False).code == "PENDING"

    def full(*args: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(taught_store, "write_lesson", full)
        done = school.record(BLUE, True)
    assert done.code == "FAILED"
    assert "No space left on device" in done.message
    assert done.message == school.teacher.trouble
    assert school.judges()
    restarted = School(tmp_path).teacher.listed("lit").lessons[0]
    assert (restarted.frames(False), restarted.frames(True)) == (24, 0), "what was stored is there"


def test_a_recording_is_ended_with_its_node_and_nothing_is_lost(tmp_path: Path) -> None:
    school = School(tmp_path)
    school.teacher.end()
    school.record(RED, False)
    school.teacher.start("lit", "", "front", True)
    assert school.teacher.running.camera == "front"
    school.teacher.end()
    with pytest.raises(TeachingError, match="no recording is running"):
        school.teacher.stop()
    assert School(tmp_path).teacher.listed("").lessons[0].frames(False) == 24


def test_another_model_learns_it_again_beside_its_work(tmp_path: Path) -> None:
    first = School(tmp_path, "one-model")
    first.record(RED, False)
    assert first.record(BLUE, True).code == "OK"
    second = School(tmp_path, "another-model")
    assert not second.judges(), "of a model with other embeddings"
    with pytest.raises(TeachingError, match="it is being learned again") as refused:
        second.teacher.start("lit", "", "front", True)
    assert refused.value.code == "BUSY"
    worker = Worker(lambda error: None)
    worker.start(lambda: None)
    second.teacher.changed = False
    end = time.monotonic() + 30
    while not second.teacher.changed and time.monotonic() < end:
        second.teacher.watch(worker)
        time.sleep(0.02)
    worker.stop()
    (lesson,) = second.teacher.listed("lit").lessons
    assert (lesson.model_id, lesson.message) == ("another-model", "")
    assert second.judges()
    first.teacher.refresh()
    assert first.judges(), "what is in use is not replaced by what another model has learned"
    assert first.teacher.listed("lit").lessons[0].model_id == "one-model"


def test_trouble_that_is_mended_is_no_trouble(tmp_path: Path) -> None:
    school = School(tmp_path)
    school.record(RED, False)
    broken = tmp_path / "broken.taught"
    broken.symlink_to(tmp_path / "nowhere")
    school.record(BLUE, True)
    school.teacher.refresh()
    assert school.teacher.trouble == "", "a link to nowhere hides no label"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TaughtStore, "refresh", refuse)
        school.teacher.refresh()
        school.teacher.refresh()
        assert "cannot be read" in school.teacher.trouble
    school.teacher.refresh()
    assert school.teacher.trouble == ""
    (warning,) = school.warnings
    assert "cannot be read" in warning


def refuse(*args: Any) -> None:
    raise OSError(errno.EIO, "Input/output error")


def test_what_could_not_be_learned_again_is_tried_again(tmp_path: Path) -> None:
    first = School(tmp_path, "one-model")
    first.record(RED, False)
    first.record(BLUE, True)
    second = School(tmp_path, "another-model")
    worker = Worker(lambda error: None)
    worker.start(lambda: None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(second.engine, "encode", refuse)
        second.teacher.watch(worker)
        end = time.monotonic() + 30
        while not second.warnings and time.monotonic() < end:
            time.sleep(0.01)
    second.teacher.changed = False
    while not second.teacher.changed and time.monotonic() < end:
        second.teacher.watch(worker)
        time.sleep(0.01)
    worker.stop()
    assert "could not be learned again" in second.warnings[0]
    assert second.judges()


@pytest.mark.skipif(find_spec("lancedb") is None, reason="the memory needs the extra [memory]")
def test_of_a_long_time_in_the_memory_the_newest_frames_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    school = School(tmp_path / "taught")
    config, read = school.engine.config, MemoryStore.rows
    store = open_store(tmp_path / "memory", config.model_id, config.dim, create=True)
    vector = np.eye(config.dim, dtype=np.float32)[0]
    store.append([Row(SAMPLE, "front", at, at, at, vector) for at in range(1, 3 * MAX_FRAMES + 1)])
    taken: list[int] = []

    def rows(store: MemoryStore, which: Filter) -> list[Row]:
        found = read(store, which)
        taken.extend(row.stamp for row in found)
        return found

    monkeypatch.setattr(MemoryStore, "rows", rows)
    teacher = Teacher(tmp_path / "taught", school.pipeline, str(tmp_path / "memory"), print)
    done = teacher.from_memory("lit", "dark", "front", False, 1, 10**9)
    assert done.lessons[0].frames(False) == MAX_FRAMES
    assert taken == list(range(2 * MAX_FRAMES + 1, 3 * MAX_FRAMES + 1))
