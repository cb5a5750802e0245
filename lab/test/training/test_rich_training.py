"""What a run with rich scenes learns besides, and that a plain one learns nothing of it."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_records import FRAMES, record, state

from vljepa_lab.training.asking import (
    Row,
    canonical_text,
    draw,
    fixed_candidates,
    frequent_answers,
    frequent_texts,
    hard_candidates,
    named_cells,
    wordings_of_questions,
)
from vljepa_lab.training.contrast import Columns
from vljepa_lab.training.decoder import decoder_words, known_keys
from vljepa_lab.training.distract import distract
from vljepa_lab.training.heads import FrameHeads, WindowHeads
from vljepa_lab.training.nano_config import NanoConfig, data_plans, read_arguments
from vljepa_lab.training.nano_start import OtherWorldError, load_trunk, newest
from vljepa_lab.training.nano_words import demo_vocabulary, world_words
from vljepa_lab.training.paraphrases import meanings, named_meanings
from vljepa_lab.training.store import CLASSES, Scene, cell_of, make_scene
from vljepa_lab.world.captions import event_texts, key_of
from vljepa_lab.world.questions import Question
from vljepa_lab.world.rich_state import RICH_ACTIONS, RichState, actions
from vljepa_lab.world.rich_wordings import RICH_EVENTS, RICH_QUESTIONS, RICH_STATES
from vljepa_lab.world.state import ACTIONS, OBJECT_ACTIONS
from vljepa_lab.world.wordings import QUESTIONS
from vljepa_ros.models.vl_jepa.nano_text import split_words
from vljepa_ros.resources import model_dir

RICH_KINDS = {f"event:{kind}" for kind in RICH_ACTIONS}
PIXELS = np.zeros((FRAMES, 32, 32, 3), np.uint8)


def rich_state(stamp: float, **changes: Any) -> dict[str, Any]:
    """The room of `state` with a person who holds a red box, an open drawer and a carton."""
    made = state(stamp, person=1.0, person_uv=[-0.2, -0.3], person_visible=0.9)
    made["objects"][0] = {
        **made["objects"][0],
        "shape": "box",
        "place": "person",
        "uv": [-0.3, -0.2],
    }
    return made | {
        "drawer": 1.0, "drawer_uv": [0.5, -0.1], "drawer_visible": 0.9, "obstacle": 1.0,
        "obstacle_kind": "carton", "obstacle_uv": [0.0, 0.7], "obstacle_visible": 1.0,
        "person_holds": "red box", **changes,
    }  # fmt: skip


def rich_scene(**changes: Any) -> Scene:
    """The drawer opens in the first two seconds of it."""
    made = record(events=[{"kind": "drawer opens", "object": "", "start": 0.2, "end": 1.8}])
    made |= {"rich": True, "states": [rich_state(0.5 * i, **changes) for i in range(FRAMES)]}
    return make_scene(PIXELS, made, rich=True)


def sizes(heads: torch.nn.Module) -> dict[str, int]:
    return {name: len(value) for name, value in heads.state_dict().items() if "bias" in name}


def test_a_plain_run_is_what_it_was() -> None:
    shipped = json.loads((model_dir("nano") / "decoder_words.json").read_text())
    assert decoder_words() == shipped
    assert not any(key in RICH_KINDS or key.startswith("drawer") for key in known_keys())
    assert not set(split_words("dresser hindrance impediment")) & set(world_words())

    frame = {f"cell.{name}.bias": CLASSES[name] for name in ("shape", "colour", "thing")}
    whole = {"lights": 2, "door": 2, "person": 2, "holding": 2, "count": 6}
    frame |= {f"whole.{name}.bias": count for name, count in whole.items()}
    assert sizes(FrameHeads(8)) == frame
    window = {f"state.{name}": count for name, count in frame.items()}
    assert sizes(WindowHeads(8)) == window | {"action.bias": 18, "moved.bias": 1, "motion.bias": 3}
    assert set(make_scene(PIXELS, record()).truth) == set(CLASSES)

    rich = {
        text for table in (RICH_EVENTS, RICH_STATES) for texts in table.values() for text in texts
    }
    rich |= {text for kind in ("handover to person", "handover from person")
             for text in event_texts(kind)}  # fmt: skip
    questions = {text for texts in RICH_QUESTIONS.values() for text in texts}
    chance = random.Random(0)
    assert not questions & set(frequent_texts("train", chance))
    assert not rich & set(frequent_answers("train", chance))
    assert set(wordings_of_questions(rich=False)) == set(QUESTIONS)
    assert {key for key in meanings(chance) if key.startswith("event:")} == {
        f"event:{kind}" for kind in ACTIONS
    }
    named = {key.rpartition(":")[0] for key in named_meanings(chance, 500)}
    assert named == {*(f"event:{kind}" for kind in OBJECT_ACTIONS), "held"}
    assert len(hard_candidates([], "train", chance)) == len(ACTIONS)
    assert not RICH_KINDS & set(demo_vocabulary()[QUESTIONS["action"][0]])


def test_a_rich_run_knows_both_worlds() -> None:
    plain, chance = set(fixed_candidates()), random.Random(0)
    assert set(fixed_candidates(rich=True)) - plain == {
        ("open", "drawer:open"),
        ("closed", "drawer:closed"),
    }
    keys = known_keys(rich=True)
    assert set(known_keys()) < set(keys)
    assert {"drawer:open", "obstacle:no", "person_held:red ball"} < set(keys)
    assert RICH_KINDS - {f"event:{kind}" for kind in RICH_ACTIONS[:2]} < set(keys)
    for key in keys:
        if key.split(":")[0] in ("event", "drawer", "obstacle", "person_held"):
            assert key_of(canonical_text(key)) == key
    assert {"drawer", "obstacle"} <= set(decoder_words(rich=True)) - set(decoder_words())
    assert {"dresser", "hindrance"} <= set(world_words(rich=True))
    assert set(RICH_QUESTIONS["drawer"]) <= set(frequent_texts("train", chance, rich=True))
    assert set(RICH_STATES["drawer:open"]) <= set(frequent_answers("train", chance, rich=True))
    assert RICH_KINDS | {"drawer:open", "obstacle:yes"} <= set(meanings(chance, rich=True))
    assert any(key.startswith("person_held:") for key in named_meanings(chance, 500, rich=True))
    assert sizes(WindowHeads(8, rich=True))["action.bias"] == len(actions(rich=True)) == 24
    assert sizes(FrameHeads(8, rich=True))["whole.drawer.bias"] == 2
    assert demo_vocabulary(rich=True)["is the drawer open or closed?"][0] == "the drawer is open"


def test_rich_scenes_have_their_targets_and_plain_ones_leave_them_open() -> None:
    scene = rich_scene()
    assert actions(rich=True)[scene.action[3]] == "drawer opens"
    assert [int(scene.truth[name][3]) for name in ("drawer", "obstacle", "handed")] == [1, 1, 1]
    doubtful = rich_scene(drawer=0.3, obstacle=0.5, person_visible=0.1)
    assert [int(doubtful.truth[name][3]) for name in ("drawer", "obstacle", "handed")] == [-1] * 3
    plain = make_scene(PIXELS, record(), rich=True)
    assert [int(plain.truth[name][3]) for name in ("drawer", "obstacle", "handed")] == [-1] * 3
    assert "drawer" in FrameHeads(8, rich=True)(torch.zeros(1, 64, 8))


def test_rich_scenes_are_asked_about() -> None:
    scene, rng = rich_scene(), random.Random(0)
    rows = [row for _ in range(60) for row in draw(scene, 4, 4, rng)]
    assert {row.task for row in rows} >= {"drawer", "obstacle", "person_held", "person_holding"}
    now = RichState.from_dict(rich_state(0.0))
    held = Question("person_held", "what does the person hold?", "", "object:red box", (), ())
    assert named_cells(held, now) == (cell_of((-0.3, -0.2)), -1)
    wrong = hard_candidates(rows, "train", rng, rich=True)
    assert {key for _, key in wrong} > RICH_KINDS


def test_the_same_word_of_the_door_and_of_the_drawer_is_no_wrong_answer() -> None:
    rows = [
        Row("drawer", "is the drawer open or closed?", "open", "drawer:open", (-1, -1)),
        Row("door", "how is the door?", "the door is open", "door:open", (-1, -1)),
    ]
    columns = Columns(rows, "train", random.Random(0), rich=True)
    names = list(zip(columns.texts, columns.column_keys.tolist(), strict=True))
    drawer, door = columns.row_keys.tolist()
    assert columns.ignored[0, names.index(("open", door))]
    assert columns.ignored[1, names.index(("open", drawer))]
    assert not columns.ignored[0, names.index(("the door is open", door))]
    assert not columns.ignored[0, columns.texts.index("closed")]


def test_drawer_and_obstacle_are_not_painted_over() -> None:
    now = RichState.from_dict(rich_state(0.0))
    frames = np.full((1, 128, 128, 3), 90, np.uint8)
    for seed in range(30):
        different = (distract(frames, [now], random.Random(seed)) != 90).any(-1)
        for u, v in (now.drawer_uv, now.obstacle_uv):
            x, y = round((u + 1) * 64), round((v + 1) * 64)
            assert not different[:, y - 10 : y + 10, x - 12 : x + 12].any()


def test_rich_scenes_are_rendered_beside_the_others_where_they_are_asked_for() -> None:
    plain, rich = NanoConfig(), replace(NanoConfig(), rich_scenes=40)
    assert not plain.rich
    assert read_arguments(["--rich-scenes", "40"]).rich
    assert data_plans(rich)[: len(data_plans(plain))] == data_plans(plain)
    assert all(plan.rich is None for plan in data_plans(plain))
    held_out, train = data_plans(rich)[len(data_plans(plain)) :]
    assert (held_out.split, held_out.scenes, held_out.out.name) == ("val", 38, "val_rich")
    assert (train.split, train.scenes, train.out.name) == ("train", 40, "train_rich")
    seeds = [(plan.split, range(plan.first, plan.first + plan.scenes)) for plan in data_plans(rich)]
    for one, (split, own) in enumerate(seeds):
        for other, theirs in seeds[one + 1 :]:
            assert split != other or not set(own) & set(theirs)


def test_less_than_no_rich_scenes_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        read_arguments(["--rich-scenes", "-1"])
    assert "--rich-scenes is -1; allowed are 0 and more" in capsys.readouterr().err


def test_a_run_stays_in_its_world_but_may_start_from_another(tmp_path: Path) -> None:
    config = NanoConfig(run=tmp_path / "run", start=tmp_path / "predictor.pt", rich_scenes=4)
    with pytest.raises(OtherWorldError, match="begun without --rich-scenes"):
        load_trunk(config)
    heads, rich_heads = WindowHeads(8).state_dict(), WindowHeads(8, rich=True).state_dict()
    for known, kept in ((heads, False), (rich_heads, True)):
        parts = {"window": {}, "heads": {}, "window_heads": known}
        torch.save({"parts": parts, "spent": 1.0, "done": True}, config.start)
        config.run.mkdir(exist_ok=True)
        (config.run / "start.pt").unlink(missing_ok=True)
        assert newest(config, "refine") == "start"
        found = torch.load(config.run / "start.pt", weights_only=True)["parts"]
        assert ("window_heads" in found) == ("heads" in found) == kept
        assert "window" in found
