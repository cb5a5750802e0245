"""The memory node: embeddings and events in, rows on the disk; find_moments finds them by text."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.util import find_spec
from typing import Any, TypeVar

from vljepa_ros import ros
from vljepa_ros.models.config import ModelConfig, ModelError, load_config
from vljepa_ros.nodes.diagnostics import ERROR, OK, WARN, Diagnostics, Part
from vljepa_ros.nodes.lending import lend
from vljepa_ros.nodes.memory_input import MemoryCameraParameters, MemoryInput
from vljepa_ros.nodes.memory_parameters import MemoryParameters
from vljepa_ros.nodes.memory_reply import fill_reply, query_of
from vljepa_ros.nodes.model_node import NAMESPACE
from vljepa_ros.nodes.parameters import Declared, ParameterTable
from vljepa_ros.nodes.pose_input import PoseInput
from vljepa_ros.nodes.qos import RESULTS, mismatch_events
from vljepa_ros.nodes.text_encoder_client import TextEncoderClient, TextEncoderError
from vljepa_ros.perception.memory.episodic import EpisodicMemory, MemorySettings
from vljepa_ros.perception.memory.failure import MemoryStoreError, QueryError
from vljepa_ros.perception.memory.retention import Retention
from vljepa_ros.perception.memory.search import check_query
from vljepa_ros.perception.memory.segments import RecorderSettings, SegmentRecorder
from vljepa_ros.perception.worker import Busy, DeadlineError, Request, Worker
from vljepa_ros.resources import model_dir

__all__ = ["MemoryNode", "main"]

T = TypeVar("T")
Return = ros.TransitionCallbackReturn
_CAMERA = re.compile(r"[a-zA-Z][a-zA-Z0-9_]*")
_KNOWN = (Busy, DeadlineError, MemoryStoreError, QueryError, TextEncoderError)


class MemoryNode(ros.LifecycleNode):
    """Options go to the ROS node."""

    def __init__(self, **options: Any) -> None:
        super().__init__("memory_node", **{"namespace": NAMESPACE, **options})
        self.memory: EpisodicMemory | None = None
        self.model: ModelConfig | None = None
        self.active = False
        self.why = ""
        self._problem = ""
        self._worker: Worker | None = None
        self._texts: TextEncoderClient | None = None
        self._inputs: dict[str, MemoryInput] = {}
        self._pose: PoseInput | None = None
        self._event_topic: Any = None
        self.main = Declared(self, MemoryParameters)
        names = self.main.value.cameras
        bad = [name for name in names if not _CAMERA.fullmatch(name)]
        if bad or not names or len(set(names)) < len(names):
            self.main.problems["cameras"] = (
                f"cameras is {list(names)}, allowed: one or more different names, each with a "
                "letter first, then letters, digits and _"
            )
        self.cameras = tuple(dict.fromkeys(name for name in names if name not in bad))
        self._camera_parameters = {
            name: Declared(self, MemoryCameraParameters, f"{name}.") for name in self.cameras
        }
        tables: list[Declared[Any]] = [self.main, *self._camera_parameters.values()]
        self.table = ParameterTable(self, tables, lambda value: None, self._apply)
        kind = ros.interface("vljepa_ros/srv/FindMoments")
        self.create_service(kind, "find_moments", self._find_moments)
        self._expiry = self.create_timer(0.1, self._expire, clock=ros.steady_clock())
        self.diagnostics = Diagnostics(self, self.parts)

    @property
    def settings(self) -> MemoryParameters:
        """The parameters, as they are now."""
        return self.main.value

    def autostart(self) -> None:
        """Configure and activate, if the parameter says so."""
        if self.settings.autostart and self.trigger_configure() == Return.SUCCESS:
            self.trigger_activate()

    def on_configure(self, state: Any) -> Any:
        """Check parameters and the model's configuration; the store is opened in the background."""
        if self.table.problems:
            return self._fail("; ".join(self.table.problems.values()))
        if find_spec("lancedb") is None:
            return self._fail("the memory needs LanceDB: pip install 'vljepa_ros[memory]'")
        p = self.settings
        try:
            self.model = load_config(model_dir(p.model))
        except ModelError as error:
            return self._fail(str(error))
        self.why = self._problem = ""
        settings = MemorySettings(
            p.location,
            self.model.model_id,
            self.model.dim,
            batch_rows=p.batch_rows,
            batch_seconds=p.batch_seconds,
            upkeep_period=p.upkeep_period,
            retention=self._retention(),
        )
        self.memory = EpisodicMemory(settings, self._told)
        self._texts = TextEncoderClient(self, "encode_text", self.model.model_id)
        self._inputs = {
            name: MemoryInput(
                self,
                name,
                self.model,
                self._camera_parameters[name].value,
                SegmentRecorder(name, self._recording()),
                p.thumbnail,
                self._wake,
            )
            for name in self.cameras
        }
        self._worker = Worker(self._step, self._step_failed)
        self._worker.start(self.get_name())
        memory = self.memory
        self._worker.submit(Request(lambda _: memory.check(), self._checked, 60.0))
        return super().on_configure(state)

    def on_activate(self, state: Any) -> Any:
        """Begin to remember."""
        result = super().on_activate(state)
        p = self.settings
        if p.pose_topic:
            self._pose = PoseInput(self, p.pose_topic, p.pose_type)
        for camera in self._inputs.values():
            if self._pose is not None:
                camera.pose = self._pose.newest
            camera.start()
        self._event_topic = self.create_subscription(
            ros.interface("vljepa_ros/msg/SceneEvent"),
            "events",
            self._on_event,
            RESULTS,
            event_callbacks=mismatch_events("events", "subscription", self._warn),
        )
        self.active = True
        return result

    def on_deactivate(self, state: Any) -> Any:
        """Stop remembering; what was seen goes to the disk."""
        self._pause()
        return super().on_deactivate(state)

    def on_cleanup(self, state: Any) -> Any:
        """Close the store."""
        self.release()
        return super().on_cleanup(state)

    def on_shutdown(self, state: Any) -> Any:
        """Close the store."""
        self.release()
        return super().on_shutdown(state)

    def on_error(self, state: Any) -> Any:
        """Close the store and go back to unconfigured, so that it can be tried again."""
        self.release()
        self.why = self.why or "a transition failed; the log has the reason"
        return Return.SUCCESS

    def destroy_node(self) -> Any:
        """Close the store, then the node."""
        self.release()
        return super().destroy_node()

    def release(self) -> None:
        """Write what is pending, end the threads, close the store, in whatever state."""
        self._pause()
        if self._worker is not None:
            self._worker.stop()
            self._worker = None
        if self._texts is not None:
            self._texts.close()
            self._texts = None
        if self.memory is not None and not self.memory.close():
            left = self.memory.status().pending
            self.get_logger().error(f"{left} rows of the memory could not be written")
        self.memory, self._inputs = None, {}

    def parts(self) -> Sequence[Part]:
        """State for the diagnostics."""
        if self.memory is None:
            return [Part("memory", ERROR if self.why else WARN, self.why or "not configured")]
        status = self.memory.status()
        values = {
            "location": self.settings.location,
            "model_id": self.memory.settings.model_id,
            "written": status.written,
            "pending": status.pending,
            "dropped": status.dropped,
        }
        problem = status.problem or self._problem
        if problem:
            memory = Part("memory", ERROR, problem, values)
        elif not self.active:
            memory = Part("memory", WARN, "open, not active", values)
        else:
            memory = Part("memory", OK, "remembers", values)
        return [memory, *(camera.part() for camera in self._inputs.values())]

    def _pause(self) -> None:
        if not self.active:
            return
        self.active = False
        for camera in self._inputs.values():
            camera.stop()
        if self._event_topic is not None:
            self.destroy_subscription(self._event_topic)
            self._event_topic = None
        if self._pose is not None:
            self._pose.close()
            self._pose = None
        self._step()
        for camera in self._inputs.values():
            self._remember(camera.recorder.finish())

    def _step(self) -> float | None:
        for camera in list(self._inputs.values()):
            self._remember(camera.take())
        return None

    def _remember(self, rows: Sequence[Any]) -> None:
        for row in rows:
            wrong = self.memory.remember(row) if self.memory is not None else None
            if wrong:
                self._warn(f"a row of camera '{row.camera}' is not kept: {wrong}")

    def _on_event(self, message: Any) -> None:
        camera = self._inputs.get(message.camera)
        if camera is not None and message.reason in (message.FIRST, message.CHANGE):
            camera.event(message)

    async def _find_moments(self, request: Any, response: Any) -> Any:
        response.message = self._refusal()
        if response.message or self._texts is None or self.memory is None or self.model is None:
            return response
        memory, calibration = self.memory, self.model.calibration
        p = self.settings
        try:
            query = query_of(request, gap=p.merge_gap, longest=p.longest_moment)
            check_query(query)
            vector = await self._texts.encode(query.text, p.request_timeout)
            moments = await self._lend(lambda _: memory.find(query, vector, calibration))
        except Exception as error:
            if isinstance(error, _KNOWN):
                response.message = str(error)
            else:
                self.get_logger().error(f"a request failed: {type(error).__name__}: {error}")
                response.message = f"internal error: {type(error).__name__}: {error}"
            return response
        return fill_reply(response, moments)

    async def _lend(self, run: Callable[[Request[T]], T]) -> T:
        """Run something in the worker's thread and await its result."""
        if self._worker is None:
            raise Busy("the node is being shut down")
        return await lend(self, self._worker, run, self.settings.request_timeout)

    def _refusal(self) -> str:
        if self.memory is not None:
            return ""
        name = self.get_fully_qualified_name()
        why = f" ({self.why})" if self.why else ""
        return f"{name} is not configured{why}; try: ros2 lifecycle set {name} configure"

    def _apply(self) -> None:
        for camera in self._inputs.values():
            camera.recorder.settings = self._recording()
        if self.memory is not None:
            self.memory.retention = self._retention()

    def _recording(self) -> RecorderSettings:
        p = self.settings
        return replace(
            RecorderSettings(), sample_interval=p.sample_interval, longest=p.longest_segment
        )

    def _retention(self) -> Retention:
        p = self.settings
        return Retention(
            p.max_age_hours * 3600.0, p.max_sample_age_hours * 3600.0, p.max_megabytes * 1_000_000
        )

    def _checked(self, result: None, error: Exception | None) -> None:
        self._told("" if error is None else str(error))

    def _told(self, problem: str) -> None:
        """In one of the memory's threads: it began to fail, or works again."""
        self._problem = problem
        if problem:
            self.get_logger().error(f"the memory cannot be used: {problem}")

    def _step_failed(self, error: Exception) -> None:
        self.get_logger().error(
            f"the memory goes on after {type(error).__name__}: {error}", throttle_duration_sec=5.0
        )

    def _expire(self) -> None:
        if self._worker is not None:
            self._worker.expire()
        if self._texts is not None:
            self._texts.expire()

    def _wake(self) -> None:
        if self._worker is not None:
            self._worker.wake()

    def _warn(self, text: str) -> None:
        self.get_logger().warning(text, throttle_duration_sec=10.0)

    def _fail(self, why: str) -> Any:
        self.why = why
        self.get_logger().error(f"cannot configure: {why}")
        return Return.FAILURE


def main(args: Sequence[str] | None = None) -> int:
    """Run the node until Ctrl-C; the exit code."""

    def make() -> list[Any]:
        node = MemoryNode()
        node.autostart()
        return [node]

    return int(ros.run(make, list(sys.argv if args is None else args)))


if __name__ == "__main__":
    sys.exit(main())
