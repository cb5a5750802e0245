"""The memory node: embeddings and events in, rows on the disk; find_moments finds them by text."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

from vljepa_ros import ros
from vljepa_ros.models.config import ModelConfig, ModelError
from vljepa_ros.models.folder import load_config
from vljepa_ros.nodes.diagnostics import ERROR, OK, WARN, Part
from vljepa_ros.nodes.memory_input import MemoryCameraParameters, MemoryInput
from vljepa_ros.nodes.memory_parameters import MemoryParameters
from vljepa_ros.nodes.memory_reply import fill_reply, query_of
from vljepa_ros.nodes.parameters import Declared
from vljepa_ros.nodes.pose_input import TF, PoseInput, TfPoseInput, pose_interface
from vljepa_ros.nodes.qos import RESULTS, mismatch_events
from vljepa_ros.nodes.text_encoder_client import TextEncoderClient, TextEncoderError
from vljepa_ros.nodes.worker_node import WorkerNode, run_node
from vljepa_ros.perception.memory.episodic import EpisodicMemory, MemorySettings
from vljepa_ros.perception.memory.failure import MemoryStoreError, QueryError
from vljepa_ros.perception.memory.retention import Retention
from vljepa_ros.perception.memory.search import check_query
from vljepa_ros.perception.memory.segments import RecorderSettings, SegmentRecorder
from vljepa_ros.perception.worker import Request
from vljepa_ros.resources import model_dir


class MemoryNode(WorkerNode):
    """Options go to the ROS node."""

    subject = "memory"
    known = (*WorkerNode.known, MemoryStoreError, ModelError, QueryError, TextEncoderError)

    def __init__(self, **options: Any) -> None:
        self.memory: EpisodicMemory | None = None
        self.model: ModelConfig | None = None
        self._problem = ""
        self._texts: TextEncoderClient | None = None
        self._inputs: dict[str, MemoryInput] = {}
        self._taking = threading.Lock()
        self._pose: PoseInput | TfPoseInput | None = None
        self._event_topic: Any = None
        self._camera_parameters: dict[str, Declared[MemoryCameraParameters]] = {}
        super().__init__("memory_node", MemoryParameters, **options)
        self.serve("FindMoments", "find_moments", self._find_moments)

    @property
    def settings(self) -> MemoryParameters:
        """The parameters, as they are now."""
        value = self.main.value
        assert isinstance(value, MemoryParameters)
        return value

    def declare_more(self) -> None:
        """Declare the parameters of each camera."""
        for name in self.cameras:
            self._camera_parameters[name] = Declared(self, MemoryCameraParameters, f"{name}.")
        self.declared += self._camera_parameters.values()

    def apply(self) -> None:
        """Take over parameters that have changed."""
        for camera in self._inputs.values():
            camera.recorder.settings = self._recording()
        if self.memory is not None:
            self.memory.retention = self._retention()

    def open(self) -> None:
        """Check the model's configuration; the store is opened in the background."""
        if find_spec("lancedb") is None:
            raise MemoryStoreError("the memory needs LanceDB: pip install 'vljepa_ros[memory]'")
        p = self.settings
        poses = pose_interface(p.pose_type)
        if (p.pose_topic or p.pose_type == TF) and ros.find_interface(poses) is None:
            raise MemoryStoreError(
                f"pose_type '{p.pose_type}' needs the package of {poses}, which is not installed"
            )
        model = load_config(model_dir(p.model))
        self._problem = ""
        settings = MemorySettings(
            p.location,
            model.model_id,
            model.dim,
            batch_rows=p.batch_rows,
            batch_seconds=p.batch_seconds,
            upkeep_period=p.upkeep_period,
            retention=self._retention(),
        )
        self.model, self.memory = model, EpisodicMemory(settings, self._told)
        self._texts = TextEncoderClient(self, "encode_text")
        self._inputs = {
            name: MemoryInput(
                self,
                name,
                model,
                self._camera_parameters[name].value,
                SegmentRecorder(name, self._recording()),
                p.thumbnail,
                self.wake_worker,
            )
            for name in self.cameras
        }

    def ready(self) -> None:
        """Look whether the store can be used."""
        assert self.worker is not None
        assert self.memory is not None
        memory = self.memory
        self.worker.submit(Request(lambda _: memory.check(), self._checked, 60.0))

    def start(self) -> None:
        """Begin to remember."""
        p = self.settings
        if p.pose_type == TF:
            self._pose = TfPoseInput(self, p.pose_frame, p.base_frame)
        elif p.pose_topic:
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
            event_callbacks=mismatch_events("events", "subscription", self.warn),
        )

    def stop(self) -> None:
        """Stop remembering; what was seen goes to the disk."""
        for camera in self._inputs.values():
            camera.stop()
        self.destroy_subscription(self._event_topic)
        self._event_topic = None
        if self._pose is not None:
            self._pose.close()
            self._pose = None
        self.step()
        with self._taking:
            for camera in self._inputs.values():
                self._remember(camera.recorder.finish())

    def close(self) -> None:
        """Write what is pending, end the threads, close the store."""
        if self._texts is not None:
            self._texts.close()
            self._texts = None
        if self.memory is not None and not self.memory.close():
            left = self.memory.status().pending
            self.get_logger().error(f"{left} rows of the memory could not be written")
        self.memory, self._inputs = None, {}

    def step(self) -> float | None:
        """Remember what has come; in the worker's thread, and at the end in the executor's."""
        with self._taking:
            for camera in self._inputs.values():
                self._remember(camera.take())
        return None

    def expire(self) -> None:
        """Answer requests whose time is over."""
        super().expire()
        if self._texts is not None:
            self._texts.expire()

    def parts(self) -> Sequence[Part]:
        """State for the diagnostics."""
        if self.memory is None:
            return []
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

    def _remember(self, rows: Sequence[Any]) -> None:
        for row in rows:
            wrong = self.memory.remember(row) if self.memory is not None else None
            if wrong:
                self.warn(f"a row of camera '{row.camera}' is not kept: {wrong}")

    def _on_event(self, message: Any) -> None:
        camera = self._inputs.get(message.camera)
        if camera is not None and message.reason in (message.FIRST, message.CHANGE):
            camera.event(message)

    async def _find_moments(self, request: Any, response: Any) -> Any:
        response.message = self.refusal(active=False)
        if response.message or self._texts is None or self.memory is None or self.model is None:
            return response
        memory, model_id, calibration = self.memory, self.model.model_id, self.model.calibration
        p = self.settings
        try:
            query = query_of(request, gap=p.merge_gap, longest=p.longest_moment)
            check_query(query)
            vector = await self._texts.encode(query.text, p.request_timeout, model_id)
            moments = await self.lend(lambda _: memory.find(query, vector, calibration))
        except Exception as error:
            response.message = self.explain(error)
            return response
        return fill_reply(response, moments)

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


def main(args: Sequence[str] | None = None) -> int:
    """Run the node until Ctrl-C; the exit code."""
    return run_node(MemoryNode, sys.argv if args is None else args)


if __name__ == "__main__":
    sys.exit(main())
