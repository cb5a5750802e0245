from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from vljepa_ros import ros

ROOT = Path(__file__).parents[2]

# Tests without this mark are the contract: they hold on real rclpy, too, wherever it is installed.
builtin_only = pytest.mark.skipif(
    ros.RUNTIME != "builtin", reason="about the built-in runtime, or stricter than rclpy"
)
if ros.RUNTIME != "builtin":  # these import parts of it
    collect_ignore = [
        f"test_{name}.py"
        for name in ("arguments", "cdr", "graph", "logging", "message", "names", "wire")
    ]


class Graph:
    """An initialised context with one executor."""

    def __init__(self, args: list[str]) -> None:
        ros.init(args)
        self.executor = ros.SingleThreadedExecutor()
        self.nodes: list[Any] = []

    def add(self, node: Any) -> Any:
        self.executor.add_node(node)
        self.nodes.append(node)
        return node

    def node(self, name: str, **options: Any) -> Any:
        return self.add(ros.Node(name, **options))

    def until(self, condition: Callable[[], Any], seconds: float = 30.0) -> bool:
        """Spin until `condition` holds; False after `seconds`."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                return False
            self.executor.spin_once(timeout_sec=0.02)
        return True

    def spin(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.executor.spin_once(timeout_sec=0.02)

    def ask(self, node: Any, kind: str, name: str, **fields: Any) -> Any:
        """Response of a service."""
        service = ros.interface(kind)
        client = node.create_client(service, name)
        assert self.until(client.service_is_ready), f"no service {name}"
        future = client.call_async(service.Request(**fields))
        assert self.until(future.done), f"no reply from {name}"
        node.destroy_client(client)
        return future.result()

    def close(self) -> None:
        for node in self.nodes:
            node.destroy_node()
        self.executor.shutdown()
        ros.shutdown()


@pytest.fixture
def make_graph(domain: int) -> Iterator[Callable[..., Graph]]:
    made: list[Graph] = []

    def make(*args: str) -> Graph:
        made.append(Graph(["--ros-args", *args] if args else []))
        return made[-1]

    yield make
    for graph in made:
        graph.close()


@pytest.fixture
def graph(make_graph: Callable[..., Graph]) -> Graph:
    return make_graph()


@pytest.fixture
def program(domain: int, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a Python program in a process of its own, in the same domain (by its environment)."""
    started: list[subprocess.Popen[str]] = []

    def start(source: str, *args: str) -> subprocess.Popen[str]:
        path = tmp_path / f"program_{len(started)}.py"
        path.write_text(source, encoding="utf-8")
        path_before = os.environ.get("PYTHONPATH", "")
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), path_before])),
            "PYTHONUNBUFFERED": "1",
        }
        started.append(
            subprocess.Popen(
                [sys.executable, str(path), *args],
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()
