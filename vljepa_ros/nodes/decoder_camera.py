"""The decoder of each camera, its input, and its last published state on the disk."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vljepa_ros import ros
from vljepa_ros.engines.protocol import Engine
from vljepa_ros.models.config import ModelConfig
from vljepa_ros.nodes.diagnostics import OK, Part, checked
from vljepa_ros.nodes.embedding_subscription import EmbeddingSubscription, Inbox
from vljepa_ros.nodes.lifecycle_node import LifecycleNode
from vljepa_ros.nodes.topics import to_seconds
from vljepa_ros.perception.change.anchor_drift import AnchorDrift, AnchorDriftConfig
from vljepa_ros.perception.change.change_prior import ColourGuard, TurnGuard, TurnGuardConfig
from vljepa_ros.perception.decoder_state import CameraState, StateFile
from vljepa_ros.perception.selective_decoder import SelectiveDecoder
from vljepa_ros.resources import kept_by

if TYPE_CHECKING:
    from vljepa_ros.perception.narration import LabelNarrator

AUTO_STATE = "auto"
MAX_GAP_S = 30.0  # a camera at the lowest max_rate is not a broken stream
TURN_TAIL_S = 1.0  # a turn has effects for this long after the clip: the smoothing settles
FRESH_EMBEDDING_S = 1.0  # age up to which an embedding stands for the present
_INBOX_SIZE = 128  # embeddings and labels; a worker that is 13 s late, at 5 Hz, will not catch up


class DecoderCamera:
    """Receives the embeddings of one camera for the worker, and holds its selective decoder.

    Args:
        node: Has the parameters of the decoder.
        camera: Its name.
        engine: Has the Y-Decoder, if there is one; embeddings of other models are refused.

    Attributes:
        newest: The newest message.
        stale: Whether the newest message is too old to describe the present.
        query: The query that the embeddings answer.
        seen: Unix time at which the newest message arrived.
        topic: Its subscription.
        inbox: Messages waiting for the worker, oldest first: embeddings, and labels.
        narrator: Chooses texts among the labels for a model without a Y-Decoder; else None.
    """

    def __init__(self, node: LifecycleNode[Any], camera: str, engine: Engine) -> None:
        self._node = node
        self._config = config = engine.config
        self._span = config.frame_interval * (config.clip_frames - 1)
        self.guard = TurnGuard(self._guarding())
        self.colour = ColourGuard(self._span + node.settings.smoothing)
        self.detector = AnchorDrift(self._detection(), self.guard, self.colour)
        self.narrator: LabelNarrator | None = None
        speak = engine.generate
        if "generate" not in engine.capabilities:
            from vljepa_ros.perception.narration import LabelNarrator

            self.narrator = LabelNarrator()
            speak = self.narrator.generate
        sizes = config.dim, config.visual_dim
        self.decoder = SelectiveDecoder(self.detector, speak, sizes=sizes)
        self._set_least()
        self.newest: Any = None
        self.stale = False
        self.query = ""
        self.seen = 0.0
        self.topic = EmbeddingSubscription(
            node, camera, self._keep, config.model_id, config.dim, "this node decodes"
        )
        self.inbox: Inbox[Any] = Inbox(_INBOX_SIZE)
        self._arrived = 0.0

    def apply(self) -> None:
        """Take over parameters that have changed."""
        self.detector.configure(self._detection())
        self.guard.config = self._guarding()
        self.colour.hold = self._span + self._node.settings.smoothing
        self._set_least()

    def listen(self, on: bool) -> None:
        """Subscribe or unsubscribe: to embeddings, and to labels if texts are chosen from them."""
        if self.topic.listen(on) and self.narrator is not None:
            topic = f"{self.topic.camera}/labels"
            self.topic.subscribe("vljepa_ros/msg/SceneLabels", topic, self._keep_labels)

    @property
    def speaks(self) -> bool:
        """Whether texts can be made; without a Y-Decoder only after the first labels."""
        return self.narrator is None or self.narrator.ready

    @property
    def fresh(self) -> bool:
        """Whether the newest embedding is recent enough to describe the present, and can be."""
        arrived = self.newest is not None and time.monotonic() - self._arrived < FRESH_EMBEDDING_S
        return arrived and self.speaks

    def part(self) -> Part:
        """State for the diagnostics."""
        values = {
            "dropped": self.inbox.dropped,
            "decodes": self.decoder.decodes,
            "drift": self.detector.drift,
            "threshold": self.detector.threshold,
            "colour_switches": self.colour.switches,
            "listening": self.topic.is_open,
            "text": self.decoder.last.text if self.decoder.last else "",
        }
        topic = self._node.resolve_topic_name(f"{self.topic.camera}/labels")
        lacking = "" if self.speaks else f"no labels on '{topic}' yet: no texts"
        return self.topic.part(values, (OK, "no subscribers"), lacking)

    def take_labels(self, message: ros.Message) -> None:
        """Take scores of labels, in the worker's thread; a new vocabulary restarts the detector."""
        assert self.narrator is not None
        groups = {g.prompt: {one.text: one.score for one in g.labels} for g in message.groups}
        stamp, version = to_seconds(message.header.stamp), message.vocabulary_version
        if self.narrator.keep(stamp, version, groups):
            self.detector.reset()

    def watch_colour(self, message: ros.Message) -> None:
        """Pause the detector when the image loses or regains colour; in the worker's thread."""
        if self.colour.observe(to_seconds(message.header.stamp), float(message.saturation)):
            self._node.get_logger().info(
                f"camera '{self.topic.camera}': the image has lost or regained its colour "
                f"(infrared?); changes are not judged for {self.colour.hold:.1f} s"
            )

    def _keep(self, message: ros.Message) -> None:
        self.topic.trouble = ""
        self.newest, self._arrived, self.seen = message, time.monotonic(), time.time()
        if self.inbox.put(message):
            self._node.warn(f"messages of '{self.topic.camera}' are dropped: too slow a decoder")
        self._node.worker.wake()

    def _keep_labels(self, message: ros.Message) -> None:
        if message.model_id == self._config.model_id and any(g.labels for g in message.groups):
            self.inbox.put(message)
            self._node.worker.wake()

    def _set_least(self) -> None:
        """Set the confidence that a text needs."""
        least = float(self._node.settings.min_confidence)
        if least < 0.0:
            least = 0.0 if self.narrator is None else self._config.calibration.abstain_below
        self.decoder.min_confidence = least
        if self.narrator is not None:
            self.narrator.least = least

    def _guarding(self) -> TurnGuardConfig:
        p = self._node.settings
        return TurnGuardConfig(p.turn_rate, p.turn_factor, self._span + TURN_TAIL_S)

    def _detection(self) -> AnchorDriftConfig:
        p = self._node.settings
        names = ("threshold", "release", "smoothing", "settle", "min_gap", "sensitivity")
        chosen = {name: getattr(p, name) for name in names}
        if p.threshold < 0.0:
            chosen["threshold"] = self._config.change_threshold
        return AnchorDriftConfig(**chosen, clip=self._span, max_gap=MAX_GAP_S)


