"""The service teach of the perception node: labels by example, recorded, learned and kept."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vljepa_ros import ros
from vljepa_ros.models.calibration import EncodedText
from vljepa_ros.models.config import Calibration
from vljepa_ros.nodes.diagnostics import Part, checked
from vljepa_ros.nodes.model_node import ModelNode
from vljepa_ros.nodes.topics import Endpoints, to_nanoseconds, to_stamp
from vljepa_ros.nodes.vocabulary_services import VocabularyServices
from vljepa_ros.perception.memory.row import SAMPLE, clip_to_jpeg
from vljepa_ros.perception.pipeline import EMBEDDINGS, Observation, Pipeline
from vljepa_ros.perception.taught_store import (
    MAX_FRAMES,
    Example,
    Lesson,
    Recording,
    TaughtStore,
    checked_label,
    embedded_again,
    taught_folder,
)
from vljepa_ros.perception.teaching import (
    LEAST_ACCURACY,
    LEAST_FRAMES,
    TeachingError,
    separability,
)
from vljepa_ros.perception.worker import CooperativeTask, QueueFullError, Request

PROGRESS_S = 0.2
LONGEST_S = 600.0  # a recording; who began it may be gone
JUDGED_EVERY = 5  # frames
LONGEST_LEARNING_S = 3600.0  # again, for another model, beside the work of the cameras


@dataclass
class _Running:
    """A recording that runs; the worker's thread adds examples."""

    lesson: Lesson
    camera: str
    shows_other: bool
    until: float = field(default_factory=lambda: time.monotonic() + LONGEST_S)
    examples: deque[Example] = field(default_factory=lambda: deque(maxlen=MAX_FRAMES))
    count: int = 0
    tag: str = ""
    separability: float = math.nan

    def add(self, example: Example) -> None:
        self.examples.append(example)
        self.count += 1
        if self.count % JUDGED_EVERY == 0:
            lesson = self.taken()
            self.separability = separability(lesson.vectors(False), lesson.vectors(True))

    def taken(self) -> Lesson:
        """The lesson with what was recorded so far."""
        return self.lesson.shown(Recording(self.camera, self.shows_other, tuple(self.examples)))


