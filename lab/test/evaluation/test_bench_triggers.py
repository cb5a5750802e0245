"""The benchmark of triggers measures boards on which something happens."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from vljepa_lab.evaluation.bench_triggers import bench_triggers
from vljepa_ros.cli.main import main


def test_every_figure_is_there_and_edges_are_told() -> None:
    found = bench_triggers(counts=(10, 50), dims=(32,), samples=100)
    assert set(found["observe_ms"]["32"]) == {"10", "50"}
    for number in ("10", "50"):
        assert found["observe_ms"]["32"][number]["n"] == 100
        assert found["observe_ms"]["32"][number]["median"] > 0
        assert found["edges"]["32"][number] >= 10


def test_the_command_prints_and_saves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "a" / "triggers.json"
    assert main(["bench", "triggers", "--samples", "20", "--json", "--save", str(file)]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads(file.read_text())
    assert set(printed["observe_ms"]) == {"256", "1536"}
    assert main(["bench", "triggers", "--samples", "20"]) == 0
    assert "500 triggers of 1536-d" in capsys.readouterr().out
