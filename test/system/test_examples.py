"""Each file of `examples/` in a process of its own, beside nodes in another one, as a user runs it.

What the examples do in each case is tested in test/nodes/test_examples.py. Where there is no rclpy,
the built-in runtime stands in for it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
from code_size import ROOT

from vljepa_ros.cli.processes import PackageProcess

EXAMPLES = ROOT / "examples"
CPP = EXAMPLES / "behaviortree_cpp"
DOOR = ("the door is open", "the door is closed")
# name: its arguments, and what it must print, sooner or later
RUNS = {
    "ask.py": (["is the door open or closed?", "open", "closed"], r"(act|look again): "),
    "triggers.py": (["door", *DOOR], r"stop: door"),
    "wait_for.py": (["20", *DOOR], r"true since \d+"),
}


@pytest.fixture(scope="module")
def nodes(domain: int) -> Iterator[PackageProcess]:
    labels = f"perception_node:labels:=['is the door open or closed? | {' | '.join(DOOR)}']"
    with PackageProcess("vljepa_ros.cli.main", ["up", "-p", labels]) as process:
        end = time.monotonic() + 150
        while "perception_node" not in process.output():
            process.check()
            assert time.monotonic() < end, process.output()
            time.sleep(0.1)
        yield process


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", RUNS)
def test_it_runs_beside_the_nodes(nodes: PackageProcess, name: str) -> None:
    arguments, expected = RUNS[name]
    runner = ROOT / "test" / "support" / "rclpy_stand_in.py"
    command = [sys.executable, str(runner), str(EXAMPLES / name), *arguments]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        seen = []
        for line in process.stdout:
            seen.append(line)
            if re.match(expected, line):
                break
        else:
            pytest.fail(f"{name} never printed {expected}:\n{''.join(seen)}")
        process.terminate()


def test_no_example_is_without_a_test_and_a_place_in_the_documents() -> None:
    own = {p.relative_to(EXAMPLES).parts[0] for p in EXAMPLES.rglob("*") if p.is_file()}
    found = {name for name in own if name != "__pycache__"}
    tests = "\n".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "test").rglob("test_*.py")
    )
    untested = {
        name for name in found if not re.search(rf'"{name.removesuffix(".py")}["./]', tests)
    }
    assert untested == set(), "name the file in a test that runs it"
    documented = (ROOT / "doc" / "examples.md").read_text(encoding="utf-8")
    assert {name for name in found if f"../examples/{name}" not in documented} == set()


def test_the_tree_fits_its_nodes() -> None:
    """Its nodes are registered, their ports are those of the classes, and none is left out."""
    registered = dict(
        re.findall(r'<vljepa_example::(\w+)>\("(\w+)"', (CPP / "planner.cpp").read_text("utf-8"))
    )
    classes = re.split(r"^class (\w+)", (CPP / "nodes.hpp").read_text("utf-8"), flags=re.MULTILINE)
    ports = {
        registered[name]: set(re.findall(r'putPort<[\w:]+>\("(\w+)"', body))
        for name, body in zip(classes[1::2], classes[2::2], strict=True)
    }
    used = [node for node in ElementTree.parse(CPP / "tree.xml").iter() if node.tag in ports]
    assert {node.tag: set(node.attrib) for node in used} == ports


PREFIXES = [Path(one) / "share" for one in os.environ.get("AMENT_PREFIX_PATH", "").split(":")]


@pytest.mark.check
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("name", "needed"), [("cpp", ["rclcpp"]), ("behaviortree_cpp", ["rclcpp", "behaviortree_cpp"])]
)
def test_the_one_in_cpp_is_built(tmp_path: Path, name: str, needed: list[str]) -> None:
    if not all(any((at / package).is_dir() for at in PREFIXES) for package in needed):
        pytest.skip(f"not sourced: {' or '.join(needed)}")
    for command in (["cmake", "-S", str(EXAMPLES / name), "-B", "."], ["cmake", "--build", "."]):
        subprocess.run(command, cwd=tmp_path, check=True)
