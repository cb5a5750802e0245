"""What was shown for each taught label, on the disk: a file for each, with its frames and their
embeddings, so that a label outlives a restart and a change of the model.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.numpy import save

from vljepa_ros.engines.protocol import Engine
from vljepa_ros.files import atomic_write
from vljepa_ros.models.config import ModelConfig
from vljepa_ros.perception.memory.row import kept_clip
from vljepa_ros.perception.teaching import LEAST_FRAMES, TaughtLabel, TeachingError, fit
from vljepa_ros.perception.vocabulary import BAR
from vljepa_ros.perception.worker import CooperativeTask

FORMAT = "1"
SUFFIX = ".taught"
MAX_NAME = 128  # characters
MAX_FRAMES = 200  # of a state that are kept
MAX_PICTURES = 50 * 2**20  # bytes of JPEG of all labels


class TaughtFileError(ValueError):
    """A file that holds no taught label; the message names it."""


@dataclass(frozen=True)
class Example:
    """One clip that shows a state.

    Attributes:
        stamp: nanoseconds, of its newest image.
        vector: [D] float32, L2 norm 1: its embedding.
        jpeg: its images as `clip_to_jpeg` makes them; empty: not kept.
        images: how many.
    """

    stamp: int
    vector: NDArray[np.float32]
    jpeg: bytes = b""
    images: int = 1


@dataclass(frozen=True)
class Recording:
    """Clips of one camera, shown one after the other."""

    camera: str
    shows_other: bool
    examples: tuple[Example, ...]


@dataclass(frozen=True)
class Lesson:
    """All that was shown for one taught label.

    Attributes:
        name: of the label.
        other: name of the state it is told apart from.
        model_id: of the model that the vectors are of.
        recordings: in the order in which they were made.
        label: what was learned; None: it cannot be used.
        message: why not, else empty.
    """

    name: str
    other: str
    model_id: str
    recordings: tuple[Recording, ...] = ()
    label: TaughtLabel | None = field(default=None, compare=False)
    message: str = field(default="", compare=False)

    def of(self, shows_other: bool) -> list[Recording]:
        """The recordings of one state."""
        return [one for one in self.recordings if one.shows_other == shows_other]

    def frames(self, shows_other: bool) -> int:
        """How many clips show one state."""
        return sum(len(one.examples) for one in self.of(shows_other))

    def vectors(self, shows_other: bool) -> NDArray[np.float32]:
        """[N, D] of the clips that show one state."""
        found = [e.vector for one in self.of(shows_other) for e in one.examples]
        return np.array(found, np.float32)

    @property
    def pictures(self) -> int:
        """Bytes of the kept pictures."""
        return sum(len(e.jpeg) for one in self.recordings for e in one.examples)

    @property
    def too_little(self) -> str:
        """Which state must be shown, or shown longer, and how often it was; empty: none."""
        for shows_other, state in ((False, self.name), (True, self.other)):
            if (frames := self.frames(shows_other)) < LEAST_FRAMES:
                return f"{frames} frames show '{state}', allowed: {LEAST_FRAMES} or more"
        return ""

    def learned(self) -> Lesson:
        """This lesson with the label that was learned, or with the reason why there is none."""
        if message := self.too_little:
            return replace(self, label=None, message=message)
        sizes = [[len(one.examples) for one in self.of(which)] for which in (False, True)]
        recordings = [np.repeat(np.arange(len(own)), own) for own in sizes]
        try:
            label = fit(self.vectors(False), self.vectors(True), *recordings)
            return replace(self, label=label, message="")
        except TeachingError as error:
            return replace(self, label=None, message=str(error))

    def shown(self, recording: Recording) -> Lesson:
        """This lesson with one more recording, the newest MAX_FRAMES of each state."""
        left = {False: MAX_FRAMES, True: MAX_FRAMES}
        kept: list[Recording] = []
        for one in reversed((*self.recordings, recording)):
            room = left[one.shows_other]
            if examples := one.examples[max(0, len(one.examples) - room) :] if room else ():
                left[one.shows_other] -= len(examples)
                kept.append(replace(one, examples=examples))
        return replace(self, recordings=tuple(reversed(kept)))

    def without_pictures(self, size: int) -> Lesson:
        """This lesson without its oldest pictures, about `size` bytes of the state with more of
        them; their embeddings stay."""
        sizes = {
            which: sum(len(e.jpeg) for one in self.of(which) for e in one.examples)
            for which in (False, True)
        }
        which = sizes[True] > sizes[False]
        recordings = []
        for one in self.recordings:
            examples = list(one.examples)
            for place, example in enumerate(examples if one.shows_other == which else ()):
                if size > 0:
                    size -= len(example.jpeg)
                    examples[place] = replace(example, jpeg=b"")
            recordings.append(replace(one, examples=tuple(examples)))
        return replace(self, recordings=tuple(recordings))


def checked_label(name: str, what: str) -> str:
    """The name of a state without surrounding blanks. Raises TeachingError."""
    clean = name.strip()
    if not 1 <= len(clean) <= MAX_NAME:
        raise TeachingError(f"{what} has {len(clean)} characters, allowed: 1 to {MAX_NAME}")
    if BAR in clean:
        raise TeachingError(f"{what} is '{clean}', allowed: no '{BAR}', which separates labels")
    return clean


def taught_folder(node_name: str) -> Path:
    """Where a perception node keeps its labels: in $ROS_HOME/vljepa_ros, named after the node.

    Args:
        node_name: fully qualified, such as `/vljepa/perception_node`.
    """
    home = Path(os.environ.get("ROS_HOME") or "~/.ros").expanduser()
    return home / "vljepa_ros" / f"{node_name.strip('/').replace('/', '.')}.taught"


def embedded_again(lesson: Lesson, engine: Engine) -> CooperativeTask[Lesson]:
    """The lesson for another model, from its kept pictures; a step for each of them."""
    recordings = []
    for recording in lesson.recordings:
        examples = []
        for example in recording.examples:
            clip = kept_clip(example.jpeg or None, example.images, example.stamp, engine.config)
            if clip is not None:
                (seen,) = engine.encode([clip], [None])
                (vector,) = engine.embed([seen.tokens], engine.config.default_query)
                examples.append(replace(example, vector=vector))
                yield None
        recordings.append(replace(recording, examples=tuple(examples)))
    made = tuple(one for one in recordings if one.examples)
    return replace(lesson, model_id=engine.config.model_id, recordings=made)


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
            self.lessons[lesson.name] = lesson.learned()
        elif lesson.name not in self.lessons:
            message = f"of model {lesson.model_id}; it is being learned again"
            self.lessons[lesson.name] = replace(lesson, message=message)

    def _note(self, path: Path) -> None:
        stat = path.stat()
        self._seen[path.name] = (stat.st_mtime_ns, stat.st_size)