class Teaching:
    """Created with the node: before it is configured the service answers what is missing.

    Args:
        node: Has the parameter `memory`.
        vocabulary: Uses the taught labels.
        on_change: Called when they are others.

    Attributes:
        pipeline: Set by the node while it is configured.
        version: Grows when the labels change.
    """

    def __init__(
        self, node: ModelNode[Any], vocabulary: VocabularyServices, on_change: Callable[[], None]
    ) -> None:
        self._node = node
        self._vocabulary = vocabulary
        self._on_change = on_change
        self._topic = Endpoints(node)
        self._lock = threading.Lock()  # of the store
        self._store: TaughtStore | None = None
        self._running: _Running | None = None
        self._changed = False
        self._learning = False
        self._trouble = ""
        self.pipeline: Pipeline
        self.version = 0
        kind = ros.interface("vljepa_ros/srv/Teach").Request
        self._operations = {
            kind.START: self._start,
            kind.STOP: self._stop,
            kind.FROM_MEMORY: self._from_memory,
            kind.LIST: self._list,
            kind.RENAME: self._rename,
            kind.FORGET: self._forget,
        }
        node.serve("Teach", "teach", self._teach, lambda request: request.operation == kind.START)

    def open(self, pipeline: Pipeline) -> None:
        """Read what was taught; before the vocabulary is encoded."""
        self.pipeline = pipeline
        self._store = TaughtStore(taught_folder(self._node.get_fully_qualified_name()))
        self._refresh()
        self._use()

    def start(self) -> None:
        """Publish on `teach_progress`."""
        kind, name = "vljepa_ros/msg/TeachProgress", "teach_progress"
        publish = self._topic.publisher(kind, name).publish
        self._topic.repeat(PROGRESS_S, lambda: self._publish_progress(publish))

    def stop(self) -> None:
        """End a recording as STOP does."""
        self._topic.close()
        self._end_recording()

    def wants(self, camera: str) -> bool:
        """Whether the clips of a camera are being recorded."""
        return self._running is not None and self._running.camera == camera

    def observe(self, seen: Observation, frames: NDArray[np.uint8]) -> None:
        """In the worker's thread: a clip [T, S, S, 3] uint8 RGB was embedded."""
        running = self._running
        if running is not None and running.camera == seen.camera:
            jpeg = clip_to_jpeg(frames, frames.shape[1])
            running.tag = seen.tag
            running.add(Example(seen.stamp, seen.embedding, jpeg, len(frames)))

    def watch(self) -> None:
        """Once a second: notice files that changed, learn again for this model."""
        if self._running is not None and time.monotonic() > self._running.until:
            self._node.get_logger().warning(
                f"the recording for '{self._running.lesson.name}' runs for {LONGEST_S:g} s: ended"
            )
            self._end_recording()
        if self._store is not None and self._lock.acquire(blocking=False):
            try:
                self._refresh()
            finally:
                self._lock.release()
        if self._changed:
            self._use()
        self._learn_again()

    def part(self) -> Part:
        """State for the diagnostics."""
        store = self._store
        lessons = [] if store is None else list(store.lessons.values())
        bad = [f"'{one.name}': {one.message}" for one in lessons if one.label is None]
        trouble = [self._trouble, *([] if store is None else store.problems.values()), *bad]
        values = {"labels": len(lessons), "usable": len(lessons) - len(bad)}
        text = "; ".join(filter(None, trouble))
        return checked("taught labels", text, f"{len(lessons)} labels", values)

    async def _teach(self, request: Any, response: Any) -> None:
        engine, operation = self.pipeline.engine, int(request.operation)
        if "embed" not in engine.capabilities:
            raise TeachingError(
                f"model '{engine.config.name}' has no embeddings: it cannot be taught labels; "
                "allowed: models of the families vl_jepa and dual_encoder",
                "UNSUPPORTED",
            )
        if operation not in self._operations:
            raise TeachingError(
                f"operation is {operation}, allowed: 0 to {len(self._operations) - 1}"
            )
        await self._operations[operation](request, response)

    async def _start(self, request: Any, response: Any) -> None:
        camera = self._node.which_camera(request.camera)
        if self._running is not None:
            raise TeachingError(
                f"a recording for '{self._running.lesson.name}' runs already: end it with STOP",
                "BUSY",
            )
        lesson = self._lesson(request)
        self._running = _Running(lesson, camera, bool(request.showing_other))
        self.pipeline.cameras[camera].subscriptions |= {EMBEDDINGS}
        self._node.worker.wake()
        response.result = self._node.result("PENDING", f"recording camera '{camera}' until STOP")
        response.labels = [_message(lesson)]

    async def _stop(self, request: Any, response: Any) -> None:
        running = self._running
        if running is None:
            raise TeachingError("no recording runs that STOP could end: begin one with START")
        if request.name.strip() not in ("", running.lesson.name):
            raise TeachingError(
                f"name is '{request.name}', but the recording is for '{running.lesson.name}'"
            )
        self._running = None
        if not running.examples:
            raise TeachingError(
                f"camera '{running.camera}' has sent no image since START: nothing was recorded",
                "STALE",
            )
        await self._learn(running.taken, response)

    async def _from_memory(self, request: Any, response: Any) -> None:
        camera = self._node.which_camera(request.camera)
        start, end = to_nanoseconds(request.start), to_nanoseconds(request.end)
        if end < start:
            raise TeachingError(
                f"end ({end / 1e9:.3f} s) is before start ({start / 1e9:.3f} s), allowed: after it"
            )
        lesson, shows_other = self._lesson(request), bool(request.showing_other)
        location, config = self._node.settings.memory, self.pipeline.engine.config

        def take() -> Lesson:
            from vljepa_ros.perception.memory.store import Filter, MemoryStoreError, open_store

            try:
                store = open_store(location, config.model_id, config.dim)
                rows = store.rows(Filter((camera,), kind=SAMPLE, start=start, end=end))
            except MemoryStoreError as error:
                raise TeachingError(str(error), "UNSUPPORTED") from error
            if not rows:
                raise TeachingError(
                    f"the memory at '{location}' has no samples of camera '{camera}' from "
                    f"{start / 1e9:.3f} to {end / 1e9:.3f} s",
                    "UNKNOWN_ID",
                )
            examples = [
                Example(r.stamp, r.vector, r.thumbnail or b"", r.thumbnail_frames or 1)
                for r in rows[-MAX_FRAMES:]
            ]
            return lesson.shown(Recording(camera, shows_other, tuple(examples)))

        await self._learn(take, response)

    async def _list(self, request: Any, response: Any) -> None:
        store = self._opened()
        names = [self._known(request.name).name] if request.name.strip() else sorted(store.lessons)
        response.labels = [_message(store.lessons[name]) for name in names]
        response.result.message = "; ".join(store.problems.values())

    async def _rename(self, request: Any, response: Any) -> None:
        store, lesson = self._opened(), self._known(request.name)
        name = checked_label(request.new_name, "new_name")
        if name in (lesson.other, *store.lessons):
            raise TeachingError(f"new_name is '{name}', allowed: a name that no state here has")
        renamed = replace(lesson, name=name)

        def rename() -> None:
            store.put(renamed)
            store.remove(lesson.name)

        await self._aside(rename)
        response.labels = [_message(renamed)]

    async def _forget(self, request: Any, response: Any) -> None:
        store = self._opened()
        lesson = self._known(request.name, damaged=True)
        await self._aside(lambda: store.remove(lesson.name))

    def _opened(self) -> TaughtStore:
        assert self._store is not None  # it is there while the node is configured
        return self._store

    def _known(self, name: str, damaged: bool = False) -> Lesson:
        """A label's lesson; with `damaged` an empty one if only its file is there."""
        store, clean = self._opened(), checked_label(name, "name")
        if self._running is not None and self._running.lesson.name == clean:
            raise TeachingError(f"a recording for '{clean}' runs: end it with STOP first", "BUSY")
        if damaged and store.path_of(clean).exists():
            return store.lessons.get(clean, Lesson(clean, "", ""))
        if clean not in store.lessons:
            known = ", ".join(map(repr, sorted(store.lessons)[:10])) or "none"
            raise TeachingError(f"no taught label '{clean}'; there are: {known}", "UNKNOWN_ID")
        return store.lessons[clean]

    def _lesson(self, request: Any) -> Lesson:
        """The lesson that a request adds a recording to, perhaps a new one."""
        store, name = self._opened(), checked_label(request.name, "name")
        before = store.lessons.get(name)
        if before is None and (problem := store.problems.get(store.path_of(name).name)):
            raise TeachingError(f"{problem}; FORGET '{name}' to teach it anew")
        known = before.other if before and not request.other.strip() else request.other
        other = checked_label(known, "other, the state that it is told apart from,")
        if other == name:
            raise TeachingError(f"name and other are both '{name}', allowed: two states")
        model_id = self.pipeline.engine.config.model_id
        if before is None:
            return Lesson(name, other, model_id)
        if other != before.other:
            raise TeachingError(
                f"'{name}' is told apart from '{before.other}', not from '{other}': FORGET it to "
                "teach it anew"
            )
        if before.model_id != model_id:
            raise TeachingError(f"'{name}' is {before.message}: ask again later", "BUSY")
        return before

    async def _learn(self, take: Callable[[], Lesson], response: Any) -> None:
        """Keep a lesson, learn, and say how it went."""
        lesson = await self._aside(lambda: self._put(take()))
        response.labels = [_message(lesson)]
        if self._trouble:
            response.result = self._node.result("FAILED", self._trouble)
        elif lesson.message:
            one_state = not (lesson.frames(False) and lesson.frames(True))
            code = "PENDING" if one_state else "BAD_REQUEST"
            text = f"kept, but not usable yet: {lesson.message}"
            response.result = self._node.result(code, text)

    def _put(self, lesson: Lesson) -> Lesson:
        """Learn and keep; not in the executor's thread."""
        learned = lesson.learned()
        try:
            self._opened().put(learned)
            self._trouble = ""
        except OSError as error:
            self._trouble = (
                f"'{lesson.name}' is lost with the next restart, for it cannot be kept in "
                f"'{self._opened().folder}': {error}"
            )
            self._node.warn(self._trouble)
        self._changed = True
        return learned

    async def _aside(self, work: Callable[[], Any]) -> Any:
        """Do what takes long, or waits for the disk, in a thread of its own."""
        future = ros.Future()

        def run() -> None:
            with self._lock:
                try:
                    done = (work(), None)
                except Exception as error:
                    done = (None, error)
            ros.complete(self._node, future, done)

        threading.Thread(target=run, name="teach", daemon=True).start()
        result, error = await future
        if self._node.opened:
            self._use()
        if error is not None:
            raise error
        return result

    def _end_recording(self) -> None:
        running, self._running = self._running, None
        if running is not None and running.examples:
            with self._lock:
                self._put(running.taken())

    def _publish_progress(self, publish: Callable[[Any], None]) -> None:
        running = self._running
        if running is None:
            return
        message = ros.interface("vljepa_ros/msg/TeachProgress")(
            camera=running.camera,
            name=running.lesson.name,
            showing_other=running.shows_other,
            frames=running.count,
            needed=LEAST_FRAMES,
            separability=running.separability,
            too_alike=running.separability < LEAST_ACCURACY,
        )
        if running.examples:
            message.header.stamp = to_stamp(running.examples[-1].stamp)
            message.header.frame_id = running.tag
        publish(message)

    def _refresh(self) -> None:
        store = self._opened()
        before = dict(store.problems)
        try:
            self._changed |= store.refresh(self.pipeline.engine.config)
        except OSError as error:
            store.problems["folder"] = f"'{store.folder}' cannot be read: {error}"
        for problem in store.problems.keys() - before.keys():
            self._node.get_logger().error(f"a taught label is left out: {store.problems[problem]}")

    def _use(self) -> None:
        """Let the labels count as they are now."""
        self._changed = False
        self.version += 1
        # A name that is taught and cannot be used now is no text either: it scores 0.
        unusable = EncodedText(np.zeros(self.pipeline.engine.config.dim, np.float32), Calibration())
        lessons = self._opened().lessons
        self._vocabulary.teach({name: one.label or unusable for name, one in lessons.items()})
        self._on_change()

    def _learn_again(self) -> None:
        """Have the next label embedded again whose frames are of another model."""
        if self._store is None or self._learning or not self._node.opened:
            return
        engine = self.pipeline.engine
        stale = [
            one for one in self._store.lessons.values() if one.model_id != engine.config.model_id
        ]
        if not stale or "embed" not in engine.capabilities:
            return

        def again(_: Any) -> CooperativeTask[None]:
            lesson = yield from embedded_again(stale[0], engine)
            threading.Thread(target=self._learned_again, args=(lesson,), daemon=True).start()

        self._learning = True
        try:
            self._node.worker.submit(Request(again, self._on_learned_again, LONGEST_LEARNING_S))
        except QueueFullError:
            self._learning = False

    def _on_learned_again(self, _: None, error: Exception | None) -> None:
        if error is not None:
            self._learning = False
            self._node.warn(f"a taught label could not be learned again: {error}")

    def _learned_again(self, lesson: Lesson) -> None:
        """Use what was learned for this model; the file stays if too few frames were kept."""
        with self._lock:
            if lesson.too_little:
                self._opened().lessons[lesson.name] = lesson.learned()
                self._changed = True
            else:
                self._put(lesson)
        self._learning = False


def _message(lesson: Lesson) -> Any:
    """A msg/TaughtLabel."""
    label = lesson.label
    known = label is not None and label.across_recordings
    return ros.interface("vljepa_ros/msg/TaughtLabel")(
        name=lesson.name,
        other=lesson.other,
        model_id=lesson.model_id,
        cameras=sorted({one.camera for one in lesson.recordings}),
        frames=lesson.frames(False),
        other_frames=lesson.frames(True),
        recordings=len(lesson.recordings),
        accuracy=label.accuracy if label is not None and known else math.nan,
        usable=label is not None,
        message=lesson.message,
    )
