"""Counts lines of code, without docstrings, comments and blank lines.

    python lab/bench/code_size.py            # a table of the rooms, and what all nodes load

The limits that these figures must keep stand in test/system/test_architecture.py.
"""

from __future__ import annotations

import ast
import io
import tokenize
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROBOT, LAB = ROOT / "vljepa_ros", ROOT / "lab" / "vljepa_lab"
_LAYOUT = (
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
)


def code_lines(path: Path) -> int:
    """Lines of a Python file that hold code; a string over several lines counts as so many."""
    text = path.read_text(encoding="utf-8")
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in _LAYOUT:
            lines.update(range(token.start[0], token.end[0] + 1))
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, documented) and ast.get_docstring(node, clean=False) is not None:
            doc = node.body[0]
            lines.difference_update(range(doc.lineno, (doc.end_lineno or doc.lineno) + 1))
    return len(lines)


def robot_files() -> list[Path]:
    """What colcon installs: the package, the executables and the launch files."""
    scripts = [path for path in (ROOT / "scripts").iterdir() if path.is_file()]
    return sorted([*ROBOT.rglob("*.py"), *(ROOT / "launch").glob("*.py"), *scripts])


def lab_files() -> list[Path]:
    """The lab's package and its scripts, without its tests."""
    return sorted([*LAB.rglob("*.py"), *(ROOT / "lab" / "bench").glob("*.py")])


def module_name(path: Path) -> str:
    """Dotted name of a file of either package."""
    parts = path.relative_to(LAB.parent if LAB in path.parents else ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path: Path, eager: bool = True) -> set[str]:
    """Names that a file imports, modules and what is taken from them alike.

    Args:
        path: The file.
        eager: Only what runs when the file is imported: nothing in functions, nothing under
            `if TYPE_CHECKING`.
    """
    names: set[str] = set()
    pending: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:
                package = path.relative_to(LAB.parent if LAB in path.parents else ROOT).parts
                module = ".".join([*package[: -node.level], module]).rstrip(".")
            names.add(module)
            names |= {f"{module}.{alias.name}" for alias in node.names}
        elif eager and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        elif eager and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            pending.extend(node.orelse)
            continue
        pending.extend(ast.iter_child_nodes(node))
    return names


def node_closure() -> set[Path]:
    """Files that all nodes together load eagerly on rclpy with the embedded model."""
    modules = {module_name(path): path for path in ROBOT.rglob("*.py")}
    builtin = "vljepa_ros.ros.builtin"
    found: set[str] = set()
    pending = [name for name in modules if name.startswith("vljepa_ros.nodes.")]
    while pending:
        name = pending.pop()
        parents = {name.rsplit(".", count)[0] for count in range(1, name.count(".") + 1)}
        for other in ({name} | parents) & modules.keys() - found:
            found.add(other)
            pending.extend(
                each
                for each in imported(modules[other]) & modules.keys()
                if not each.startswith(builtin)
            )
    return {modules[name] for name in found}


def total(files: Iterable[Path]) -> int:
    """Code lines of all of them."""
    return sum(code_lines(path) for path in files)


def main() -> None:
    """Print a row for each room."""
    rooms: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    for path in [*robot_files(), *lab_files()]:
        base = LAB.parent if LAB in path.parents else ROOT
        room = "/".join(path.relative_to(base).parts[:2][: 2 if path.suffix == ".py" else 1])
        rooms[room] += code_lines(path)
        counts[room] += 1
    for room in sorted(rooms):
        print(f"{rooms[room]:7,}  {counts[room]:4} files  {room}")
    closure = node_closure()
    print(f"{total(robot_files()):7,}  {len(robot_files()):4} files  robot")
    print(f"{total(lab_files()):7,}  {len(lab_files()):4} files  lab")
    print(f"{total(closure):7,}  {len(closure):4} files  what all nodes load eagerly")


if __name__ == "__main__":
    main()
