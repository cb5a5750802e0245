"""A robot's nodes for the campaign: each a process of its own, started again when it dies.

With rclpy the launch file starts them, as on a robot; on the built-in runtime this file does the
same. Which of the two is `ros.RUNTIME`.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
import yaml

from vljepa_ros import ros
from vljepa_ros.cli.bringup import BringupConfig, commands
from vljepa_ros.resources import share_dir

RESPAWN_S = 0.5  # as in the launch file
NODES = (
    "camera_node",
    "perception_node",
    "selective_decoder_node",
    "trigger_node",
    "memory_node",
    "overlay_node",
    "console_node",
)
Parameters = Mapping[str, Mapping[str, object]]  # node (`*`: all) -> name -> value


class Robot:
    """Nodes from entering the context until it is left.

    Args:
        folder: Gets their logs, their state and the memory.
        parameters: Beside those that a campaign needs: nano, a memory in `folder`, a free port.
        nodes: Which are started.
        cameras: Name -> image topic.
        respawn: Whether a node that ends is started again, after RESPAWN_S.

    Attributes:
        exits: Of nodes that ended though nothing here killed them: name and exit code.
    """

    def __init__(
        self,
        folder: Path,
        parameters: Parameters | None = None,
        nodes: Sequence[str] = NODES,
        cameras: Mapping[str, str] | None = None,
        respawn: bool = True,
    ) -> None:
        self.folder, self.nodes, self.respawn = folder, tuple(nodes), respawn
        self.cameras = dict(cameras or {"front": "image"})
        self.port = _free_port()
        self.memory = folder / "memory"
        self.exits: list[tuple[str, int]] = []
        self._killed: set[int] = set()
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / "parameters.yaml"
        self._file.write_text(yaml.safe_dump(self._sections(parameters or {})), encoding="utf-8")
        self._environment = {**os.environ, "ROS_HOME": str(folder / "ros_home")}
        self._native = ros.RUNTIME == "rclpy" and shutil.which("ros2") is not None
        self._commands: dict[str, Sequence[str]] = {}
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._due: dict[str, float] = {}
        self._leaving = threading.Event()

    def __enter__(self) -> Robot:
        # A program started with `&` ignores SIGINT, and so would every node.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if self._native:
            self._commands = {"launch": self._launch_command()}
        else:
            self._commands = self._node_commands()
        for name in self._commands:
            self._start(name)
        self._supervisor = threading.Thread(target=self._supervise, daemon=True)
        self._supervisor.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._leaving.set()
        self._supervisor.join()
        for process in self.processes().values():
            process.resume()
        for running in self._running.values():
            running.send_signal(signal.SIGINT)
        for name, running in self._running.items():
            try:
                code = running.wait(60.0)
            except subprocess.TimeoutExpired:
                os.killpg(running.pid, signal.SIGKILL)
                code = running.wait()
            if code and running.pid not in self._killed:
                self.exits.append((name, code))

    def processes(self) -> dict[str, psutil.Process]:
        """The process of each node that runs now."""
        found = {}
        for running in list(self._running.values()):
            try:
                top = psutil.Process(running.pid)
                for process in [top, *top.children(recursive=True)]:
                    if name := _node_name(process.cmdline()):
                        found[name] = process
            except psutil.Error:  # it has just ended
                continue
        return found

    def started(self, name: str) -> float:
        """When the process of a node was started, as `time.time` has it; 0: there is none."""
        process = self.processes().get(name)
        return float(process.create_time()) if process else 0.0

    def kill(self, name: str) -> None:
        """`kill -9`."""
        process = self.processes()[name]
        self._killed.add(process.pid)
        process.kill()

    def limit(self, name: str, kind: int, value: int) -> None:
        """Set a limit (`resource.RLIMIT_...`) of a node that runs."""
        pid = self.processes()[name].pid
        resource.prlimit(pid, kind, (value, resource.prlimit(pid, kind)[1]))

    def log(self, name: str) -> str:
        """What a node has printed so far; with the launch file, what all have."""
        file = self.folder / ("launch.log" if self._native else f"{name}.log")
        return file.read_text(encoding="utf-8", errors="replace")

    def _sections(self, given: Parameters) -> dict[str, Any]:
        """The parameter file's content."""
        memory = str(self.memory)
        own: dict[str, dict[str, object]] = {
            "*": {},
            "memory_node": {"location": memory},
            "perception_node": {"memory": memory},
            "trigger_node": {"triggers": ["the door is open", "the drawer is open"]},
            "console_node": {"port": self.port},
        }
        for name, values in given.items():
            own[name] = {**own.get(name, {}), **values}
        return {
            "/**" if name == "*" else f"/**/{name}": {"ros__parameters": values}
            for name, values in own.items()
            if values
        }

    def _launch_command(self) -> list[str]:
        flags = {"memory_node": "memory", "overlay_node": "overlay", "console_node": "console"}
        flags |= {"selective_decoder_node": "decoder", "trigger_node": "triggers"}
        cameras = " ".join(f"{name}={topic}" for name, topic in self.cameras.items())
        return [
            *("ros2", "launch", "vljepa_ros", "perception.launch.py", "model:=nano"),
            f"source:={'demo' if 'camera_node' in self.nodes else 'none'}",
            f"cameras:={cameras}",
            f"params_file:={self._file}",
            f"use_respawn:={str(self.respawn).lower()}",
            *(f"{flag}:={str(node in self.nodes).lower()}" for node, flag in flags.items()),
        ]

    def _node_commands(self) -> dict[str, Sequence[str]]:
        config = BringupConfig(
            source="demo" if "camera_node" in self.nodes else "none",
            model="nano",
            cameras=tuple(self.cameras.items()),
            nodes=frozenset(_SHORT[name] for name in self.nodes if name in _SHORT),
            params_files=(self._file,),
        )
        made = {command[3]: command for command in commands(config).values()}
        if "overlay_node" in self.nodes:
            files = share_dir() / "config" / "overlay.yaml", self._file
            first, topic = next(iter(self.cameras.items()))
            made["overlay_node"] = [
                *(sys.executable, "-m", "vljepa_ros.nodes.program", "overlay_node", "--ros-args"),
                *(part for file in files for part in ("--params-file", str(file))),
                *("-p", f"camera:={first}", "-p", f"image_topic:={topic}", "-r", "__ns:=/vljepa"),
            ]
        return made

    def _start(self, name: str) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                self._commands[name],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=True,
            )

    def _supervise(self) -> None:
        """In a thread: start again what has ended; the launch file does it itself."""
        while not self._leaving.wait(0.05):
            now = time.monotonic()
            for name, running in self._running.items():
                code = running.poll()
                if code is None:
                    continue
                if name not in self._due:
                    self._due[name] = now + RESPAWN_S
                    if running.pid not in self._killed:
                        self.exits.append((name, code))
                elif self.respawn and now >= self._due[name] and not self._native:
                    del self._due[name]
                    self._start(name)


_SHORT = {
    "camera_node": "camera",
    "perception_node": "perception",
    "selective_decoder_node": "decoder",
    "trigger_node": "triggers",
    "memory_node": "memory",
    "console_node": "console",
}


def _node_name(line: Sequence[str]) -> str:
    """The node that a command line starts, empty: none."""
    for part in line[1:4] if "--ros-args" in line else ():
        name = part.rsplit("/", 1)[-1]
        if name in NODES:
            return next((p[8:] for p in line if p.startswith("__node:=")), name)
    return ""


def _free_port() -> int:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
