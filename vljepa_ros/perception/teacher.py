"""Manages the taught labels of a perception node: records, learns, stores them.

They are learned again for another model. All methods may wait for the disk, under one lock.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from vljepa_ros.models.calibration import EncodedText
from vljepa_ros.perception.lesson import (
    MAX_FRAMES,
    Example,
    Lesson,
    Recording,
    RunningRecording,
    checked_label,
    embedded_again,
)
from vljepa_ros.perception.memory.row import SAMPLE
from vljepa_ros.perception.pipeline import EMBEDDINGS, Pipeline
from vljepa_ros.perception.taught_store import TaughtStore
from vljepa_ros.perception.teaching import TeachingError
from vljepa_ros.perception.worker import QueueFullError, Request, Worker

LONGEST_S = 600.0  # of a recording, whose client may have gone
LONGEST_LEARNING_S = 3600.0  # again, for another model, beside the work of the cameras


@dataclass(frozen=True)
class Taught:
    """Result of a request: the labels concerned, and a code and text of msg/Result."""

    lessons: tuple[Lesson, ...] = ()
    code: str = "OK"
    message: str = ""


class Teacher:
    """The taught labels while the node is configured.

    Args:
        folder: Folder of the labels.
        pipeline: Has the cameras that are recorded, and the model.
        memory: Location of the memory.
        warn: Logs a warning.

    Attributes:
        running: The recording in progress, if any.
        changed: Whether labels have changed since `in_use` was called.
    """

    def __init__(
        self, folder: Path, pipeline: Pipeline, memory: str, warn: Callable[[str], None]
    ) -> None:
        self._pipeline = pipeline
        self._model = pipeline.engine.config
        self._memory = memory
        self._warn = warn
        self._lock = threading.RLock()
        self._store = TaughtStore(folder)
        self._trouble = ""
        self._learning = False
        self.running: RunningRecording | None = None
        self.changed = True
        self.refresh()

    def in_use(self) -> dict[str, EncodedText]:
        """Name -> label, see `TaughtStore.labels`."""
        self.changed = False
        return self._store.labels(self._model.dim)

    @property
    def trouble(self) -> str:
        """Labels that cannot be used, and why; empty: none."""
        lessons = list(self._store.lessons.values())
        bad = [f"'{one.name}' cannot be used: {one.message}" for one in lessons if one.message]
        return "; ".join(filter(None, [self._trouble, *self._store.problems.values(), *bad]))

    def start(self, name: str, other: str, camera: str, shows_other: bool) -> Taught:
        """Record a camera until `stop`."""
        with self._lock:
            self._check_idle()
            lesson = self._store.lesson_for(name, other, self._model.model_id)
            until = time.monotonic() + LONGEST_S
            self.running = RunningRecording(lesson, camera, shows_other, until)
        self._pipeline.cameras[camera].subscriptions |= {EMBEDDINGS}
        return Taught((lesson,), "PENDING", f"recording camera '{camera}' until STOP")

    def stop(self, name: str = "") -> Taught:
        """End the recording, store it and learn."""
        with self._lock:
            running = self.running
            if running is None:
                raise TeachingError("no recording is running: begin one with START")
            if name.strip() not in ("", running.lesson.name):
                raise TeachingError(f"name is '{name}', allowed: '{running.lesson.name}'")
            self.running = None
            if not running.count:
                raise TeachingError(f"no image of '{running.camera}' since START", "STALE")
            return self._put(running.taken())

    def end(self) -> None:
        """End a running recording, and store it if it has any frames."""
        with self._lock:
            running, self.running = self.running, None
            if running is not None and running.count:
                self._put(running.taken())

    def from_memory(
        self, name: str, other: str, camera: str, shows_other: bool, start: int, end: int
    ) -> Taught:
        """Use the samples in a time range of the memory, nanoseconds, as a recording."""
        from vljepa_ros.perception.memory.store import Filter, MemoryStoreError, open_store

        if end < start:
            raise TeachingError(f"end is {(start - end) / 1e9:.3f} s before start, allowed: later")
        with self._lock:
            lesson = self._store.lesson_for(name, other, self._model.model_id)
            try:
                store = open_store(self._memory, self._model.model_id, self._model.dim)
                which = Filter((camera,), kind=SAMPLE, start=start, end=end)
                newest = np.sort(store.ends(which))[-MAX_FRAMES:]  # a day of pictures is gigabytes
                rows = store.rows(replace(which, start=int(newest[0]))) if newest.size else []
            except MemoryStoreError as error:
                raise TeachingError(str(error), "UNSUPPORTED") from error
            if not rows:
                span = f"{start / 1e9:.3f} to {end / 1e9:.3f} s"
                text = f"'{self._memory}' has no samples of camera '{camera}' from {span}"
                raise TeachingError(text, "UNKNOWN_ID")
            examples = [
                Example(r.stamp, r.vector, r.thumbnail or b"", r.thumbnail_frames or 1)
                for r in rows[-MAX_FRAMES:]
            ]
            return self._put(lesson.shown(Recording(camera, shows_other, tuple(examples))))

    def listed(self, name: str) -> Taught:
        """List one label, or all; the message names unusable files."""
        with self._lock:
            lessons = self._store.lessons
            names = [self._known(name)] if name.strip() else sorted(lessons)
            problems = "; ".join(self._store.problems.values())
            return Taught(tuple(lessons[one] for one in names), message=problems)

    def rename(self, name: str, new_name: str) -> Taught:
        """Give a label another name."""
        with self._lock:
            self._check_idle()
            lesson = self._store.lessons[self._known(name)]
            new = checked_label(new_name, "new_name")
            if new in (lesson.other, *self._store.lessons):
                raise TeachingError(f"new_name is '{new}', allowed: a name that is not in use")
            done = self._put(replace(lesson, name=new))
            if done.code == "FAILED":
                return done
            self._store.remove(lesson.name)
            self.changed = True
            return Taught(done.lessons)

    def forget(self, name: str) -> Taught:
        """Delete a label with its frames, or a damaged file."""
        with self._lock:
            self._check_idle()
            if not self._store.path_of(name.strip()).exists():
                name = self._known(name)
            self._store.remove(name.strip())
            self.changed = True
            return Taught()

    def refresh(self) -> None:
        """Read files that have changed."""
        with self._lock:
            known = dict(self._store.problems)
            self._store.problems.pop("folder", None)
            try:
                self.changed |= self._store.refresh(self._model)
            except OSError as error:
                self._store.problems["folder"] = f"'{self._store.folder}' cannot be read: {error}"
            for file in self._store.problems.keys() - known.keys():
                self._warn(f"a taught label is left out: {self._store.problems[file]}")

    def watch(self, worker: Worker) -> None:
        """Maintain the labels once a second, unless a request is being served.

        Ends recordings that take too long, reads changed files, and has the next label of another
        model embedded again.
        """
        if not self._lock.acquire(blocking=False):
            return
        try:
            self.refresh()
            if self.running is not None and time.monotonic() > self.running.until:
                self._warn(f"a recording for '{self.running.lesson.name}' was too long and ended")
                self.end()
            lessons = self._store.lessons.values()
            stale = [one for one in lessons if one.model_id != self._model.model_id]
            if stale and not self._learning:
                self._learning = True
                task = embedded_again(stale[0], self._pipeline.engine)
                request = Request(lambda _: task, self._on_embedded_again, LONGEST_LEARNING_S)
                worker.submit(request)
        except QueueFullError:
            self._learning = False
        finally:
            self._lock.release()

    def _on_embedded_again(self, lesson: Lesson | None, error: Exception | None) -> None:
        """Use a lesson that was embedded again; in the worker's thread."""
        if lesson is None:
            self._learning = False  # it is tried again
            self._warn(f"a taught label could not be learned again: {error}")
        else:
            threading.Thread(target=partial(self._take_again, lesson), daemon=True).start()

    def _take_again(self, lesson: Lesson) -> None:
        """Use a lesson for this model; the file stays if too few frames could be embedded."""
        with self._lock:
            known = lesson.name in self._store.lessons  # else it was deleted meanwhile
            if known and lesson.too_little:
                self._store.lessons[lesson.name] = lesson.learned(self._model.visual_dim)
                self.changed = True
            elif known:
                self._put(lesson)
            self._learning = False

    def _put(self, lesson: Lesson) -> Taught:
        """Learn and store."""
        learned = lesson.learned(self._model.visual_dim)
        self._trouble = ""
        try:
            self._store.put(learned)
        except OSError as error:
            self._trouble = f"'{lesson.name}' will be lost, as it cannot be stored: {error}"
            self._warn(self._trouble)
            return Taught((learned,), "FAILED", self._trouble)
        finally:
            self.changed = True  # at the end: what is in use is looked up meanwhile
        if not learned.message:
            return Taught((learned,))
        code = "BAD_REQUEST" if lesson.frames(False) and lesson.frames(True) else "PENDING"
        return Taught((learned,), code, f"kept, but not usable yet: {learned.message}")

    def _check_idle(self) -> None:
        if self.running is not None:
            text = f"a recording for '{self.running.lesson.name}' runs: end it with STOP first"
            raise TeachingError(text, "BUSY")

    def _known(self, name: str) -> str:
        clean = checked_label(name, "name")
        if clean not in self._store.lessons:
            known = ", ".join(map(repr, sorted(self._store.lessons)[:10])) or "none"
            raise TeachingError(f"no taught label '{clean}'; there are: {known}", "UNKNOWN_ID")
        return clean
