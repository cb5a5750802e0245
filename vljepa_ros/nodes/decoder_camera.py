"""What the selective decoder keeps of each camera, in memory and on the disk."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.models.config import ModelConfig
from vljepa_ros.nodes.diagnostics import OK, WARN, Part
from vljepa_ros.nodes.embedding_subscription import EmbeddingSubscription, Inbox
from vljepa_ros.perception.change.anchor_drift import AnchorDrift
from vljepa_ros.perception.decoder_state import CameraState, StateFile
from vljepa_ros.perception.selective_decoder import SelectiveDecoder

AUTO_STATE = "auto"
FRESH_EMBEDDING_S = 1.0  # age up to which an embedding stands for the present
_INBOX_SIZE = 64  # embeddings; a worker that is later than that, 13 s at 5 Hz, will not catch up


class DecoderCamera:
    """One camera: keeps the embeddings that the worker has not yet taken, and its decoder.

    Args:
        node: A ROS node.
        camera: Its name.
        model_id: Embeddings of another model are refused.
        detector: Says when the state has changed.
        decoder: Turns embeddings into text, with this detector.
        on_embedding: Called for each embedding that is kept.

    Attributes:
        newest: The newest message.
        query: The query that embeddings answer.
        seen: Unix time at which the newest message came.
        topic: Its subscription.
    """

    def __init__(
        self,
        node: Any,
        camera: str,
        model_id: str,
        detector: AnchorDrift,
        decoder: SelectiveDecoder,
        on_embedding: Callable[[], None],
    ) -> None:
        self.detector = detector
        self.decoder = decoder
        self.newest: Any = None
        self.query = ""
        self.seen = 0.0
        self.topic = EmbeddingSubscription(node, camera, self._keep, model_id, "this node decodes")
        self._on_embedding = on_embedding
        self._inbox: Inbox[Any] = Inbox(_INBOX_SIZE)
        self._arrived = 0.0

    @property
    def fresh(self) -> bool:
        """Whether the newest embedding stands for the present."""
        return self.newest is not None and time.monotonic() - self._arrived < FRESH_EMBEDDING_S

    def take(self) -> tuple[Any, NDArray[np.float32]] | None:
        """The oldest embedding that waits: its message and vector [D] float32."""
        message = self._inbox.take()
        return None if message is None else (message, np.array(message.vector, np.float32))

    def part(self) -> Part:
        """State for the diagnostics."""
        values = {
            "received": self.topic.received,
            "dropped": self._inbox.dropped,
            "refused": self.detector.refused,
            "decodes": self.decoder.decodes,
            "drift": self.detector.drift,
            "threshold": self.detector.threshold,
            "listening": self.topic.listening,
            "text": self.decoder.last.text if self.decoder.last else "",
        }
        return self.topic.part(values, (OK, "nobody listens"))

    def _keep(self, message: Any) -> None:
        self.topic.trouble = ""
        self.newest, self._arrived, self.seen = message, time.monotonic(), time.time()
        self._inbox.put(message)
        self._on_embedding()


class StateKeeper:
    """Persists the last published state per camera.

    I/O errors become diagnostics, never exceptions. One thread at a time may use it.

    Args:
        node: A ROS node.
        path: Of the file, or AUTO_STATE: in $ROS_HOME/vljepa_ros, named after the node.
        model: States of another model are discarded.
        cameras: By name.
    """

    def __init__(
        self, node: Any, path: str, model: ModelConfig, cameras: Mapping[str, DecoderCamera]
    ) -> None:
        self._node = node
        self._cameras = cameras
        file = _automatic_path(node) if path == AUTO_STATE else Path(path).expanduser()
        self._file = StateFile(file, model.model_id, model.dim)
        self._trouble = ""

    def restore(self, max_age: float) -> None:
        """Let each camera go on where it ended, if that is at most `max_age` seconds ago."""
        states, warning = self._file.read(max_age)
        if warning:
            self._node.get_logger().warning(warning)
        for name, state in states.items():
            camera = self._cameras.get(name)
            if camera is not None:
                camera.decoder.restore(state.last)
                camera.query, camera.seen = state.query, state.seen

    def keep(self, event: bool) -> None:
        """Write if it is time to; `event`: something was published as an event."""
        if self._states():
            self._write(lambda: self._file.keep(self._states, event))

    def close(self) -> None:
        """Write the state at the end."""
        if self._states():
            self._write(lambda: self._file.write(self._states()))

    def part(self) -> Part:
        """State for the diagnostics."""
        level, message = (WARN, self._trouble) if self._trouble else (OK, "kept")
        return Part("state file", level, message, {"path": str(self._file.path)})

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
                f"cannot keep what was told in '{self._file.path}': {error}; after a restart the "
                "last event will be told again. Set the parameter state_file to a place that can "
                "be written, or to an empty text"
            )
            self._node.get_logger().warning(self._trouble, throttle_duration_sec=60.0)
        else:
            self._trouble = ""


def _automatic_path(node: Any) -> Path:
    home = Path(os.environ.get("ROS_HOME") or "~/.ros").expanduser()
    name = str(node.get_fully_qualified_name()).strip("/").replace("/", ".")
    return home / "vljepa_ros" / f"{name}.json"
