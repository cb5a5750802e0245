"""The service teach of the perception node: labels by example, live or from the memory."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vljepa_ros import ros
from vljepa_ros.models.calibration import EncodedText
from vljepa_ros.nodes.diagnostics import Part
from vljepa_ros.nodes.model_node import ModelNode
from vljepa_ros.nodes.taught_labels import TaughtLabels
from vljepa_ros.nodes.topics import Endpoints, to_nanoseconds, to_stamp
from vljepa_ros.perception.lesson import (
    LONGEST_S,
    MAX_FRAMES,
    Example,
    Lesson,
    Recording,
    RunningRecording,
    checked_label,
)
from vljepa_ros.perception.memory.row import SAMPLE
from vljepa_ros.perception.pipeline import EMBEDDINGS, Observation, Pipeline
from vljepa_ros.perception.teaching import LEAST_ACCURACY, LEAST_FRAMES, TeachingError

PROGRESS_S = 0.2


class Teaching:
    """Created with the node: before it is configured the service answers what is missing.

    Args:
        node: Has the parameter `memory`.
        on_change: Given name -> label when the taught labels are others.

    Attributes:
        pipeline: Set by `open`; the node deletes it when it is cleaned up.
        labels: Likewise.
    """

    def __init__(
        self, node: ModelNode[Any], on_change: Callable[[dict[str, EncodedText]], None]
    ) -> None:
        self._node = node
        self._on_change = on_change
        self._topic = Endpoints(node)
        self._running: RunningRecording | None = None
        self.pipeline: Pipeline
        self.labels: TaughtLabels
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
        self.labels = TaughtLabels(self._node, pipeline, self._on_change)

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
            running.add(seen, frames)

    def watch(self) -> None:
        """Once a second."""
        if self._running is not None and time.monotonic() > self._running.until:
            self._node.warn(
                f"the recording for '{self._running.lesson.name}' is ended after {LONGEST_S:g} s"
            )
            self._end_recording()
        self.labels.watch()

    def part(self) -> Part:
        """State for the diagnostics."""
        return self.labels.part()

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
        self._running = RunningRecording(lesson, camera, bool(request.showing_other))
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
        if not running.count:
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
        store = self.labels.store
        names = [self._known(request.name).name] if request.name.strip() else sorted(store.lessons)
        response.labels = [_message(store.lessons[name]) for name in names]
        response.result.message = "; ".join(store.problems.values())

    async def _rename(self, request: Any, response: Any) -> None:
        store, lesson = self.labels.store, self._known(request.name)
        name = checked_label(request.new_name, "new_name")
        if name in (lesson.other, *store.lessons):
            raise TeachingError(f"new_name is '{name}', allowed: a name that no state here has")
        renamed = replace(lesson, name=name)

        def rename() -> None:
            store.put(renamed)
            store.remove(lesson.name)

        await self.labels.aside(rename)
        response.labels = [_message(renamed)]

    async def _forget(self, request: Any, response: Any) -> None:
        store = self.labels.store
        lesson = self._known(request.name, damaged=True)
        await self.labels.aside(lambda: store.remove(lesson.name))

    def _known(self, name: str, damaged: bool = False) -> Lesson:
        """A label's lesson; with `damaged` an empty one if only its file is there."""
        store, clean = self.labels.store, checked_label(name, "name")
        if self._running is not None and self._running.lesson.name == clean:
            raise TeachingError(f"a recording for '{clean}' runs: end it with STOP first", "BUSY")
        if damaged and store.path_of(clean).exists():
            return store.lessons.get(clean, Lesson(clean, "", ""))
        if clean not in store.lessons:
            known = ", ".join(map(repr, sorted(store.lessons)[:10])) or "none"
            raise TeachingError(f"no taught label '{clean}'; there are: {known}", "UNKNOWN_ID")
        return store.lessons[clean]

    def _lesson(self, request: Any) -> Lesson:
        model_id = self.pipeline.engine.config.model_id
        return self.labels.store.lesson_for(request.name, request.other, model_id)

    async def _learn(self, take: Callable[[], Lesson], response: Any) -> None:
        """Keep a lesson, learn, and say how it went."""
        lesson = await self.labels.aside(lambda: self.labels.put(take()))
        response.labels = [_message(lesson)]
        if self.labels.trouble:
            response.result = self._node.result("FAILED", self.labels.trouble)
        elif lesson.message:
            one_state = not (lesson.frames(False) and lesson.frames(True))
            code = "PENDING" if one_state else "BAD_REQUEST"
            text = f"kept, but not usable yet: {lesson.message}"
            response.result = self._node.result(code, text)

    def _end_recording(self) -> None:
        running, self._running = self._running, None
        if running is not None and running.count:
            self.labels.put_now(running.taken())

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
        if running.count:
            message.header.stamp = to_stamp(running.newest)
            message.header.frame_id = running.tag
        publish(message)


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
