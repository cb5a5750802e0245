"""`vljepa check`: what it prints and refuses, on an engine that knows colours."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from colour_bag import images, write_bag, write_messages
from colour_engine import COLOURS, ColourEngine, unit

from vljepa_ros.cli import options
from vljepa_ros.cli.main import main
from vljepa_ros.perception.bags.reading import COMPRESSED
from vljepa_ros.perception.lesson import Example, Lesson, Recording
from vljepa_ros.perception.memory.row import clip_to_jpeg
from vljepa_ros.perception.taught_store import TaughtStore
from vljepa_ros.resources import kept_by

WHEN = [[12.0 * i + 8.0, 12.0 * i + 12.0] for i in range(6)]


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    scenes = [scene for _ in WHEN for scene in (("blue", 8.0), ("red", 4.0))]
    return write_bag(tmp_path_factory.mktemp("check") / "bag", scenes)


@pytest.fixture(autouse=True)
def _engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(options, "load_model", lambda *_: ColourEngine())
    monkeypatch.setenv("ROS_HOME", str(tmp_path))


def run(bag: Path, folder: Path, truth: str, *more: str) -> int:
    file = folder / "intervals.yaml"
    file.write_text(truth, encoding="utf-8")
    return main(["check", str(bag), "--truth", str(file), *more])


def test_the_table_says_what_can_be_used_and_how(
    bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(bag, tmp_path, f"a red wall: &on {WHEN}\na green wall: *on\na dog: [[1, 2]]") == 0
    said = capsys.readouterr()
    assert said.err == ""
    lines = {line[:12].strip(): line for line in said.out.splitlines()}
    assert lines["a red wall"].split()[3:7] == ["100%", "3", "of", "3"]
    assert lines["a red wall"].rstrip().endswith("0.5  usable")
    assert lines["a green wall"].rstrip().endswith("unusable: finds nothing")
    assert "too little truth: true in 1 interval, 3 or more needed" in lines["a dog"]
    assert "usable: right for at least 80%" in said.out
    assert "vljepa teach" in said.out
    assert said.out.rstrip().endswith("--trigger 'a red wall|0.5'")
    assert "too few for two parts" not in said.out


def test_a_text_with_an_apostrophe_can_be_pasted(
    bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(bag, tmp_path, f"the robot's red wall: {WHEN}") == 0
    last = capsys.readouterr().out.rstrip().splitlines()[-1]
    assert shlex.split(last)[-2:] == ["--trigger", "the robot's red wall|0.5"]


def test_labels_of_the_truth_file_are_named_with_the_triggers(
    bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(bag, tmp_path, f"red: {WHEN}\nlabels: ['what colour is it now? | red | blue']") == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "with the labels: vljepa label 'what colour is it now?' red blue"


def test_json_has_a_stable_form(
    bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(bag, tmp_path, f"front: {{a red wall: {WHEN}}}", "--json", "--settle", "1") == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert row["usable"] is True
    assert (row["camera"], row["kind"], row["held_out"]) == ("front", "text", True)
    assert 1.0 <= row["delay_s"] <= row["longest_delay_s"] < 2.0
    assert row["false_alarms_per_hour"] == 0.0
    assert row["default"].keys() == row.keys() - {
        *("camera", "text", "kind", "usable", "problem", "held_out", "default")
    }


def lesson(model_id: str, vectors: bool) -> Lesson:
    """A red wall and a blue one."""
    recordings = []
    for shows_other, colour in ((False, "red"), (True, "blue")):
        place = list(COLOURS).index(colour)
        axis = np.eye(len(COLOURS))[place] if vectors else np.ones(4)
        frames = np.full((1, 8, 8, 3), COLOURS[colour], np.uint8)
        examples = [
            Example(
                i, unit(axis + 0.01 * np.sin(np.arange(len(axis)) + i)), clip_to_jpeg(frames, 8)
            )
            for i in range(30)
        ]
        recordings.append(Recording("front", shows_other, tuple(examples)))
    return Lesson("full", "empty", model_id, tuple(recordings))


@pytest.mark.parametrize("own", [True, False])
def test_taught_labels_come_from_the_robots_store(
    bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], own: bool
) -> None:
    """One of another model is learned again, as the node does."""
    folder = kept_by("/robot1/vljepa/perception_node", ".taught")
    folder.mkdir(parents=True)
    made = lesson("colour-1" if own else "other-1", own)
    TaughtStore(folder).put(made.learned(0) if own else made)
    assert run(bag, tmp_path, f"full: {WHEN}", "--namespace", "robot1", "--json") == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["kind"], row["usable"]) == ("taught", True)


@pytest.mark.parametrize(
    ("truth", "more", "code", "message"),
    [
        ("red: [[1, 2], 3]", (), 1, "intervals.yaml', line 1: 'red' has '3', allowed"),
        ("red: [[800, 802]]", (), 1, "allowed: 0 to 72.0 s"),
        ("/rear: {red: []}", (), 1, "has no images in topic /rear"),
        ("red: []\nlabels: ['a | b | b']", (), 1, "appear twice: 'b'"),
        ("red: []", ("--rate", "0"), 2, "0.001 to 1000 a second"),
        ("red: []", ("--rotate", "45"), 2, "rotate is 45, allowed"),
    ],
)
def test_what_makes_no_sense(
    bag: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    truth: str,
    more: tuple[str, ...],
    code: int,
    message: str,
) -> None:
    assert run(bag, tmp_path, truth, *more) == code
    said = capsys.readouterr()
    assert message in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""


def test_damaged_images_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = images(100, compressed=True)
    for _, message in rows[30:60]:
        message.data = message.data[:40]
    broken = write_messages(tmp_path / "broken", {("/front/compressed", COMPRESSED): rows})
    assert run(broken, tmp_path, "red: []", "--json") == 1
    assert "vljepa check: /front/compressed: " in capsys.readouterr().err