class StateKeeper:
    """Persists the last published state per camera.

    I/O errors become diagnostics, never exceptions. One thread at a time may use it.

    Args:
        node: A ROS node.
        path: Path of the file, or AUTO_STATE: in $ROS_HOME/vljepa_ros, named after the node.
        model: States of another model are discarded.
        cameras: By name.
    """

    def __init__(
        self, node: ros.Node, path: str, model: ModelConfig, cameras: Mapping[str, DecoderCamera]
    ) -> None:
        self._node = node
        self._cameras = cameras
        own = kept_by(node.get_fully_qualified_name(), ".json")
        file = own if path == AUTO_STATE else Path(os.path.expanduser(path))
        self._file = StateFile(file, model.model_id, model.dim)
        self._trouble = ""

    def restore(self, max_age: float) -> None:
        """Restore each camera's last state, if it is at most `max_age` seconds old."""
        states, warning = self._file.read(max_age)
        if warning:
            self._node.get_logger().warning(warning)
        for name, state in states.items():
            camera = self._cameras.get(name)
            if camera is not None:
                camera.decoder.restore(state.last)
                camera.query, camera.seen = state.query, state.seen

    def keep(self, event: bool) -> None:
        """Write the states if that is due; `event`: an event is about to be published."""
        if self._states():
            self._write(lambda: self._file.keep(self._states, event))

    def close(self) -> None:
        """Write the states."""
        if self._states():
            self._write(lambda: self._file.write(self._states()))

    def part(self) -> Part:
        """State for the diagnostics."""
        return checked("state file", self._trouble, "kept", {"path": str(self._file.path)})

    def _states(self) -> dict[str, CameraState]:
        return {
            name: CameraState(camera.query, camera.seen, camera.decoder.last)
            for name, camera in self._cameras.items()
            if camera.decoder.last is not None
        }

    def _write(self, write: Callable[[], None]) -> None:
        try:
            write()
        except OSError as error:
            self._trouble = (
                f"cannot write the published state to '{self._file.path}': {error}; after a "
                "restart the last event will be published again. Set the parameter state_file to a "
                "writable path, or to an empty text"
            )
            self._node.get_logger().warning(self._trouble, throttle_duration_sec=60.0)
        else:
            self._trouble = ""
