from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from vljepa_ros.evaluation.captions import DecodedEvents
from vljepa_ros.evaluation.data import records_of, scenes_of
from vljepa_ros.evaluation.tasks import CLIP_TASKS, TASKS, draw, splits_of, training_rows
from vljepa_ros.world.captions import event_text
from vljepa_ros.world.questions import Record

ROOT = Path(__file__).parents[3]
REQUIRED = [
    "door",
    "lights",
    "person",
    "action",
    "event",
    "colour",
    "count",
    "exists",
    "side",
    "held",
    "moved",
    "unseen_action",
    "unseen_states",
    "held_out_pairs",
    "retrieval_r1",
    "retrieval_r5",
    "decoded_event",
    "holding_anything",
]


def thing(color: str, shape: str, u: float) -> dict[str, object]:
    return {
        "color": color,
        "shape": shape,
        "place": "table",
        "position": [u, 0.3, 0.8],
        "uv": [u, 0.4],
        "size_uv": [0.2, 0.2],
        "visible": 1.0,
    }


def scene(split: str, objects: list[dict[str, object]], seed: int = 7) -> dict[str, object]:
    """24 frames in which nothing happens but a door that opens in the middle."""
    stamps = [0.25 + 0.5 * t for t in range(24)]
    states = [
        {
            "stamp": stamp,
            "objects": objects,
            "held": "",
            "door": 1.0 if stamp > 6 else 0.0,
            "door_uv": [0.5, 0.0],
            "door_visible": True,
            "lights": True,
            "person": 0.0,
            "person_uv": [3.0, 0.0],
            "person_visible": 0.0,
            "gripper_uv": [0.0, 0.0],
            "gripper_visible": True,
            "yaw": 0.0,
            "forward": 0.0,
        }
        for stamp in stamps
    ]
    events = [{"kind": "door opens", "object": "", "start": 5.0, "end": 7.0}]
    return {"seed": seed, "split": split, "stamps": stamps, "events": events, "states": states}


TRAINED = [thing("red", "box", -0.5), thing("blue", "mug", 0.0), thing("green", "can", 0.5)]
HELD_OUT = [thing("red", "mug", -0.5), thing("blue", "box", 0.0), thing("green", "ball", 0.5)]


def write_split(folder: Path, records: list[dict[str, object]]) -> None:
    folder.mkdir(parents=True)
    lines = [json.dumps({**record, "textures": 0}) for record in records]
    (folder / "shard_00000.jsonl").write_text("\n".join(lines) + "\n")
    np.save(folder / "shard_00000.npy", np.zeros((len(records), 24, 8, 8, 3), np.uint8))


def test_all_required_names_are_offered():
    assert set(REQUIRED) <= set(TASKS)


def test_test_a_asks_all_its_tasks_and_the_same_each_time():
    record = Record.from_dict(scene("test_a", TRAINED))
    drawn = list(draw(record, "test_a/7", 0, frozenset(CLIP_TASKS)))
    found = {sample.task for _, sample in drawn}
    assert {
        "door",
        "lights",
        "action",
        "event",
        "colour",
        "count",
        "side",
        "unseen_action",
    } <= found
    assert not found & {"held_out_pairs", "colour_held_out_pairs"}
    assert drawn == list(draw(record, "test_a/7", 0, frozenset(CLIP_TASKS)))
    assert drawn != list(draw(record, "test_a/7", 1, frozenset(CLIP_TASKS)))


def test_other_tasks_do_not_change_the_questions_of_one():
    record = Record.from_dict(scene("test_a", TRAINED))
    alone = list(draw(record, "test_a/7", 0, frozenset({"colour"})))
    among = [
        row for row in draw(record, "test_a/7", 0, frozenset(CLIP_TASKS)) if row[1].task == "colour"
    ]
    assert alone == among != []


def test_held_and_moved_are_only_asked_where_the_truth_is_an_object():
    record = Record.from_dict(scene("test_a", TRAINED))
    for seed in range(5):
        for _, sample in draw(record, "s", seed, frozenset({"held", "moved"})):
            assert sample.truth != {"none"}


def test_test_b_asks_about_never_trained_pairs_only():
    record = Record.from_dict(scene("test_b", HELD_OUT))
    colours = set()
    for seed in range(20):
        for _, sample in draw(record, "s", seed, frozenset(CLIP_TASKS)):
            assert sample.task in ("held_out_pairs", "colour_held_out_pairs")
            if sample.task == "colour_held_out_pairs":
                colours |= sample.truth
    assert colours == {"color:red", "color:green"}  # the blue box was trained


def test_splits_are_only_read_where_needed():
    assert splits_of(frozenset({"door"})) == ("test_a",)
    assert splits_of(frozenset({"held_out_pairs"})) == ("test_b",)
    assert splits_of(frozenset(TASKS)) == ("test_a", "test_b")


def test_blind_rows_cover_test_b_tasks_with_trained_questions():
    record = Record.from_dict(scene("val", TRAINED))
    tasks = {row[0] for row in training_rows(record, "val/7", 0)}
    assert {"exists", "held_out_pairs", "colour", "colour_held_out_pairs"} <= tasks


def test_scenes_are_read_from_shards(tmp_path: Path):
    write_split(tmp_path / "test_a", [scene("test_a", TRAINED, seed) for seed in range(3)])
    videos = list(scenes_of(tmp_path, "test_a", 2))
    assert [video.scene for video in videos] == ["test_a/0", "test_a/1"]
    assert videos[0].frames.shape == (24, 8, 8, 3)
    assert [name for _, name in records_of(tmp_path, "test_a", 9)] == [
        f"test_a/{i}" for i in range(3)
    ]
    with pytest.raises(FileNotFoundError, match="test_b"):
        list(scenes_of(tmp_path, "test_b", 2))


def test_decoded_events_accept_every_wording_and_tell_whether_the_object_is_named():
    judged = DecodedEvents.empty()
    judged.judge(event_text("pick up", "red box", 3), True, "pick up", "red box")
    judged.judge(event_text("pick up", "", 1), True, "pick up", "red box")
    judged.judge(event_text("pick up", "blue box"), False, "pick up", "red box")
    judged.judge(event_text("door opens", "", 1, unseen=True), True, "door opens", "")
    assert judged.right == [True, True, False, True]
    assert judged.named == [True, False, False, True]
    assert judged.written == [True, True, False, True]
