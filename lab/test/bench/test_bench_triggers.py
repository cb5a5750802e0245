"""Cost of boards on which something happens; measures of a clip and of a made truth."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from bench_triggers import (
    DENSE_CLIP,
    Replay,
    bench_triggers,
    main,
    measures,
    replay,
)

from vljepa_ros.engines.load import load_engine
from vljepa_ros.resources import model_dir


def column(bits: str) -> list[bool]:
    return [bit == "x" for bit in bits]


def made(rows: dict[str, tuple[str, str, bool]]) -> Replay:
    return Replay(
        np.arange(20) * 1.0,
        tuple(rows),
        tuple(labelled for _, _, labelled in rows.values()),
        np.array([column(true) for true, _, _ in rows.values()]).T,
        np.array([column(active) for _, active, _ in rows.values()]).T,
    )


def test_measures_of_a_truth_made_by_hand() -> None:
    found = made(
        {
            "the door is open": ("xxxxxxxxxx..........", ".xxxxxxxxxx.........", True),
            "the door opens": ("..xxx......xxx......", "....xx.........x...x", True),
            "a door opens": ("..xxx......xxx......", "....................", False),
            "the doorway is open": ("xxxxxxxxxx..........", "....................", False),
        }
    )
    got = measures(found, ["the door opens"])
    assert got["seconds"] == 19.0
    assert got["states"] == {"triggers": 1, "right_share": 0.9}
    assert got["events_by_label"] == {
        "triggers": 1,
        "stretches": 2,
        "told_share": 1.0,  # the second one within two seconds of its end
        "delay_s": 3.0,  # of 2 and 4
        "false_rises": 1,
    }
    worded = got["events_by_embedding"]
    assert (worded["triggers"], worded["told_share"], worded["delay_s"]) == (1, 0.0, None)


def test_the_shipped_model_tells_states_and_events_of_a_clip() -> None:
    engine = load_engine(model_dir("nano"))
    found = replay(engine, DENSE_CLIP, rate=2.5)
    actions = next(iter(engine.config.vocabulary.values()))
    engine.close()
    got = measures(found, actions)
    assert got["states"]["right_share"] > 0.85
    assert got["events_by_label"]["told_share"] > 0.6
    assert got["events_by_label"]["false_rises"] <= 5


def test_a_model_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--samples", "5", "--clip", "--model", "no such"]) == 1
    assert "no such" in capsys.readouterr().err


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
