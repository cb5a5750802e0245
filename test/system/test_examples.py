"""The examples: none is without a test; those that need no running node, and those in C++.

The others in Python run in test/cli/test_up.py as a user starts them, and what they do in each case
is seen in test/nodes/test_examples.py.
"""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from xml.etree import ElementTree

import pytest
from code_size import ROOT
from colour_bag import write_bag
from colour_engine import ColourEngine

from vljepa_ros.cli import options
from vljepa_ros.cli.main import main

EXAMPLES = ROOT / "examples"
CPP = EXAMPLES / "behaviortree_cpp"


def test_a_recorded_day_is_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its commands in this process, on an engine that loads at once; the rest as it is."""
    pytest.importorskip("lancedb", reason="the memory needs the extra [memory]")
    monkeypatch.setattr(options, "load_model", lambda *_: ColourEngine())
    monkeypatch.setattr("vljepa_ros.models.folder.load_config", lambda _: ColourEngine().config)
    ran: list[str] = []

    def run(command: list[str], **how: object) -> subprocess.CompletedProcess[str]:
        ran.append(command[3])
        with redirect_stdout(StringIO()) as said:
            code = main(command[3:])
        if code:
            raise subprocess.CalledProcessError(code, command)
        return subprocess.CompletedProcess(command, 0, said.getvalue())

    monkeypatch.setattr(subprocess, "run", run)
    for name, colour in (("morning", "red"), ("noon", "blue")):
        write_bag(tmp_path / name, ((colour, 3.0),))
    for expected in (["bag", "find"], ["memory", "find"]):  # what is in the memory stays there
        monkeypatch.setattr(sys, "argv", ["", str(tmp_path), "a red wall"])
        ran.clear()
        runpy.run_path(str(EXAMPLES / "recorded_day.py"), run_name="__main__")
        assert ran == expected
        said = capsys.readouterr().out
        assert re.search(r"'a red wall': [1-9]\d* moments\n  \d\d:00  #+ \d+\n", said)
        assert "front, morning: it is red" in said
        assert "front, noon" not in said
    assert "data:image/jpeg" in (tmp_path / "found_0.html").read_text(encoding="utf-8")
    (tmp_path / "broken.mcap").write_bytes(b"")
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(EXAMPLES / "recorded_day.py"), run_name="__main__")
    assert ended.value.code == 1
    assert "broken.mcap" in capsys.readouterr().err


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
