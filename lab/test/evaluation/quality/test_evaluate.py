"""`vljepa eval` on a few scenes, with the shipped model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import pytest
from tiny_scenes import HELD_OUT, TRAINED, scene, write_split

from vljepa_lab.evaluation.quality.tasks import TASKS, wanted_tasks
from vljepa_ros.cli.main import main
from vljepa_ros.resources import model_dir

# all but `event`, whose thousands of candidate texts would take most of the time
TASKS_HERE = [task for task in TASKS if task != "event"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_split(folder / "val", [scene("val", TRAINED, seed) for seed in (100, 101)], 128)
    write_split(folder / "test_a", [scene("test_a", TRAINED, seed) for seed in range(3)], 128)
    write_split(folder / "test_b", [scene("test_b", HELD_OUT, seed) for seed in range(2)], 128)
    return folder


def test_one_object_on_standard_output_with_stable_names(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    options = ["--data", str(data), "--plots", str(tmp_path), "--save", str(tmp_path / "r.json")]
    assert main(["eval", *TASKS_HERE, "--json", *options]) == 0
    output = capsys.readouterr()
    result = json.loads(output.out)
    assert output.out.count("\n") == 1
    assert "test_a: 3 of 450 scenes" in output.err
    drawn = set(result["tasks"])
    # nothing is held, moved or seen to leave in these scenes
    assert drawn == set(TASKS_HERE) - {"held", "moved", "unseen_questions"}
    own_words = result["unseen_questions"]
    assert own_words["all"]["n"] == sum(f["n"] for k, f in own_words.items() if k != "all") > 100
    assert all(0 <= own_words["door"][name] <= 1 for name in ("accuracy", "trained", "consistency"))
    for task in result["tasks"].values():
        assert set(task) >= {"accuracy", "ci", "blind", "blind_by", "n", "scenes"}
        assert 0 <= task["ci"][0] <= task["accuracy"] <= task["ci"][1] <= 1
        assert 0 <= task["blind"] <= 1
        assert task["n"] >= task["scenes"] >= 1
    assert result["scenes"] == {"test_a": 3, "test_b": 2}
    assert result["tasks"]["held_out_pairs"]["scenes"] <= 2  # never pooled with test_a
    for name in (
        "macro_vqa",
        "text_right_share",
        "events_named_share",
        "ece",
        "ece_open",
        "ece_none",
        "abstained_share",
        "unseen_action_ceiling",
        "bleu_predicted",
        "exact_from_true_embedding",
    ):
        assert 0 <= result[name] <= 1
    assert result["model_id"].startswith("nano")
    assert result["engine"] == "onnxruntime"
    assert json.loads((tmp_path / "r.json").read_text()) == result
    for name in ("confusion_actions", "reliability", "coverage", "tasks"):
        assert cv2.imread(str(tmp_path / f"{name}.png")) is not None


def test_the_same_figures_each_time_and_for_a_task_alone(
    data: Path, capsys: pytest.CaptureFixture[str]
):
    figures = []
    for tasks in (["colour"], ["colour"], ["colour", "door"]):
        assert main(["eval", *tasks, "--json", "--data", str(data)]) == 0
        figures.append(json.loads(capsys.readouterr().out)["tasks"]["colour"])
    assert figures[0] == figures[1] == figures[2]


def test_a_missing_split_is_named(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    write_split(tmp_path / "val", [scene("val", TRAINED, 1)], 128)
    assert main(["eval", "door", "--data", str(tmp_path)]) == 1
    assert "test_a" in capsys.readouterr().err


def test_sections_stand_for_their_tasks_and_unknown_ones_are_named():
    assert wanted_tasks(["captions", "door"]) == {"decoded_event", "door"}
    assert wanted_tasks([]) == set(TASKS)
    with pytest.raises(ValueError, match="unknown task sky; tasks: labels, vqa"):
        wanted_tasks(["sky"])


def test_the_card_is_written_from_saved_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    figures = {
        "model_id": "m-1",
        "scenes": {"test_a": 3},
        "tasks": {
            "door": {"accuracy": 0.9, "ci": [0.8, 1.0], "blind": 0.5, "n": 30, "scenes": 3}
        },
        "macro_vqa": 0.9,
    }  # fmt: skip
    (tmp_path / "r.json").write_text(json.dumps(figures))
    shutil.copy(model_dir("nano") / "config.json", tmp_path)
    options = ["--model", str(tmp_path), "--card-from", str(tmp_path / "r.json")]
    assert main(["eval", *options]) == 0
    assert "**mean VQA accuracy: 0.900**" in (tmp_path / "README.md").read_text()
    (tmp_path / "r.json").write_text("[]")
    assert main(["eval", *options]) == 2
    assert "must hold a JSON object" in capsys.readouterr().err
