from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import torch
from tiny_records import FRAMES, record, state

from vljepa_lab.training.augmentation import distract
from vljepa_lab.training.batches import ClipSampler
from vljepa_lab.training.decoder import decoder_words
from vljepa_lab.training.losses import Columns, FrameHeads, WindowHeads
from vljepa_lab.training.paraphrases import meanings, named_meanings
from vljepa_lab.training.question_sampling import (
    ABSENT,
    Row,
    canonical_text,
    frequent_questions,
    hard_candidates,
    named_cells,
    parent,
    sample_questions,
)
from vljepa_lab.training.store import CLASSES, SceneStore, cell_of, frame_truth, make_scene
from vljepa_lab.training.text_trunk import demo_vocabulary
from vljepa_lab.world.captions import key_of
from vljepa_lab.world.questions import Question
from vljepa_lab.world.records import ACTIONS, NEVER_TRAINED, OBJECT_ACTIONS, State, named
from vljepa_lab.world.wordings import wordings
from vljepa_ros.resources import model_dir

NEVER = {named(*pair) for pair in NEVER_TRAINED}


def test_cells_count_row_by_row() -> None:
    assert cell_of((-0.99, -0.99)) == 0
    assert cell_of((0.99, -0.99)) == 7
    assert cell_of((-0.99, 0.99)) == 56
    assert cell_of((1.2, 0)) == cell_of((0, 1.01)) == -1


def test_what_is_in_doubt_is_not_asked() -> None:
    clear = frame_truth(state(0.0))
    assert clear["shape"][cell_of((-0.6, 0.3))] > 0
    assert clear["shape"][cell_of((-0.6, 0.3)) + 1] == -1
    assert (clear["door"], clear["person"], clear["lights"]) == (0, 0, 1)
    doubtful = frame_truth(state(0.0, door=0.3, person_visible=0.1))
    assert (doubtful["door"], doubtful["person"]) == (-1, -1)


def test_a_store_takes_in_finished_shards(shards: Path) -> None:
    store = SceneStore([shards])
    assert store.refresh() == 6
    assert store.refresh() == 6
    assert ACTIONS[store.scenes[1].action[5]] == "lights off"
    assert store.scenes[0].action[5] == 0
    assert SceneStore([shards], limit=2).refresh() == 2


def sizes(heads: torch.nn.Module) -> dict[str, int]:
    return {name: len(value) for name, value in heads.state_dict().items() if "bias" in name}


def test_words_heads_and_targets_are_those_of_the_shipped_model() -> None:
    shipped = json.loads((model_dir("nano") / "decoder_words.json").read_text())
    assert decoder_words() == shipped
    frame = {f"cell.{name}.bias": CLASSES[name] for name in ("shape", "colour", "thing")}
    whole = {"lights": 2, "door": 2, "person": 2, "holding": 2, "count": 6}
    frame |= {f"whole.{name}.bias": count for name, count in whole.items()}
    assert sizes(FrameHeads(8)) == frame
    window = {f"state.{name}": count for name, count in frame.items()}
    assert sizes(WindowHeads(8)) == window | {"action.bias": 18, "moved.bias": 1, "motion.bias": 3}
    assert set(make_scene(np.zeros((FRAMES, 32, 32, 3), np.uint8), record()).truth) == set(CLASSES)


def test_meanings_for_training_cover_every_event() -> None:
    chance = random.Random(0)
    assert {key for key in meanings(chance) if key.startswith("event:")} == {
        f"event:{kind}" for kind in ACTIONS
    }
    named_keys = {key.rpartition(":")[0] for key in named_meanings(chance, 500)}
    assert named_keys == {*(f"event:{kind}" for kind in OBJECT_ACTIONS), "held"}
    assert len(hard_candidates([], chance)) == len(ACTIONS)
    assert len(demo_vocabulary()[wordings("questions")["action"][0]]) == len(ACTIONS)


def question(text: str, key: str, task: str = "exists") -> Question:
    return Question(task, text, "yes", key, ("yes", "no"), ("yes", "no"))


def test_slots_point_at_the_objects_that_are_named() -> None:
    now = State.from_dict(state(0.0))
    mug, ball = cell_of((-0.6, 0.3)), cell_of((0.6, 0.3))
    assert named_cells(question("is there a red mug?", "yes"), now) == (mug, -1)
    assert named_cells(question("is there a blue mug?", "no"), now) == (ABSENT, -1)
    assert named_cells(question("is the ball left of the red mug?", "no"), now) == (ball, mug)
    moved = question("what moves?", "object:blue ball", "moved")
    assert named_cells(moved, now) == (ball, -1)
    assert named_cells(question("what color is the toy car?", "x", "colour"), now) == (ABSENT, -1)


