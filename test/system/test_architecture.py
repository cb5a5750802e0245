"""The rooms of the house, read from the source: who may import whom, and how large they are."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from array_shapes import array_functions, array_types
from code_size import (
    LAB,
    ROBOT,
    ROOT,
    code_lines,
    imported,
    lab_files,
    module_name,
    node_closure,
    robot_files,
    total,
)

FILES = sorted([*ROBOT.rglob("*.py"), *LAB.rglob("*.py")])
MODULES = {module_name(path): path for path in FILES}

# A room may import the rooms named here, itself, and files at the top of its package.
ALLOWED = {
    "vljepa_ros.models": set(),
    "vljepa_ros.ros": set(),
    "vljepa_ros.engines": {"models"},
    "vljepa_ros.perception": {"engines", "models"},
    "vljepa_ros.console": set(),
    "vljepa_ros.nodes": {"console", "perception", "engines", "models", "ros"},
    "vljepa_ros.cli": {"nodes", "perception", "engines", "models", "ros"},
}
LAB_ALLOWED = {
    "vljepa_lab.world": set(),
    "vljepa_lab.convert": set(),
    "vljepa_lab.training": {"world", "convert"},
    "vljepa_lab.evaluation": {"world", "training", "convert"},
    "vljepa_lab.compare": {"world", "training", "evaluation", "bench"},
    "vljepa_lab.bench": {"world", "convert", "evaluation"},
    "vljepa_lab.cli": {"world", "training", "evaluation", "bench", "convert"},
}
# `source:=world` renders the simulated world where the lab is installed, and says so elsewhere.
LAZY_LAB = {ROBOT / "perception" / "image_source.py"}

# Lines without docstrings, comments and blank lines.
MOST_ROBOT, MOST_LAB, MOST_LOADED, MOST_FILE = 23_510, 15_300, 10_430, 450
SMALL, MOST_SMALL_FILES = 60, 39  # `__init__.py` counted
MOST_ANY = 292  # in signatures
MOST_INNER_IMPORTS = 161


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def rooms(path: Path, package: str) -> set[str]:
    prefix = f"{package}."
    return {name.split(".")[1] for name in imported(path, eager=False) if name.startswith(prefix)}


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_point_one_way(path: Path) -> None:
    package, _, rest = module_name(path).partition(".")
    room = f"{package}.{rest.split('.')[0]}"
    allowed = {**ALLOWED, **LAB_ALLOWED}
    if room not in allowed:
        return
    known = {name.split(".")[1] for name in allowed if name.startswith(f"{package}.")}
    forbidden = (rooms(path, package) & known) - allowed[room] - {room.split(".")[1]}
    assert not forbidden, f"{path} in room '{room}' imports {sorted(forbidden)}"


def test_the_runtime_never_imports_the_lab() -> None:
    for path in ROBOT.rglob("*.py"):
        eager = path not in LAZY_LAB
        lab = {name for name in imported(path, eager=False) if name.startswith("vljepa_lab")}
        assert not lab or (not eager and not any("vljepa_lab" in n for n in imported(path))), path


def test_only_ros_imports_rclpy() -> None:
    names = ("rclpy", "launch_ros", "rosidl_runtime_py", "cyclonedds")
    guilty = [
        name_of(path)
        for path in FILES
        if ROBOT / "ros" not in path.parents
        and any(name.split(".")[0] in names for name in imported(path, eager=False))
    ]
    assert guilty == []


def circles() -> Iterator[list[str]]:
    """Strongly connected groups of modules (Tarjan), lazy and type-only imports included."""
    arrows = {
        name: [other for other in imported(path, eager=False) & MODULES.keys() if other != name]
        for name, path in MODULES.items()
    }
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []

    def visit(name: str) -> Iterator[list[str]]:
        order[name] = low[name] = len(order)
        stack.append(name)
        for other in arrows[name]:
            if other not in order:
                yield from visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], order[other])
        if low[name] == order[name]:
            group = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(group) > 1:
                yield sorted(group)

    for name in arrows:
        if name not in order:
            yield from visit(name)


def test_no_import_circle() -> None:
    assert list(circles()) == []


def test_modules_are_imported_at_the_top() -> None:
    """Inside functions only what is heavy or optional."""
    inner = {
        (path, node.lineno)
        for path in FILES
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
        if (isinstance(node, ast.ImportFrom) and (node.module or "").startswith("vljepa_"))
        or (isinstance(node, ast.Import) and node.names[0].name.startswith("vljepa_"))
    }
    assert len(inner) <= MOST_INNER_IMPORTS


def test_what_colcon_tests_can_be_imported_on_a_robot() -> None:
    """launch_testing's plugin imports test modules; a skip meanwhile loses the whole folder."""
    tests = [path for room in ("nodes", "system") for path in (ROOT / "test" / room).glob("*.py")]
    assert tests
    skips = [
        f"{path}:{line.lineno}"
        for path in tests
        for line in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(line, ast.Expr | ast.Assign)
        and isinstance(line.value, ast.Call)
        and ast.unparse(line.value.func) in ("pytest.importorskip", "pytest.skip")
    ]
    assert skips == []


def test_sizes() -> None:
    assert total(robot_files()) <= MOST_ROBOT
    assert total(lab_files()) <= MOST_LAB
    assert total(node_closure()) <= MOST_LOADED
    raw = {path: path.read_text(encoding="utf-8").count("\n") for path in FILES}
    assert {name_of(path) for path in raw if raw[path] > MOST_FILE} == set()
    small = [p for p in FILES if raw[p] < SMALL]
    assert len(small) <= MOST_SMALL_FILES, [(name_of(p), code_lines(p)) for p in small]


def test_public_array_functions_give_shapes() -> None:
    arrays = array_types(FILES)
    missing = [
        f"{name_of(path)}:{line} {name}"
        for path in FILES
        for name, line, given in array_functions(path, arrays)
        if not given
    ]
    assert missing == []


def test_signatures_say_any_seldom() -> None:
    found = 0
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                given = (arg.annotation for arg in ast.walk(node.args) if isinstance(arg, ast.arg))
                types = [kind for kind in (*given, node.returns) if kind is not None]
                names = (part for kind in types for part in ast.walk(kind))
                found += sum(isinstance(name, ast.Name) and name.id == "Any" for name in names)
    assert found <= MOST_ANY


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
