"""The service `teach` of the perception node: labels learned from examples."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from vljepa_ros import ros
from vljepa_ros.models.calibration import EncodedText
from vljepa_ros.nodes.diagnostics import Part, checked
from vljepa_ros.nodes.model_node import ModelNode
from vljepa_ros.nodes.topics import Endpoints, to_nanoseconds, to_stamp
from vljepa_ros.perception.pipeline import Observation, PerceptionError, Pipeline
from vljepa_ros.perception.worker import DeadlineError
from vljepa_ros.resources import kept_by

if TYPE_CHECKING:
    from vljepa_ros.perception.lesson import Lesson, RunningRecording
    from vljepa_ros.perception.teacher import Taught, Teacher

PROGRESS_S = 0.2


class Teaching:
    """Serves `teach`; before the node is configured the service reports that.

    The modules for it are loaded only if there is a taught label or a request.

    Args:
        node: Has the parameter `memory`.
        on_change: Called with name -> label when the taught labels have changed.
    """

    def __init__(
        self, node: ModelNode[Any], on_change: Callable[[dict[str, EncodedText]], None]
    ) -> None:
        self._node = node
        self._on_change = on_change
        self._topic = Endpoints(node)
        self._pipeline: Pipeline | None = None
        self._teacher: Teacher | None = None
        self._kind = ros.interface("vljepa_ros/srv/Teach").Request
        start = self._kind.START
        node.serve("Teach", "teach", self._teach, lambda request: request.operation == start)

    def open(self, pipeline: Pipeline) -> None:
        """Load the taught labels, before the vocabulary is encoded."""
        self._pipeline = pipeline
        self.watch()

    def start(self) -> None:
        """Publish on `teach_progress`."""
        kind = "vljepa_ros/msg/TeachProgress"
        publish = self._topic.publisher(kind, "teach_progress").publish
        self._topic.repeat(PROGRESS_S, lambda: self._publish_progress(publish))

    def stop(self) -> None:
        """End a running recording, as STOP does."""
        self._topic.close()
        if self._teacher is not None:
            self._teacher.end()

    def close(self) -> None:
        """Forget the labels; they are on the disk."""
        self._pipeline = self._teacher = None

    def wants(self, camera: str) -> bool:
        """Whether the clips of a camera are being recorded."""
        return (running := self._running) is not None and running.camera == camera

    def observe(self, seen: Observation, frames: NDArray[np.uint8]) -> None:
        """Record an embedded clip, [T, S, S, 3] uint8 RGB; in the worker's thread."""
        if (running := self._running) is not None and running.camera == seen.camera:
            running.add(seen, frames)

    def watch(self) -> None:
        """Report labels that are new or have changed; called once a second."""
        if self._teacher is None and self._pipeline is not None:
            folder = kept_by(self._node.get_fully_qualified_name(), ".taught")
            if folder.is_dir() and "embed" in self._pipeline.engine.capabilities:
                self._begin()
        elif self._teacher is not None:
            self._teacher.watch(self._node.worker)
        self._use()

    def parts(self) -> Sequence[Part]:
        """State for the diagnostics."""
        teacher = self._teacher
        return [checked("taught labels", teacher.trouble, "usable", {})] if teacher else []

    @property
    def _running(self) -> RunningRecording | None:
        return self._teacher.running if self._teacher is not None else None

    async def _teach(self, request: ros.Message, response: ros.Message) -> None:
        work = self._work(self._begin(), request)
        pending, key, timeout = self._node.pending, object(), self._node.settings.request_timeout
        future = pending.wait(key, timeout)

        def run() -> None:
            done: tuple[Any, Exception | None]
            try:
                done = work(), None
            except Exception as error:
                done = None, error
            pending.complete(done, lambda other: other is key)

        threading.Thread(target=run, name="teach", daemon=True).start()
        found = await future
        self._use()
        if found is None:
            raise DeadlineError(f"still at work after {timeout:g} s: LIST says how it ended")
        taught, error = found
        if error is not None:
            raise error
        response.result = self._node.result(taught.code, taught.message)
        response.labels = [label_message(lesson) for lesson in taught.lessons]

    def _work(self, teacher: Teacher, request: ros.Message) -> Callable[[], Taught]:
        """The work that a request asks for."""
        kind, name = self._kind, str(request.name)
        if request.operation in (kind.START, kind.FROM_MEMORY):
            camera = self._node.which_camera(request.camera)
            shown = name, str(request.other), camera, bool(request.showing_other)
            if request.operation == kind.START:
                return lambda: teacher.start(*shown)
            span = to_nanoseconds(request.start), to_nanoseconds(request.end)
            return lambda: teacher.from_memory(*shown, *span)
        others: dict[int, Callable[[], Taught]] = {
            kind.STOP: lambda: teacher.stop(name),
            kind.LIST: lambda: teacher.listed(name),
            kind.RENAME: lambda: teacher.rename(name, str(request.new_name)),
            kind.FORGET: lambda: teacher.forget(name),
        }
        if request.operation not in others:
            raise PerceptionError(
                f"operation is {request.operation}, allowed: 0 to {kind.FORGET}", "BAD_REQUEST"
            )
        return others[request.operation]

    def _begin(self) -> Teacher:
        from vljepa_ros.perception.teacher import Teacher

        assert self._pipeline is not None  # while the node is configured
        engine = self._pipeline.engine
        if "embed" not in engine.capabilities:
            raise PerceptionError(
                f"model '{engine.config.name}' has no embeddings: it cannot be taught labels; "
                "allowed: models of the families vl_jepa and dual_encoder",
                "UNSUPPORTED",
            )
        if self._teacher is None:
            folder = kept_by(self._node.get_fully_qualified_name(), ".taught")
            memory = self._node.settings.memory
            self._teacher = Teacher(folder, self._pipeline, memory, self._node.warn)
        return self._teacher

    def _use(self) -> None:
        if self._teacher is not None and self._teacher.changed:
            self._on_change(self._teacher.in_use())

    def _publish_progress(self, publish: Callable[[ros.Message], None]) -> None:
        from vljepa_ros.perception.teaching import LEAST_ACCURACY, LEAST_FRAMES

        if (running := self._running) is None:
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
        message.header.stamp = to_stamp(running.newest)
        message.header.frame_id = running.tag
        publish(message)


def label_message(lesson: Lesson) -> ros.Message:
    """Convert a lesson to msg/TaughtLabel."""
    label = lesson.label
    return ros.interface("vljepa_ros/msg/TaughtLabel")(
        **{name: getattr(lesson, name) for name in ("name", "other", "model_id", "message")},
        cameras=sorted({one.camera for one in lesson.recordings}),
        frames=lesson.frames(False),
        other_frames=lesson.frames(True),
        recordings=len(lesson.recordings),
        accuracy=label.accuracy if label and label.across_recordings else math.nan,
        usable=label is not None,
    )