def test_never_trained_pairs_are_never_spoken_of() -> None:
    rng = random.Random(0)
    events = [{"kind": "push left", "object": "red mug", "start": 1.0, "end": 2.0}]
    made = record(events=[{**events[0], "object": "blue ball"}])
    scene = make_scene(np.zeros((8, 32, 32, 3), np.uint8), made)
    rows = [row for _ in range(100) for row in sample_questions(scene, 5, 4, rng)]
    texts = [row.question for row in rows] + [row.answer for row in rows]
    texts += [text for text, _ in hard_candidates(rows, rng)]
    texts += frequent_questions(rng)
    assert {row.task for row in rows} >= {"event", "action", "exists", "colour", "side", "door"}
    spoken = NEVER - {"red mug"}  # the hand-made scene itself holds one
    assert not [text for text in texts if any(f" {name}" in f" {text}" for name in spoken)]


def test_where_no_text_is_known_something_is_asked_all_the_same() -> None:
    made = record(events=[{"kind": "roll", "object": "blue ball", "start": 1.0, "end": 2.0}])
    scene = make_scene(np.zeros((8, 32, 32, 3), np.uint8), made)
    for seed in range(20):
        assert len(sample_questions(scene, 5, 4, random.Random(seed), frozenset(), fresh=0.0)) == 4


def test_canonical_texts_mean_their_keys() -> None:
    for key in ("event:roll:red ball", "event:nothing", "door:open", "held:red ball"):
        assert key_of(canonical_text(key)) == key
    assert canonical_text("count:3") == "three"
    assert canonical_text("none") == "nothing"
    assert canonical_text("object:red ball") == "the red ball"
    assert parent("event:roll:red ball") == "event:roll"
    assert parent("event:roll") == parent("yes") == ""


def test_columns_hold_each_answer_once_and_ignore_less_detailed_ones() -> None:
    rows = [
        Row("event", "?", "the red ball rolls", "event:roll:red ball", (-1, -1)),
        Row("action", "?", "an object rolls", "event:roll", (-1, -1)),
        Row("exists", "?", "yes", "yes", (-1, -1)),
        Row("side", "?", "yes", "yes", (-1, -1)),
    ]
    columns = Columns(rows, random.Random(0))
    assert columns.texts.count("yes") == 1
    event, action = (
        columns.texts.index("the red ball rolls"),
        columns.texts.index("an object rolls"),
    )
    assert columns.ignored[0, action]
    assert columns.ignored[1, event]
    assert not columns.ignored[0, event]
    positive = columns.row_keys[:, None] == columns.column_keys[None]
    assert positive.any(1).all()
    assert positive[2].tolist() == positive[3].tolist()


def test_windows_lie_inside_their_scene_and_rare_actions_are_met(shards: Path) -> None:
    store = SceneStore([shards])
    store.refresh()
    sampler = ClipSampler(store.scenes, 5, 2, 3, random.Random(0))
    met = set()
    for asked in (one for _ in range(20) for one in sampler.draw(8)):
        assert 0 <= asked.start <= 3
        assert all(asked.start + 3 <= last < asked.start + 5 for last in asked.lasts)
        assert [len(rows) for rows in asked.rows] == [3, 3]
        met.add(int(store.scenes[asked.scene].action[asked.lasts[0]]))
    assert ACTIONS.index("lights off") in met


def test_unknown_furniture_covers_nothing_that_is_asked_about() -> None:
    now = State.from_dict(state(0.0))
    frames = np.full((3, 128, 128, 3), 90, np.uint8)
    changed = 0
    for seed in range(30):
        painted = distract(frames, [now] * 3, random.Random(seed))
        assert (frames == 90).all()
        different = (painted != 90).any(-1)
        changed += bool(different.any())
        for item in now.objects:
            x, y = (round((value + 1) * 64) for value in item.uv)
            assert not different[:, y - 6 : y + 6, x - 6 : x + 6].any()
        np.testing.assert_array_equal(different[0], different[2])
    assert changed > 10


def test_a_window_is_asked_what_is_answered_yes_or_no_beside_what_is_not(shards: Path) -> None:
    store = SceneStore([shards])
    store.refresh()
    rng, both = random.Random(0), set()
    for _ in range(40):
        forms: dict[str, set[bool]] = {}
        for row in sample_questions(store.scenes[0], 5, 12, rng):
            forms.setdefault(row.task, set()).add(row.key in ("yes", "no"))
        both |= {task for task, answered in forms.items() if len(answered) == 2}
    assert {"event", "colour"} <= both
