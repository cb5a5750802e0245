"""Keeps what a decoder told last on the disk, whatever the disk does."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from vljepa_ros.models.config import ModelConfig
from vljepa_ros.nodes.diagnostics import OK, WARN, Part
from vljepa_ros.nodes.embedding_input import EmbeddingInput
from vljepa_ros.perception.decoder_state import CameraState, StateFile

AUTO_STATE = "auto"


class StateKeeper:
    """Of one node. One thread at a time may use it.

    :param wanted: a path, or AUTO_STATE: in $ROS_HOME/vljepa_ros, named after the node.
    """

    def __init__(
        self,
        node: Any,
        wanted: str,
        model: ModelConfig,
        inputs: Mapping[str, EmbeddingInput],
    ) -> None:
        self._node = node
        self._inputs = inputs
        path = _path_of(node) if wanted == AUTO_STATE else Path(wanted).expanduser()
        self._file = StateFile(path, model.model_id, model.dim)
        self._trouble = ""

    def restore(self, max_age: float) -> None:
        """Let each camera go on where it ended, if that is at most `max_age` seconds ago."""
        states, warning = self._file.read(max_age)
        if warning:
            self._node.get_logger().warning(warning)
        for name, state in states.items():
            camera = self._inputs.get(name)
            if camera is not None:
                camera.decoder.restore(state.last)
                camera.query, camera.seen = state.query, state.seen

    def keep(self, news: bool) -> None:
        """Write if it is time to."""
        if self._states():
            self._do(lambda: self._file.keep(self._states, news))

    def close(self) -> None:
        """Write the state at the end."""
        if self._states():
            self._do(lambda: self._file.write(self._states()))

    def part(self) -> Part:
        """State for the diagnostics."""
        values = {"path": str(self._file.path)}
        if self._trouble:
            return Part("state file", WARN, self._trouble, values)
        return Part("state file", OK, "kept", values)

    def _states(self) -> dict[str, CameraState]:
        return {
            name: CameraState(camera.query, camera.seen, camera.decoder.last)
            for name, camera in self._inputs.items()
            if camera.decoder.last is not None
        }

    def _do(self, write: Callable[[], None]) -> None:
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


def _path_of(node: Any) -> Path:
    home = Path(os.environ.get("ROS_HOME") or "~/.ros").expanduser()
    name = str(node.get_fully_qualified_name()).strip("/").replace("/", ".")
    return home / "vljepa_ros" / f"{name}.json"
