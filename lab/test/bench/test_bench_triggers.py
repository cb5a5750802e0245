"""Cost of boards on which something happens."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from bench_triggers import bench_triggers, main


def test_every_figure_is_there_and_changes_are_counted() -> None:
    found = bench_triggers(counts=(10, 50), dims=(32,), samples=100)
    assert set(found["observe_ms"]["32"]) == {"10", "50"}
    for number in ("10", "50"):
        assert found["observe_ms"]["32"][number]["n"] == 100
        assert found["observe_ms"]["32"][number]["median"] > 0
        assert found["changes"]["32"][number] >= 10


def test_the_script_prints_and_saves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "a" / "triggers.json"
    assert main(["--samples", "20", "--json", "--save", str(file)]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads(file.read_text())
    assert set(printed["observe_ms"]) == {"256", "1536"}
    assert main(["--samples", "20"]) == 0
    assert "500 triggers of 1536-d" in capsys.readouterr().out
