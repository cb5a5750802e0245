"""The memory node: stores embeddings and events on the disk; find_moments searches them by text."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING

from vljepa_ros import ros
from vljepa_ros.models.config import ModelConfig, ModelError
from vljepa_ros.models.folder import load_config
from vljepa_ros.nodes.diagnostics import ERROR, OK, WARN, Part, checked
from vljepa_ros.nodes.lifecycle_node import LifecycleNode, LifecycleParameters
from vljepa_ros.nodes.memory_input import MemoryCameraParameters, MemoryInput
from vljepa_ros.nodes.parameters import live, read_only
from vljepa_ros.nodes.pose_input import POSE_TYPES, TF, PoseInput, TfPoseInput, pose_interface
from vljepa_ros.nodes.text_encoder_client import TextEncoderClient, TextEncoderError
from vljepa_ros.nodes.topics import LATCHED, Endpoints, to_nanoseconds, to_stamp
from vljepa_ros.perception.memory.episodic import EpisodicMemory, MemorySettings
from vljepa_ros.perception.memory.row import Pose, Row
from vljepa_ros.perception.memory.store import (
    NO_LANCEDB,
    MemoryMissingError,
    MemoryStoreError,
    QueryError,
)
from vljepa_ros.perception.memory.upkeep import Retention
from vljepa_ros.perception.worker import DeadlineError, Request
from vljepa_ros.resources import EVERYDAY, model_dir

if TYPE_CHECKING:
    from vljepa_ros.perception.memory.search import Moment

CHECK_S = 60.0  # after which a store that is being opened is called slow
LOOK_AGAIN_S = 5.0  # after a search that failed because of the store


@dataclass(frozen=True)
class MemoryParameters(LifecycleParameters):
    """Parameters in addition to the common ones and those of each camera."""

    model: str = read_only(
        EVERYDAY,
        "Model of the embeddings, the same as the perception node's: a name that `vljepa models` "
        "lists, a folder, or a hub id.",
    )
    location: str = read_only(
        "~/.vljepa/memory", "Directory of the store, or an object storage address (s3://...)."
    )
    batch_rows: int = read_only(512, "Rows written in one batch, at most.", 1, 4096)
    batch_seconds: float = read_only(
        30.0, "Seconds until rows are written at the latest; a crash loses no more.", 0.1, 3600.0
    )
    upkeep_period: float = read_only(
        600.0, "Seconds between two rounds of deletion and compaction.", 1.0, 86400.0
    )
    pose_topic: str = read_only(
        "",
        "Topic of the robot's pose; empty: no poses are kept, unless pose_type is tf.",
        ros_name=True,
    )
    pose_type: str = read_only(
        "odometry",
        "Kind of the pose topic; tf: from /tf and /tf_static, without a pose topic.",
        choices=(*POSE_TYPES, TF),
    )
    pose_frame: str = read_only("map", "With tf: the frame in which poses are given.")
    base_frame: str = read_only("base_link", "With tf: the robot's frame.")
    thumbnail: int = read_only(
        96,
        "Side of a thumbnail's images in pixels, at most the model's input size; at that size they "
        "can be embedded again.",
        16,
        1024,
    )
    sample_interval: float = live(
        1.0, "Seconds between two samples kept in addition to the segments; 0: none.", 0.0, 3600.0
    )
    longest_segment: float = live(
        60.0, "Seconds after which a segment is written although nothing changed.", 1.0, 86400.0
    )
    max_age_hours: float = live(
        0.0,
        "Age at which rows are deleted, relative to the newest row of their camera; 0: never.",
        0.0,
        1e6,
    )
    max_sample_age_hours: float = live(
        0.0, "Age at which samples are deleted; their segments stay; 0: never.", 0.0, 1e6
    )
    max_megabytes: int = live(
        10000, "Size on the disk above which the oldest rows are deleted; 0: no limit.", 0, 10**9
    )
    merge_gap: float = live(2.0, "Seconds between hits of one moment, at most.", 0.0, 3600.0)
    longest_moment: float = live(120.0, "Longest moment, seconds.", 1.0, 86400.0)


class MemoryNode(LifecycleNode[MemoryParameters]):
    """Stores embeddings and events while active. Options go to the ROS node."""

    subject = "memory"
    codes = LifecycleNode.codes | {
        MemoryStoreError: "UNSUPPORTED",
        ModelError: "UNSUPPORTED",
        QueryError: "BAD_REQUEST",
        TextEncoderError: "NOT_ACTIVE",
    }
    camera_kind = MemoryCameraParameters
    memory: EpisodicMemory
    _model: ModelConfig
    _texts: TextEncoderClient
    _search: Callable[[], object]  # retried while the store cannot be read

    def __init__(self, **options: object) -> None:
        self._unreadable = ""
        self._looked = 0.0
        self._inputs: dict[str, MemoryInput] = {}
        self._taking = threading.Lock()
        self._pose: PoseInput | TfPoseInput | None = None
        super().__init__("memory_node", MemoryParameters, **options)
        self._event_topic = Endpoints(self, self.warn)
        self.serve("FindMoments", "find_moments", self._find_moments)

    def apply(self) -> None:
        """Take over parameters that have changed."""
        for camera in self._inputs.values():
            camera.apply()
        if self.opened:
            self.memory.retention = self._retention()

    def open(self) -> Callable[[], float | None]:
        """Check the model's configuration; the store is opened in the background."""
        if find_spec("lancedb") is None:
            raise MemoryStoreError(NO_LANCEDB)
        p = self.settings
        poses = pose_interface(p.pose_type)
        if (p.pose_topic or p.pose_type == TF) and ros.find_interface(poses) is None:
            raise MemoryStoreError(
                f"pose_type '{p.pose_type}' needs the package of {poses}, which is not installed"
            )
        model = load_config(model_dir(p.model))
        self._unreadable = ""
        settings = MemorySettings(
            p.location,
            model.model_id,
            model.dim,
            batch_rows=p.batch_rows,
            batch_seconds=p.batch_seconds,
            upkeep_period=p.upkeep_period,
            retention=self._retention(),
        )
        self._model, self.memory = model, EpisodicMemory(settings, self._on_problem)
        self._search = self.memory.check
        self._texts = TextEncoderClient(self)
        self._inputs = {name: MemoryInput(self, name, model) for name in self.cameras}
        return self._remember_received

    def ready(self) -> None:
        """Check whether the store can be used; if not, `watch` checks again later."""
        search, self._looked = self._search, time.monotonic()
        self.worker.submit(Request(lambda _: search(), self._on_read, CHECK_S))

    def start(self) -> None:
        """Start to store."""
        p = self.settings
        if p.pose_type == TF:
            self._pose = TfPoseInput(self, p.pose_frame, p.base_frame)
        elif p.pose_topic:
            self._pose = PoseInput(self, p.pose_topic, p.pose_type)
        for camera in self._inputs.values():
            if self._pose is not None:
                camera.pose = self._pose.newest
            camera.start()
        self._event_topic.subscribe("vljepa_ros/msg/SceneEvent", "events", self._on_event)
        for name, camera in self._inputs.items():
            self._event_topic.subscribe(
                "vljepa_ros/msg/SceneEvent", f"{name}/scene", camera.on_scene, LATCHED
            )

    def stop(self) -> None:
        """Stop storing; what was received is still written."""
        for camera in self._inputs.values():
            camera.stop()
        self._event_topic.close()
        if self._pose is not None:
            self._pose.close()
            self._pose = None
        self._remember_received()
        with self._taking:
            for camera in self._inputs.values():
                self._remember(camera.recorder.finish())

    def close(self) -> None:
        """Write pending rows, end the threads, close the store."""
        if (texts := vars(self).pop("_texts", None)) is not None:
            texts.close()
        if (memory := vars(self).pop("memory", None)) is not None and not memory.close():
            left = memory.status().pending
            self.get_logger().error(f"{left} rows of the memory could not be written")
        self._inputs = {}

    def watch(self) -> None:
        """Report embeddings that stop, and check again a store that could not be read."""
        for camera in self._inputs.values():
            camera.topic.watch()
        if self.opened and self._unreadable and time.monotonic() > self._looked + LOOK_AGAIN_S:
            self.ready()

    def parts(self) -> Sequence[Part]:
        """State for the diagnostics."""
        status = self.memory.status()
        values = {
            "location": self.settings.location,
            "model_id": self.memory.settings.model_id,
            "written": status.written,
            "pending": status.pending,
            "dropped": status.dropped,
        }
        problem = status.problem or self._unreadable
        if problem:
            state = ERROR, problem
        elif not self.active:
            state = WARN, "open, not active"
        else:
            state = OK, "remembers"
        parts = [Part("memory", *state, values), *(one.part() for one in self._inputs.values())]
        if self._pose is not None:
            trouble = "" if self._pose.newest() else self._pose.missing
            parts.append(checked("pose", trouble, "kept with each row", {}))
        return parts

    def _remember_received(self) -> float | None:
        """Store what was received; in the worker's thread, at the end in the executor's."""
        with self._taking:
            for camera in self._inputs.values():
                self._remember(camera.take())
        return None

    def _remember(self, rows: Sequence[Row]) -> None:
        for row in rows:
            wrong = self.memory.remember(row)
            if wrong:
                self.warn(f"a row of camera '{row.camera}' is not stored: {wrong}")

    def _on_event(self, message: ros.Message) -> None:
        camera = self._inputs.get(message.camera)
        if camera is not None and message.reason != message.HEARTBEAT:
            camera.on_event(message)

    async def _find_moments(self, request: ros.Message, response: ros.Message) -> None:
        from vljepa_ros.perception.memory.search import MomentQuery, check_query

        memory, model, p = self.memory, self._model, self.settings
        query = MomentQuery(
            text=str(request.text),
            cameras=tuple(request.cameras),
            start=to_nanoseconds(request.start) or None,
            end=to_nanoseconds(request.end) or None,
            limit=int(request.limit),
            min_score=float(request.min_score),
            gap=round(p.merge_gap * 1e9),
            longest=round(p.longest_moment * 1e9),
        )
        like, kept = str(request.like_camera), bool(request.thumbnails)
        by_moment = bool(like) and not query.text
        check_query(query, by_moment)
        search: Callable[[], list[Moment]]
        if by_moment:
            stamp = to_nanoseconds(request.like_stamp)
            search = partial(memory.find_like, query, like, stamp, thumbnails=kept)
        else:
            text = await self._texts.encode(query.text, p.request_timeout, model.model_id)
            found, calibration = text.vector, text.calibration
            search = partial(memory.find, query, found, calibration, thumbnails=kept)
        try:
            moments = await self.run_in_worker(lambda _: search())
        except MemoryStoreError as error:
            self._search = search
            self._on_read(None, error)
            raise
        self._on_read(None, None)
        response.model_id = model.model_id
        response.moments = [moment_message(moment) for moment in moments]

    def _retention(self) -> Retention:
        p = self.settings
        return Retention(
            p.max_age_hours * 3600.0, p.max_sample_age_hours * 3600.0, p.max_megabytes * 1_000_000
        )

    def _on_read(self, _: object, error: Exception | None) -> None:
        """Note whether the store could be read; a timeout is no error. In the worker's thread."""
        if isinstance(error, DeadlineError):
            self.warn(f"the memory is slow: {error}")
        elif not isinstance(error, MemoryMissingError):  # there is none before the first row
            self._unreadable = str(error or "")
            if error:
                self.warn(f"the memory cannot be used: {error}")

    def _on_problem(self, problem: str) -> None:
        """Note that writing or upkeep fails or works again; in one of the memory's threads."""
        self._unreadable = self._unreadable if problem else ""
        if problem:
            self.get_logger().error(f"the memory cannot be used: {problem}")


def moment_message(moment: Moment) -> ros.Message:
    """Convert a moment to msg/Moment; its thumbnail is empty unless one was read."""
    message = ros.interface("vljepa_ros/msg/Moment")(
        camera=moment.camera,
        start=to_stamp(moment.start),
        end=to_stamp(moment.end),
        score=moment.score,
        text=moment.text,
        source=moment.source,
        localised=moment.pose is not None,
    )
    message.header.stamp = message.pose.header.stamp = to_stamp(moment.stamp)
    message.pose.pose = pose_message(moment.pose)
    if moment.pose is not None:
        message.pose.header.frame_id = moment.pose.frame_id
    if moment.thumbnail:
        message.thumbnail.header = message.header
        message.thumbnail.format, message.thumbnail.data = "jpeg", moment.thumbnail
    return message


def pose_message(pose: Pose | None) -> ros.Message:
    """Convert a pose to geometry_msgs/Pose; its position is NaN if there is no pose."""
    message = ros.interface("geometry_msgs/msg/Pose")()
    p, q = message.position, message.orientation
    if pose is None:
        p.x = p.y = p.z = math.nan
    else:
        p.x, p.y, p.z = pose.position
        q.x, q.y, q.z, q.w = pose.orientation
    return message
