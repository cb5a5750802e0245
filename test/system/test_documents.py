"""What the documents name exists: files, modules, commands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from code_size import ROOT

from vljepa_ros.cli.main import main

DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "doc").glob("*.md")])
SOURCES = (
    "vljepa_ros",
    "lab",
    "test",
    "launch",
    "scripts",
    "config",
    "action",
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


def name_of(path: Path) -> str:
    return path.name


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_named_files_exist(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    named = set(re.findall(r"(?<![\w./-])((?:[\w-]+/)*[\w-]+\.(?:py|msg|srv|launch\.py))\b", text))
    missing = {n for n in named if not any(f == n or f.endswith(f"/{n}") for f in FILES)}
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


def test_named_commands_exist(capsys: pytest.CaptureFixture[str]) -> None:
    """Lines of code blocks, and code in sentences, that begin with `vljepa`."""
    named = set()
    for document in DOCUMENTS:
        text = document.read_text(encoding="utf-8")
        named |= set(re.findall(r"`vljepa ([a-z][\w-]*)", text))
        named |= set(re.findall(r"^\s*(?:\S*bin/)?vljepa ([a-z][\w-]*)", text, re.MULTILINE))
    assert {"demo", "up", "ask"} <= named
    assert {name for name in named if main([name, "--help"]) != 0} == set()
    capsys.readouterr()
