"""What was shown for each taught label, on the disk: a file for each, with its frames and their
embeddings, so that a label outlives a restart and a change of the model.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
from safetensors import safe_open
from safetensors.numpy import save

from vljepa_ros.files import atomic_write
from vljepa_ros.models.config import ModelConfig
from vljepa_ros.perception.lesson import Example, Lesson, Recording, checked_label
from vljepa_ros.perception.teaching import TeachingError

FORMAT = "1"
SUFFIX = ".taught"
MAX_PICTURES = 50 * 2**20  # bytes of JPEG of all labels


class TaughtFileError(ValueError):
    """A file that holds no taught label; the message names it."""


def taught_folder(node_name: str) -> Path:
    """Where a perception node keeps its labels: in $ROS_HOME/vljepa_ros, named after the node.

    Args:
        node_name: fully qualified, such as `/vljepa/perception_node`.
    """
    home = Path(os.environ.get("ROS_HOME") or "~/.ros").expanduser()
    return home / "vljepa_ros" / f"{node_name.strip('/').replace('/', '.')}.taught"


def write_lesson(path: Path, lesson: Lesson) -> None:
    """Write a file, whole or not at all.

    Raises:
        OSError: It cannot be written; the old content stays.
    """
    examples = [e for one in lesson.recordings for e in one.examples]
    sizes = [len(one.examples) for one in lesson.recordings]
    vectors = [e.vector for e in examples]
    tensors = {
        "vectors": np.stack(vectors).astype(np.float32) if vectors else np.zeros((0, 0), "f4"),
        "stamps": np.array([e.stamp for e in examples], np.int64),
        "images": np.array([e.images for e in examples], np.int64),
        "recording": np.repeat(np.arange(len(sizes)), sizes).astype(np.int64),
        "sizes": np.array([len(e.jpeg) for e in examples], np.int64),
        "pictures": np.frombuffer(b"".join(e.jpeg for e in examples), np.uint8),
    }
    metadata = {
        "format": FORMAT,
        "name": lesson.name,
        "other": lesson.other,
        "model_id": lesson.model_id,
        "recordings": json.dumps([[one.camera, one.shows_other] for one in lesson.recordings]),
    }
    with atomic_write(path) as file:
        file.write(save(tensors, metadata))


def read_lesson(path: Path) -> Lesson:
    """Read a file.

    Raises:
        TaughtFileError: It is damaged or none of a taught label.
    """
    try:
        with safe_open(str(path), "np") as file:
            about = file.metadata() or {}
            found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if about["format"] != FORMAT:
            raise ValueError(f"format is {about['format']!r}, allowed: {FORMAT}")
        vectors, ends = found["vectors"], np.cumsum(found["sizes"])
        if not np.isfinite(vectors).all() or (found["sizes"] < 0).any():
            raise ValueError("values that are not finite")
        data = found["pictures"].tobytes()
        if len(data) != (ends[-1] if len(ends) else 0):
            raise ValueError(f"{len(data)} bytes of pictures")
        examples = [
            Example(int(stamp), vector, data[end - size : end], int(images))
            for stamp, vector, size, end, images in zip(
                found["stamps"], vectors, found["sizes"], ends, found["images"], strict=True
            )
        ]
        recordings = tuple(
            Recording(
                str(camera),
                bool(shows_other),
                tuple(examples[i] for i in np.flatnonzero(found["recording"] == place)),
            )
            for place, (camera, shows_other) in enumerate(json.loads(about["recordings"]))
        )
        name, other = (checked_label(about[key], key) for key in ("name", "other"))
        return Lesson(name, other, about["model_id"], recordings)
    except Exception as error:  # whatever the file holds
        raise TaughtFileError(f"'{path}' holds no taught label: {error!r}") from error


class TaughtStore:
    """The taught labels of one node, in one folder. One thread at a time.

    Attributes:
        lessons: By the name of the label.
        problems: By the name of a file, why it cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lessons: dict[str, Lesson] = {}
        self.problems: dict[str, str] = {}
        self._seen: dict[str, tuple[int, int]] = {}

    def path_of(self, name: str) -> Path:
        """The file of a label."""
        plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40]
        digest = hashlib.sha256(name.encode()).hexdigest()[:8]
        return self.folder / f"{plain}-{digest}{SUFFIX}"

    def refresh(self, model: ModelConfig) -> bool:
        """Take over files that have come, changed or gone since; whether there were any.

        A label in use is not replaced by what another model has learned.
        """
        present = {}
        if self.folder.is_dir():
            with os.scandir(self.folder) as entries:
                for entry in entries:
                    if entry.name.endswith(SUFFIX):
                        stat = entry.stat()
                        present[entry.name] = (stat.st_mtime_ns, stat.st_size)
        if present == self._seen:
            return False
        before, self._seen = self._seen, present
        self.problems = {name: why for name, why in self.problems.items() if name in present}
        files = {self.path_of(name).name: name for name in self.lessons}
        for gone in files.keys() & before.keys() - present.keys():
            del self.lessons[files[gone]]
        for file in sorted(present):
            if before.get(file) != present[file]:
                self._read(file, model)
        return True

    def lesson_for(self, name: str, other: str, model_id: str) -> Lesson:
        """The lesson that a recording is to be added to, perhaps a new one.

        Args:
            name: of the label.
            other: of the state it is told apart from; empty: as before.
            model_id: of the model in use.

        Raises:
            TeachingError: a name cannot be used, or is used otherwise.
        """
        name = checked_label(name, "name")
        before = self.lessons.get(name)
        if before is None and (problem := self.problems.get(self.path_of(name).name)):
            raise TeachingError(f"{problem}; forget '{name}' to teach it anew")
        known = before.other if before and not other.strip() else other
        other = checked_label(known, "other, the state that it is told apart from,")
        if other == name:
            raise TeachingError(f"name and other are both '{name}', allowed: two states")
        if before is None:
            return Lesson(name, other, model_id)
        if other != before.other:
            raise TeachingError(
                f"'{name}' is told apart from '{before.other}', not from '{other}': forget it to "
                "teach it anew"
            )
        if before.model_id != model_id:
            raise TeachingError(f"'{name}' is {before.message}: try again later", "BUSY")
        return before

    def put(self, lesson: Lesson) -> None:
        """Keep a lesson, within MAX_PICTURES of all.

        Raises:
            OSError: It cannot be written; it is used, but not kept.
        """
        changed = {lesson.name}
        self.lessons[lesson.name] = lesson
        while (over := sum(one.pictures for one in self.lessons.values()) - MAX_PICTURES) > 0:
            largest = max(self.lessons.values(), key=lambda one: one.pictures)
            self.lessons[largest.name] = largest.without_pictures(over)
            changed.add(largest.name)
        for name in changed:
            write_lesson(self.path_of(name), self.lessons[name])
            self._note(self.path_of(name))

    def remove(self, name: str) -> None:
        """Forget a label. Raises OSError if its file cannot be deleted."""
        path = self.path_of(name)
        path.unlink(missing_ok=True)
        self._seen.pop(path.name, None)
        self.lessons.pop(name, None)

    def _read(self, file: str, model: ModelConfig) -> None:
        try:
            lesson = read_lesson(self.folder / file)
            if file != self.path_of(lesson.name).name:
                raise TaughtFileError(f"'{file}' is not the file of its label '{lesson.name}'")
        except TaughtFileError as error:
            self.problems[file] = str(error)
            return
        self.problems.pop(file, None)
        if lesson.model_id == model.model_id:
            sizes = {e.vector.shape for one in lesson.recordings for e in one.examples}
            if sizes - {(model.dim,)}:
                self.problems[file] = f"'{file}' holds vectors of {sizes}, not of ({model.dim},)"
                return
            self.lessons[lesson.name] = lesson.learned(model.visual_dim)
        elif lesson.name not in self.lessons:
            message = f"of model {lesson.model_id}; it is being learned again"
            self.lessons[lesson.name] = replace(lesson, message=message)

    def _note(self, path: Path) -> None:
        stat = path.stat()
        self._seen[path.name] = (stat.st_mtime_ns, stat.st_size)
