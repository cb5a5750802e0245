"""No node of ours takes a name that the runtime's own node class uses for something else."""

from __future__ import annotations

import ast
from pathlib import Path

from graph import Graph

import vljepa_ros.nodes
from vljepa_ros import ros

OVERRIDDEN = {
    "on_configure",
    "on_activate",
    "on_deactivate",
    "on_cleanup",
    "on_shutdown",
    "on_error",
    "destroy_node",
    "__init__",
}
FOLDER = Path(vljepa_ros.nodes.__file__).parent


def taken(graph: Graph) -> set[str]:
    node = graph.add(lambda **_: ros.LifecycleNode("names"))
    return set(dir(node)) | set(vars(node))


def own(path: Path) -> set[str]:
    """What node classes of a file assign to self, and their methods."""
    found = set()
    for kind in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(kind, ast.ClassDef) or not kind.name.endswith("Node"):
            continue
        for node in ast.walk(kind):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                found.add(node.name)
            elif (
                isinstance(node, ast.Attribute)
                and isinstance(node.ctx, ast.Store)
                and isinstance(node.value, ast.Name)
                and node.value.id == "self"
            ):
                found.add(node.attr)
    return found


def test_names_are_our_own(graph: Graph) -> None:
    reserved = taken(graph) - OVERRIDDEN
    clashes = {path.name: own(path) & reserved for path in sorted(FOLDER.glob("*.py"))}
    assert {name: found for name, found in clashes.items() if found} == {}
