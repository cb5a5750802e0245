from __future__ import annotations

from pathlib import Path

import pytest
from tiny_scenes import HELD_OUT, TRAINED, scene, write_split

from vljepa_lab.evaluation.quality.captions import DecodedEvents
from vljepa_lab.evaluation.quality.scenes import records_of, scenes_of
from vljepa_lab.evaluation.quality.tasks import CLIP_TASKS, TASKS, draw, splits_of, training_rows
from vljepa_lab.world.captions import event_text
from vljepa_lab.world.records import Record

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


def test_all_required_names_are_offered():
    assert set(REQUIRED) <= set(TASKS)


def test_test_a_asks_all_its_tasks_and_the_same_each_time():
    record = Record.from_dict(scene("test_a", TRAINED))
    drawn = list(draw(record, "test_a/7", 0, frozenset(CLIP_TASKS)))
    found = {question.task for _, question in drawn}
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
        for _, question in draw(record, "s", seed, frozenset({"held", "moved"})):
            assert question.key != "none"


def test_test_b_asks_about_never_trained_pairs_only():
    record = Record.from_dict(scene("test_b", HELD_OUT))
    colours = set()
    for seed in range(20):
        for _, question in draw(record, "s", seed, frozenset(CLIP_TASKS)):
            assert question.task in ("held_out_pairs", "colour_held_out_pairs")
            if question.task == "colour_held_out_pairs":
                colours.add(question.key)
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
    judged = DecodedEvents()
    judged.judge(event_text("pick up", "red box", 3), True, "pick up", "red box")
    judged.judge(event_text("pick up", "", 1), True, "pick up", "red box")
    judged.judge(event_text("pick up", "blue box"), True, "pick up", "red box")
    judged.judge(event_text("door opens", "", 1, "unseen"), True, "door opens", "")
    assert judged.right == [True, True, False, True]
    assert judged.named == [True, False, False, True]
