"""Starts the nodes of `vljepa up`, all in one process or each in its own.

With ROS the launch file does the same, with the same files in `config/`.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from vljepa_ros import ros
from vljepa_ros.allocator import share_heap
from vljepa_ros.nodes.lifecycle_node import NAMESPACE
from vljepa_ros.nodes.program import make_node
from vljepa_ros.resources import share_dir

# Name of a node: its module and parameter file.
_TABLE = {
    "camera": ("camera_node", "camera.yaml"),
    "console": ("console_node", "console.yaml"),
    "decoder": ("selective_decoder_node", "selective_decoder.yaml"),
    "memory": ("memory_node", "memory.yaml"),
    "perception": ("perception_node", "perception.yaml"),
    "triggers": ("trigger_node", "triggers.yaml"),
}
NODES = tuple(_TABLE)


@dataclass(frozen=True)
class BringupConfig:
    """Which nodes to start, and with which parameters.

    Attributes:
        source: See `config/camera.yaml`; none: no camera node, other nodes publish the images.
        model: Model; empty: as in the parameter files.
        engine: Engine; empty: as in the parameter files.
        cameras: (name, image topic); no topic: the camera node's for the first camera, if there is
            one, else as in the parameter files. None at all: as in the parameter files.
        triggers: Texts to watch for, as the trigger node's parameter; none: as in the parameter
            files.
        nodes: Names from NODES.
        namespace: The robot's namespace; the nodes are in `vljepa` inside it.
        params_files: Parameter files, read after those of the package.
        parameters: NAME:=VALUE, values in YAML.
        log_level: Log level of all nodes.
    """

    source: str = "demo"
    model: str = ""
    engine: str = ""
    cameras: tuple[tuple[str, str], ...] = ()
    triggers: tuple[str, ...] = ()
    nodes: frozenset[str] = frozenset(NODES) - {"console", "memory"}
    namespace: str = ""
    params_files: tuple[Path, ...] = ()
    parameters: tuple[str, ...] = ()
    log_level: str = "info"

    @property
    def started(self) -> tuple[str, ...]:
        """The nodes to start, in order."""
        return tuple(
            name
            for name in NODES
            if name in self.nodes and (name != "camera" or self.source != "none")
        )


def ros_arguments(config: BringupConfig) -> list[str]:
    """The configuration as `--ros-args ...`; later arguments take precedence."""
    arguments = ["--ros-args"]
    folder = share_dir() / "config"
    for file in (*(folder / file for _, file in _TABLE.values()), *config.params_files):
        arguments += ["--params-file", str(file)]
    names = [name for name, _ in config.cameras]
    given: dict[str, object] = {
        "model": config.model,
        "engine": config.engine,
        "cameras": names,
        # Not `trigger_node:triggers`: rcl does not match that to a node in a namespace.
        "triggers": list(config.triggers),
    }
    values = {name: value for name, value in given.items() if value}
    if config.source != "none":
        values |= {
            "source": config.source,
            f"{names[0] if names else 'front'}.image_topic": "image",
        }
    values |= {f"{name}.image_topic": topic for name, topic in config.cameras if topic}
    for name, value in values.items():
        # Quoted: what YAML would read as a number, and characters that no plain text may have.
        text = yaml.safe_dump(
            value, default_style='"', default_flow_style=True, allow_unicode=True, width=math.inf
        )
        arguments += ["-p", f"{name}:={text.strip()}"]
    for parameter in config.parameters:
        arguments += ["-p", parameter]
    space = "/".join(filter(None, [config.namespace.strip("/"), NAMESPACE]))
    return [*arguments, "-r", f"__ns:=/{space}", "--log-level", config.log_level]


def make_nodes(config: BringupConfig) -> list[object]:
    """Create the nodes in a process that was initialised with `ros_arguments`."""
    return [make_node(_TABLE[name][0]) for name in config.started]


def run(config: BringupConfig) -> int:
    """Run all nodes in this process until Ctrl-C; returns the exit code."""
    if "memory" in config.started:
        share_heap()
    return int(ros.run(lambda: make_nodes(config), ["vljepa", *ros_arguments(config)]))


def commands(config: BringupConfig) -> dict[str, Sequence[str]]:
    """Command line of each node, by name, for a process of its own."""
    return {
        name: [
            sys.executable,
            "-m",
            "vljepa_ros.nodes.program",
            _TABLE[name][0],
            *ros_arguments(config),
        ]
        for name in config.started
    }
