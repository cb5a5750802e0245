"""Names public functions with arrays whose docstring gives no shape.

    python lab/bench/array_shapes.py         # prints them, and how many have one

A shape is a bracket such as `[B, T, 3]`, `[N]` or `(H, W)` in the docstring of the function or of
its class. test/system/test_architecture.py holds that none is missing.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from code_size import LAB, ROBOT, ROOT

_ALIAS = re.compile(r"^(\w+) = (?:npt\.)?NDArray\[", re.MULTILINE)
_NAMED = re.compile(r"(?:dict|Mapping)\[str, [\w.\[\]]+\]")  # weights: each has its own shape
_SHAPE = re.compile(r"\[(?:[^\]\[]*,)?\s*[A-Za-z0-9_.() */+-]+(?:,[^\]\[]*)?\]|\(H, W|\bscalar\b")


def array_types(files: Sequence[Path]) -> re.Pattern[str]:
    """Names of array types: NumPy's, torch's, and aliases of them in these files."""
    aliases = {name for path in files for name in _ALIAS.findall(path.read_text(encoding="utf-8"))}
    return re.compile(rf"\b({'|'.join(sorted({'NDArray', 'ndarray', 'Tensor'} | aliases))})\b")


def array_functions(path: Path, arrays: re.Pattern[str]) -> Iterator[tuple[str, int, bool]]:
    """Name, line, and whether a shape is given, of each public function with arrays in a file."""

    def visit(node: ast.AST, prefix: str, inherited: str) -> Iterator[tuple[str, int, bool]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef) and not child.name.startswith("_"):
                text = ast.get_docstring(child) or ""
                yield from visit(child, f"{prefix}{child.name}.", text)
            elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                if child.name.startswith("_") and child.name != "__init__":
                    continue
                names = child.args
                given = [a.annotation for a in [*names.posonlyargs, *names.args, *names.kwonlyargs]]
                types = [ast.unparse(t) for t in [*given, child.returns] if t is not None]
                if any(arrays.search(_NAMED.sub("", text)) for text in types):
                    text = (ast.get_docstring(child) or "") + inherited
                    yield f"{prefix}{child.name}", child.lineno, bool(_SHAPE.search(text))

    yield from visit(ast.parse(path.read_text(encoding="utf-8")), "", "")


def main() -> None:
    """Print what is missing."""
    count = missing = 0
    files = sorted([*ROBOT.rglob("*.py"), *LAB.rglob("*.py")])
    arrays = array_types(files)
    for path in files:
        for name, line, given in array_functions(path, arrays):
            count += 1
            if not given:
                missing += 1
                print(f"{path.relative_to(ROOT)}:{line} {name}")
    print(f"{count - missing} of {count} public functions with arrays give a shape")


if __name__ == "__main__":
    main()
