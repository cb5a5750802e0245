"""The rooms of the house: who may import whom, read from the source."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import vljepa_ros

PACKAGE = Path(vljepa_ros.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

# A room may import the rooms named here, itself, and files at the top of the package.
ALLOWED = {
    "models": set(),
    "ros": set(),
    "world": set(),
    "engines": {"models"},
    "perception": {"engines", "models"},
    "training": {"engines", "models", "world"},
    "nodes": {"perception", "engines", "models", "ros", "world"},
    "evaluation": {"perception", "engines", "models", "ros", "world", "training"},
    "cli": {
        "models",
        "ros",
        "world",
        "engines",
        "perception",
        "training",
        "nodes",
        "evaluation",
    },
}


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:
                package = path.relative_to(PACKAGE.parent).parts[: -node.level]
                module = ".".join([*package, module]).rstrip(".")
            found.add(module)
            found |= {f"{module}.{alias.name}" for alias in node.names}
    return found


def room(path: Path) -> str:
    parts = path.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else ""


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_one_way(path: Path) -> None:
    here = room(path)
    if not here:
        return
    rooms = {name.split(".")[1] for name in imports(path) if name.startswith("vljepa_ros.")}
    forbidden = (rooms & set(ALLOWED)) - ALLOWED[here] - {here}
    assert not forbidden, f"{path} in room '{here}' imports {sorted(forbidden)}"


def test_only_ros_imports_rclpy() -> None:
    names = ("rclpy", "launch_ros", "rosidl_runtime_py", "cyclonedds")
    guilty = [
        str(path.relative_to(PACKAGE))
        for path in FILES
        if room(path) != "ros" and any(name.split(".")[0] in names for name in imports(path))
    ]
    assert guilty == []


def test_default_path_needs_no_heavy_package() -> None:
    """Nodes and the loaded nano model, in a process of its own: no torch, no transformers."""
    code = (
        "import sys, numpy as np\n"
        "from vljepa_ros.nodes import camera_node, perception_node, selective_decoder_node\n"
        "from vljepa_ros.engines.load import load_engine\n"
        "from vljepa_ros.engines.protocol import Clip\n"
        "from vljepa_ros.resources import model_dir\n"
        "engine = load_engine(model_dir('nano'))\n"
        "c = engine.config\n"
        "frames = np.zeros((c.clip_frames, c.input_size, c.input_size, 3), np.uint8)\n"
        "clip = engine.encode([Clip(frames, tuple(range(c.clip_frames)))], [None])[0]\n"
        "engine.generate(engine.embed([clip.tokens], c.default_query))\n"
        "engine.encode_text(['the door opens'])\n"
        "heavy = {'torch', 'transformers', 'tensorrt', 'mujoco', 'lancedb', 'sklearn'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
