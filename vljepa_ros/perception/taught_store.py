"""Stores each taught label's frames and embeddings in a file.

A label survives a restart and a change of the model.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save

from vljepa_ros.files import atomic_write
from vljepa_ros.models.calibration import EncodedText
from vljepa_ros.models.config import Calibration, ModelConfig
from vljepa_ros.perception.lesson import Example, Lesson, Recording, checked_label
from vljepa_ros.perception.teaching import TeachingError

FORMAT = "1"
SUFFIX = ".taught"
MAX_PICTURES = 50 * 2**20  # bytes of JPEG of all labels


def write_lesson(path: Path, lesson: Lesson) -> None:
    """Write a lesson to a file, atomically.

    Raises:
        OSError: It cannot be written; the old content stays.
    """
    examples = [e for one in lesson.recordings for e in one.examples]
    recordings = [
        [one.camera, one.shows_other, [[e.stamp, e.images, len(e.jpeg)] for e in one.examples]]
        for one in lesson.recordings
    ]
    about = [FORMAT, lesson.name, lesson.other, lesson.model_id, recordings]
    tensors: dict[str, NDArray[Any]] = {
        "vectors": np.array([e.vector for e in examples], np.float32),
        "pictures": np.frombuffer(b"".join(e.jpeg for e in examples), np.uint8),
    }
    with atomic_write(path) as file:
        file.write(save(tensors, {"taught": json.dumps(about)}))


def read_lesson(path: Path) -> Lesson:
    """Read a lesson from a file.

    Raises:
        TeachingError: It is damaged, or not the file of a taught label.
    """
    try:
        with safe_open(str(path), "np") as file:
            version, name, other, model_id, found = json.loads(file.metadata()["taught"])
            vectors = iter(file.get_tensor("vectors"))
            pictures = BytesIO(file.get_tensor("pictures").tobytes())
        if version != FORMAT:
            raise ValueError(f"format is {version!r}, allowed: {FORMAT}")
        recordings = tuple(
            Recording(
                str(camera),
                bool(shows_other),
                tuple(
                    Example(int(stamp), next(vectors), pictures.read(size), int(images))
                    for stamp, images, size in examples
                ),
            )
            for camera, shows_other, examples in found
        )
        return Lesson(checked_label(name, "name"), str(other), str(model_id), recordings)
    except Exception as error:  # a damaged file raises many kinds
        raise TeachingError(f"'{path}' holds no taught label: {error!r}") from error


class TaughtStore:
    """The taught labels of one node, in one folder. One thread at a time.

    Attributes:
        lessons: Name of the label -> lesson.
        problems: Name of a file -> why it cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lessons: dict[str, Lesson] = {}
        self.problems: dict[str, str] = {}
        self._seen: dict[Path, tuple[int, int]] = {}

    def labels(self, dim: int) -> dict[str, EncodedText]:
        """Name -> label, for a model of `dim` numbers.

        An unusable label scores 0, as its name must not be used as a text.
        """
        unusable = EncodedText(np.zeros(dim, np.float32), Calibration())
        return {name: one.label or unusable for name, one in dict(self.lessons).items()}

    def path_of(self, name: str) -> Path:
        """The file of a label."""
        plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40]
        digest = hashlib.sha256(name.encode()).hexdigest()[:8]
        return self.folder / f"{plain}-{digest}{SUFFIX}"

    def refresh(self, model: ModelConfig) -> bool:
        """Read files that are new, changed or gone; returns whether there were any.

        A label in use is not replaced by one learned for another model.

        Raises:
            OSError: the folder cannot be read.
        """
        files = sorted(self.folder.glob(f"*{SUFFIX}"))
        present = {path: _state(path) for path in files if path.is_file()}
        before, self._seen = self._seen, present
        for path in before.keys() - present.keys():
            self.problems.pop(path.name, None)
            for name in [name for name in self.lessons if self.path_of(name) == path]:
                del self.lessons[name]
        changed = [path for path, state in present.items() if before.get(path) != state]
        for path in changed:
            try:
                self._take(path, read_lesson(path), model)
            except TeachingError as error:
                self.problems[path.name] = str(error)
        return present != before

    def lesson_for(self, name: str, other: str, model_id: str) -> Lesson:
        """The lesson to which a recording will be added; a new one if there is none.

        Args:
            name: name of the label.
            other: name of the state it is distinguished from; empty: as before.
            model_id: model in use.

        Raises:
            TeachingError: a name is invalid, or in use with another meaning.
        """
        name = checked_label(name, "name")
        before = self.lessons.get(name)
        if before is None and (problem := self.problems.get(self.path_of(name).name)):
            raise TeachingError(f"{problem}; forget '{name}' to teach it again")
        known = before.other if before and not other.strip() else other
        other = checked_label(known, "other, the state that it is distinguished from,")
        if other == name:
            raise TeachingError(f"name and other are both '{name}', allowed: two states")
        if before is None:
            return Lesson(name, other, model_id)
        if other != before.other:
            raise TeachingError(f"other is '{other}', allowed: '{before.other}'; or forget it")
        if before.model_id != model_id:
            raise TeachingError(f"'{name}' is {before.message}: try again later", "BUSY")
        return before

    def put(self, lesson: Lesson) -> None:
        """Store a lesson, within MAX_PICTURES for all lessons.

        Raises:
            OSError: It cannot be written; it is used, but not stored.
        """
        self.lessons[lesson.name] = lesson
        changed = {lesson.name}
        while sum(one.pictures for one in self.lessons.values()) > MAX_PICTURES:
            largest = max(self.lessons.values(), key=lambda one: one.pictures)
            self.lessons[largest.name] = largest.with_fewer_pictures()
            changed.add(largest.name)
        for name in changed:
            write_lesson(self.path_of(name), self.lessons[name])
            self._seen[self.path_of(name)] = _state(self.path_of(name))

    def remove(self, name: str) -> None:
        """Delete a label. Raises OSError if its file cannot be deleted."""
        self.path_of(name).unlink(missing_ok=True)
        self._seen.pop(self.path_of(name), None)
        self.problems.pop(self.path_of(name).name, None)
        self.lessons.pop(name, None)

    def _take(self, path: Path, lesson: Lesson, model: ModelConfig) -> None:
        """Use the lesson in a file. Raises TeachingError if that is not possible."""
        sizes = {e.vector.shape for one in lesson.recordings for e in one.examples}
        own = lesson.model_id == model.model_id
        if path != self.path_of(lesson.name) or (own and sizes - {(model.dim,)}):
            raise TeachingError(
                f"'{path}' is not the file of '{lesson.name}', or its vectors have not {model.dim} "
                "values"
            )
        self.problems.pop(path.name, None)
        if own:
            self.lessons[lesson.name] = lesson.learned(model.visual_dim)
        elif lesson.name not in self.lessons:
            message = f"of model {lesson.model_id}; it is being learned again"
            self.lessons[lesson.name] = replace(lesson, message=message)


def _state(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_mtime_ns, stat.st_size
