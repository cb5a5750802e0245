"""What the documents name exists: files, modules, commands; the interfaces are documented."""

from __future__ import annotations

import re
import shlex
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import make_reference
import pytest
import yaml
from code_size import ROOT
from interfaces_reference import SERVICE, read_all

from vljepa_ros.cli import main as cli

DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "doc").glob("*.md")])
SOURCES = (
    "vljepa_ros",
    "lab",
    "test",
    "launch",
    "scripts",
    "config",
    "action",
    "doc",
    "examples",
    "msg",
    "srv",
    ".ci",
)
FILES = {
    path.relative_to(ROOT).as_posix()
    for top in SOURCES
    for path in (ROOT / top).rglob("*")
    if path.is_file()
}


PARSER = cli.build_parser()
# Where only the robot's package is installed, the lab's commands are hints without arguments.
MISSING = cli.LAB_COMMANDS.keys() - {found.name for found in entry_points(group=cli.EXTENSIONS)}


def name_of(path: Path) -> str:
    return path.name


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_named_files_exist(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    named = set(re.findall(r"(?<![\w./-])((?:[\w-]+/)*[\w-]+\.(?:py|msg|srv|launch\.py))\b", text))
    missing = {n for n in named if not any(f == n or f.endswith(f"/{n}") for f in FILES)}
    assert missing == set()


def test_the_ways_through_the_code_exist() -> None:
    text = (ROOT / "doc" / "architecture.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\b((?:nodes|perception|engines)/[a-z_/]*[a-z])(?![\w.])", text))
    package = ROOT / "vljepa_ros"
    missing = {n for n in named if not ((package / n).is_dir() or (package / f"{n}.py").is_file())}
    assert len(named) > 15
    assert missing == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_named_modules_exist(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    named = set(re.findall(r"-m (vljepa_(?:ros|lab)(?:\.\w+)+)", text))
    folders = {"vljepa_ros": ROOT, "vljepa_lab": ROOT / "lab"}
    missing = {
        name
        for name in named
        if not (folders[name.split(".")[0]] / (name.replace(".", "/") + ".py")).is_file()
    }
    assert missing == set()


def test_named_commands_exist() -> None:
    """Code in sentences that begins with `vljepa`."""
    text = "".join(document.read_text(encoding="utf-8") for document in DOCUMENTS)
    named = set(re.findall(r"`vljepa ([a-z][\w-]*)", text))
    assert {"demo", "up", "ask"} <= named
    assert named - {parser.prog.split()[1] for parser, _ in make_reference.commands()} == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_what_a_reader_would_type_or_copy_is_valid(document: Path) -> None:
    """In code blocks: arguments of commands and of the launch file, Python, YAML."""
    text = document.read_text(encoding="utf-8")
    for language, code in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        if language == "python":
            compile(code, document.name, "exec")
        elif language == "yaml":
            yaml.safe_load(code)
        for line in code.replace("\\\n", " ").splitlines() if not language else ():
            if launched := re.match(r"ros2 launch vljepa_ros \S+(.*)", line):
                given = {
                    word.partition(":=")[0] for word in shlex.split(launched[1], comments=True)
                }
                assert given <= {"--show-args", *make_reference.launch_arguments()}, line
            typed = re.match(r"\s*(?:\S*bin/|ros2 run vljepa_ros )?vljepa (.*)", line)
            if typed and "..." not in line:
                words = shlex.split(typed[1], comments=True)
                ends = [words.index(stop) for stop in ("&", "&&", "|", ";") if stop in words]
                if words[0] not in MISSING:
                    PARSER.parse_args(words[: min(ends, default=len(words))])


MEASURED = re.compile(
    r"\d\.\.|>=? 0|seconds|L2 norm|as in|negative"
)  # a range, a unit, or where it stands


def test_what_is_generated_is_up_to_date() -> None:
    """Parameters, topics, services, commands and launch arguments that are not documented, too."""
    stale = [
        path
        for path, text in make_reference.made().items()
        if (ROOT / path).read_text(encoding="utf-8") != text
        and not (MISSING and path == "doc/cli.md")
    ]
    assert stale == [], "run: python doc/make_reference.py"


@pytest.mark.parametrize("interface", read_all(), ids=lambda i: f"{i.kind}/{i.name}")
def test_an_interface_says_what_its_fields_are(interface: Any) -> None:
    assert interface.header
    if interface.kind != "msg":
        assert SERVICE.search(interface.header), "which node serves it?"
    assert [field.name for field in interface.fields if not field.comment] == []
    numbers = [f for f in interface.fields if "float" in f.type or f.type.endswith("/Duration")]
    assert [f.name for f in numbers if not MEASURED.search(f.comment)] == [], "unit, range?"


def test_every_argument_of_a_command_is_described() -> None:
    for parser, what in make_reference.commands():
        assert parser.description or what, parser.prog
        if parser.prog.split()[1] in MISSING:
            continue
        rows = make_reference.arguments(parser)
        assert [row for row in rows if row.endswith("|  |")] == [], parser.prog
