"""Measures of triggers against a truth made by hand, and the shipped clip through the shipped
model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vljepa_lab.evaluation.trigger_plot import plot_triggers
from vljepa_lab.evaluation.trigger_replay import Replay, measures, replay
from vljepa_ros.cli.main import main
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


def test_measures_of_a_truth_made_by_hand(tmp_path: Path) -> None:
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
    assert plot_triggers(found, tmp_path / "a" / "b.png").stat().st_size > 1000


def test_the_shipped_model_tells_states_and_events_of_its_clip() -> None:
    folder = model_dir("nano")
    engine = load_engine(folder)
    found = replay(engine, folder / "demo", rate=2.5)
    actions = next(iter(engine.config.vocabulary.values()))
    engine.close()
    got = measures(found, actions)
    assert got["states"]["right_share"] > 0.85
    assert got["events_by_label"]["told_share"] > 0.6
    assert got["events_by_label"]["false_rises"] <= 5


def test_what_cannot_be_drawn_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "triggers", "--plot", "x.png"]) == 2
    assert "--clip" in capsys.readouterr().err
    assert main(["bench", "triggers", "--samples", "5", "--clip", "--model", "no such"]) == 1
    assert "no such" in capsys.readouterr().err
