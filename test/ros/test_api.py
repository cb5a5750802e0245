from __future__ import annotations

import ast
from pathlib import Path

ROS = Path(__file__).parents[2] / "vljepa_ros" / "ros"
RUNTIMES = ("vljepa_ros.ros.builtin", "rclpy", "rcl_interfaces", "action_msgs")


def offered(path: Path) -> set[str]:
    """Names that a module imports from a runtime, defines or assigns at its top."""
    names: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom):
            if str(node.module).startswith(RUNTIMES):
                names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return {name for name in names if not name.startswith("_")}


def test_both_runtimes_offer_the_same_names() -> None:
    assert offered(ROS / "builtin" / "api.py") == offered(ROS / "native.py")
