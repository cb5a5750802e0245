"""The richer world: its events are true and seen, and the plain world knows nothing of it."""

from __future__ import annotations

import json
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from vljepa_lab.world import captions, dataset
from vljepa_lab.world.clips import Record, window
from vljepa_lab.world.dataset import make_scene
from vljepa_lab.world.event_wordings import EVENTS
from vljepa_lab.world.live import CameraConfig, SimulatedCamera
from vljepa_lab.world.model_xml import build_xml
from vljepa_lab.world.questions import RICH_TASKS, TASKS, WORDINGS, ask
from vljepa_lab.world.renderer import Renderer
from vljepa_lab.world.rich_cast import RichCast
from vljepa_lab.world.rich_model import RICH_BODIES
from vljepa_lab.world.rich_state import (
    OBSTACLES,
    RICH_ACTIONS,
    RICH_OBJECT_ACTIONS,
    RichConfig,
    RichState,
    actions,
    object_actions,
)
from vljepa_lab.world.rich_wordings import (
    RICH_EVENTS,
    RICH_QUESTIONS,
    RICH_STATES,
    RICH_UNSEEN_EVENTS,
    RICH_UNSEEN_QUESTIONS,
    RICH_UNSEEN_STATES,
)
from vljepa_lab.world.scene import Scene
from vljepa_lab.world.state import ACTIONS, OBJECT_ACTIONS, SPLITS
from vljepa_lab.world.unseen_wordings import UNSEEN_EVENTS, UNSEEN_QUESTIONS, UNSEEN_STATES
from vljepa_lab.world.wide_wordings import rich_wide_events, rich_wide_questions, rich_wide_states
from vljepa_lab.world.wordings import QUESTIONS, STATES

DENSE = RichConfig(gap=(1.5, 1.5), first=1.0, blurred=0.0)
BLURRED = RichConfig(gap=(2.0, 2.0), first=1.0, blurred=1.0, exposure=(0.15, 0.15))
SHARP = RichConfig(gap=(2.0, 2.0), first=1.0, blurred=0.0)  # BLURRED without the blur
# words without which no sentence can be made (as in test_wide_wordings)
GLUE = {"be", "i", "not", "we", "set", "stands", "rests"}


@pytest.fixture(scope="module")
def renderer() -> Iterator[Renderer]:
    r = Renderer(64, 64, textures=5, rich=True)
    yield r
    r.close()


@pytest.fixture(scope="module")
def plain_renderer() -> Iterator[Renderer]:
    r = Renderer(64, 64, textures=5)
    yield r
    r.close()


@pytest.fixture(scope="module")
def records(renderer: Renderer) -> list[Record]:
    """Ten dense rich scenes, read back from JSON."""
    lines = [make_scene(renderer, 900 + i, "train", rich=DENSE)[1] for i in range(10)]
    return [Record.from_dict(json.loads(json.dumps(line))) for line in lines]


# ---------------------------------------------------------------------- a function of time


def test_pictures_and_events_do_not_depend_on_how_often_one_looks(renderer: Renderer) -> None:
    """Also with motion blur, for which each picture looks ahead."""
    ends = []
    for rate, look in ((2.0, True), (7.3, False), (None, False)):
        scene = Scene(renderer, 23, "test_a", rich=BLURRED)
        for t in np.arange(0, 14, 1 / rate) if rate else ():
            scene.advance(float(t))
            if look:
                scene.render()
        scene.advance(14.0)
        ends.append((scene.render(), scene.state(), scene.all_events()))
    for picture, state, events in ends[1:]:
        assert events == ends[0][2]
        assert state == ends[0][1]
        np.testing.assert_array_equal(picture, ends[0][0])


def test_a_blurred_picture_is_the_mean_of_the_sharp_ones(renderer: Renderer) -> None:
    """Of a steady camera with little noise; where nothing moves it is the sharp picture."""
    compared = still = 0
    for seed in range(200):
        scene = Scene(renderer, seed, "train", rich=BLURRED)
        if scene.room.vibration > 0.0006 or scene.room.noise > 1.2:
            continue
        scene.advance(20.0)
        moving = [e for e in scene.events if e.kind in ("turn left", "turn right", "pick up")]
        if not moving:
            continue
        t = moving[0].start + 0.3 * (moving[0].end - moving[0].start)
        if scene.events[0].start > 0.5:
            blurred, sharp = (_pictures(renderer, seed, c, [0.0])[0] for c in (BLURRED, SHARP))
            np.testing.assert_array_equal(blurred, sharp)
            still += 1
        blurred = _pictures(renderer, seed, BLURRED, [t])[0].astype(float)
        stamps = [t + 0.15 * k / 9 for k in range(10)]
        sharp_ones = _pictures(renderer, seed, SHARP, stamps)
        mean = np.mean(sharp_ones, 0)
        moved = np.abs(sharp_ones[0] - mean).mean()
        assert moved > 0.5
        assert np.abs(blurred - mean).mean() < 0.6 * moved
        compared += 1
        if compared >= 3 and still:
            break
    assert compared >= 3
    assert still


def _pictures(
    renderer: Renderer, seed: int, config: RichConfig, stamps: list[float]
) -> list[np.ndarray]:
    scene = Scene(renderer, seed, "train", rich=config)
    out = []
    for t in stamps:
        scene.advance(t)
        out.append(scene.render())
    return out


def test_there_are_dense_and_quiet_rooms_sharp_and_blurred_ones(renderer: Renderer) -> None:
    scenes = [Scene(renderer, seed, "train", rich=RichConfig()).record() for seed in range(60)]
    gaps = np.array([s["gap"] for s in scenes])
    assert gaps.min() > 3
    assert gaps.max() < 60
    assert 9 < np.exp(np.log(gaps).mean()) < 20  # the middle of 3..60 in its logarithm is 13.4
    assert (gaps < 6).sum() >= 6
    assert (gaps > 30).sum() >= 6
    exposures = [s["exposure"] for s in scenes]
    assert 0.2 < np.mean([e > 0 for e in exposures]) < 0.6
    assert all(e == 0 or 0.04 <= e <= 0.12 for e in exposures)
    scene = Scene(renderer, 3, "val", rich=RichConfig(gap=(20, 20)))
    scene.advance(900)
    assert np.mean([b.start - a.end for a, b in pairwise(scene.events)]) == pytest.approx(20, 0.3)


# ---------------------------------------------------------------------- truth


def test_every_rich_event_occurs_and_leaves_the_world_as_it_says(renderer: Renderer) -> None:
    counts: Counter[str] = Counter()
    for seed in range(10):
        scene = Scene(renderer, seed, SPLITS[seed % 4], rich=DENSE)
        done = 0
        for t in np.arange(0, 40, 0.25):
            scene.advance(float(t))
            if len(scene.events) == done or scene.present is not None:
                continue
            done = len(scene.events)
            event = scene.events[-1]
            counts[event.kind] += 1
            if event.kind not in RICH_ACTIONS or counts[event.kind] > 4:
                continue
            scene.render()
            state = scene.state()
            assert isinstance(state, RichState)
            place = {o.name: o.place for o in state.objects}.get(event.object)
            right = {
                "drawer opens": state.drawer == 1,
                "drawer closes": state.drawer == 0,
                "obstacle appears": state.obstacle == 1
                and state.obstacle_kind in OBSTACLES
                and state.obstacle_visible > 0.3,
                "obstacle leaves": state.obstacle == 0
                and state.obstacle_kind == ""
                and state.obstacle_visible == 0,
                "handover to person": state.person_holds == event.object != ""
                and (place, state.held) == ("person", ""),
                "handover from person": state.held == event.object != ""
                and (place, state.person_holds) == ("gripper", ""),
            }
            assert right[event.kind], (event, state)
    assert all(counts[kind] >= 3 for kind in RICH_ACTIONS), counts
    assert set(counts) == set(actions(rich=True)) - {"nothing"}


def test_nothing_happens_that_cannot(renderer: Renderer) -> None:
    """Nobody leaves with an object, nobody is handed one who is not there, nothing is run over."""
    seen: Counter[str] = Counter()
    for seed in range(18):
        scene = Scene(renderer, seed, "train", rich=DENSE)
        cast = scene.cast
        assert isinstance(cast, RichCast)
        kind = ""
        for t in np.arange(0, 40, 0.2):
            scene.advance(float(t))
            event = scene.present
            if event is not None and event.kind != kind:
                seen[event.kind] += 1
                if event.kind.startswith("handover"):
                    assert cast.person == 1
                if event.kind == "person leaves":
                    assert cast.given is None
                if event.kind == "move forward":
                    assert cast.obstacle == 0
            kind = event.kind if event else ""
            assert cast.held is None or cast.held is not cast.given
            assert cast.forward < 0.06 or cast.obstacle < 0.01
            assert sum(o.place == "person" for o in cast.things) == (cast.given is not None)
    assert min(seen["person leaves"], seen["move forward"], seen["handover to person"]) >= 3


def test_what_is_handed_over_is_in_the_hand_all_the_way(renderer: Renderer) -> None:
    """No jump of the object at the moment when it changes hands, at 50 pictures a second."""
    checked = 0
    for seed in range(40):
        scene = Scene(renderer, seed, "train", rich=DENSE)
        scene.advance(30)
        event = next((e for e in scene.events if e.kind in RICH_OBJECT_ACTIONS), None)
        if event is None:
            continue
        scene = Scene(renderer, seed, "train", rich=DENSE)
        places = []
        for t in np.arange(event.start, event.end, 0.02):
            scene.advance(float(t))
            places.append(next(o.position for o in scene.cast.things if o.name == event.object))
        steps = np.linalg.norm(np.diff(np.array(places), axis=0), axis=1)
        assert steps.max() < 0.08, (seed, event)
        checked += 1
    assert checked >= 10


def test_drawer_obstacle_and_what_is_given_can_be_seen(records: list[Record]) -> None:
    states = [s for r in records for s in r.states if isinstance(s, RichState)]
    assert len(states) == 10 * 24
    assert np.mean([s.drawer_visible >= 0.5 for s in states]) > 0.75
    there = [s for s in states if s.obstacle == 1]
    assert np.mean([s.obstacle_visible >= 0.4 for s in there]) > 0.85
    given = [s for s in states if s.person_holds]
    assert np.mean([bool(s.seen_in_hand) for s in given]) > 0.9
    assert min(len(there), len(given)) > 30


def test_states_and_records_come_back_from_json(records: list[Record]) -> None:
    state = records[0].states[5]
    assert isinstance(state, RichState)
    assert RichState.from_dict(json.loads(json.dumps(state.as_dict()))) == state
    assert all(r.rich for r in records)


# ---------------------------------------------------------------------- the plain world


@pytest.mark.parametrize(
    ("split", "furnished"),
    [("train", False), ("train", True), ("val", False), ("test_a", False), ("test_b", False)],
)
def test_a_plain_scene_is_the_same_on_a_rich_renderer(
    renderer: Renderer, plain_renderer: Renderer, split: str, furnished: bool
) -> None:
    for seed in (6, 31):
        pictures, record = make_scene(plain_renderer, seed, split, 3, furnished)
        make_scene(renderer, seed + 1, split, 2, furnished, DENSE)
        again, same = make_scene(renderer, seed, split, 3, furnished)
        np.testing.assert_array_equal(pictures, again)
        assert same == record
        assert set(record) == {"seed", "split", "events", "stamps", "states"}
        assert "drawer" not in record["states"][0]


def test_the_plain_model_has_no_rich_body() -> None:
    xml = build_xml()
    assert not any(f'"{name}"' in xml for name in RICH_BODIES)


def test_the_plain_story_is_what_it_was(plain_renderer: Renderer) -> None:
    """Draws of before there was a richer world: seed 11 of the split train."""
    scene = Scene(plain_renderer, 11, "train")
    scene.advance(14.0)
    assert [(e.kind, e.object, round(e.start, 3), round(e.end, 3)) for e in scene.all_events()] == [
        ("turn left", "", 0.37, 1.825),
        ("lights off", "", 5.057, 5.76),
        ("put down", "white book", 8.792, 11.06),
        ("fall off", "orange bowl", 12.358, 13.853),
    ]


def test_plain_words_and_questions_have_nothing_rich(plain_renderer: Renderer) -> None:
    assert actions(rich=False) == ACTIONS
    assert object_actions(rich=False) == OBJECT_ACTIONS
    assert not set(ACTIONS) & set(RICH_ACTIONS)
    foreign = [f"event:{kind}" for kind in RICH_ACTIONS]
    foreign += ["drawer", "obstacle", "person_held"]
    plain = captions.vocabulary("test_b")
    assert not [k for k in plain.values() if k.startswith(tuple(foreign))]
    rich = captions.vocabulary("test_b", rich=True)
    assert plain.items() <= rich.items()
    assert len(rich) == len(plain) + 2 * 80 + 4 + 4 + 80
    record = Record.from_dict(make_scene(plain_renderer, 8, "train", 12)[1])
    assert not record.rich
    for t in range(3, 12):
        for wording in WORDINGS:
            for q in ask(record, t, random.Random(t), wording):
                assert q.task in TASKS
                assert not [k for k in q.keys if k.startswith(tuple(foreign))]


# ---------------------------------------------------------------------- words and questions


def _words(*tables: dict[str, tuple[str, ...]]) -> set[str]:
    texts = [text for table in tables for options in table.values() for text in options]
    return {word for text in texts for word in re.findall(r"[a-z']+", text.lower())} - {"x", "y"}


def test_wordings_are_many_and_never_trained_ones_stay_new() -> None:
    assert set(RICH_EVENTS) == set(RICH_UNSEEN_EVENTS) == set(RICH_ACTIONS)
    assert set(RICH_STATES) == set(RICH_UNSEEN_STATES)
    assert set(RICH_QUESTIONS) == set(RICH_UNSEEN_QUESTIONS)
    for kind in RICH_ACTIONS:
        assert len(set(RICH_EVENTS[kind])) >= 13  # as many as `ask` draws from
        assert len(set(RICH_UNSEEN_EVENTS[kind])) >= 4
    trained = [t for table in (RICH_EVENTS, RICH_STATES) for some in table.values() for t in some]
    unseen = [
        t
        for table in (RICH_UNSEEN_EVENTS, RICH_UNSEEN_STATES)
        for some in table.values()
        for t in some
    ]
    plain = {
        t
        for table in (EVENTS, UNSEEN_EVENTS, STATES, UNSEEN_STATES)
        for some in table.values()
        for t in some
    }
    assert len({*trained, *unseen}) == len(trained) + len(unseen)
    assert not plain & {*trained, *unseen}
    new = _words(UNSEEN_EVENTS, UNSEEN_STATES, UNSEEN_QUESTIONS) - _words(EVENTS, STATES, QUESTIONS)
    assert _words(RICH_EVENTS, RICH_STATES, RICH_QUESTIONS) & new <= GLUE
    wide = _words(rich_wide_events(), rich_wide_states(), rich_wide_questions())
    assert wide & new <= GLUE
    rich_new = _words(RICH_UNSEEN_EVENTS, RICH_UNSEEN_STATES, RICH_UNSEEN_QUESTIONS)
    rich_new -= _words(EVENTS, STATES, QUESTIONS, RICH_EVENTS, RICH_STATES, RICH_QUESTIONS)
    assert len(rich_new) > 30
    assert wide & rich_new <= {*GLUE, "any", "can", "cannot"}


def test_wide_wordings_of_the_rich_world_mean_one_thing() -> None:
    assert set(rich_wide_events()) == set(RICH_EVENTS)
    assert set(rich_wide_states()) == set(RICH_STATES)
    assert set(rich_wide_questions()) == set(RICH_QUESTIONS)
    keys: dict[str, str] = {}
    for kind in actions(rich=True):
        for text in captions.wide_event_texts(kind):
            assert keys.setdefault(text, kind) == kind, text
            assert captions.key_of(text) in (None, f"event:{kind}"), text
    for key in (*RICH_STATES, *STATES):
        if key not in ("held", "person_held"):
            for text in captions.wide_state_texts(key):
                assert keys.setdefault(text, key) == key, text
    for kind in RICH_ACTIONS:
        texts = (*RICH_EVENTS[kind], *rich_wide_events()[kind])
        assert len(set(texts)) == len(texts) >= 30


def test_every_rich_text_has_the_key_it_was_made_for() -> None:
    for text, key in captions.vocabulary("train", rich=True).items():
        assert captions.key_of(text) == key
    for kind in RICH_ACTIONS:
        obj = "red box" if kind in RICH_OBJECT_ACTIONS else ""
        key = captions.event_key(kind, obj)
        for unseen in (False, True):
            for text in captions.event_texts(kind, obj, unseen):
                assert captions.key_of(text) == key


def test_valid_texts_follow_the_rich_state(records: list[Record]) -> None:
    said: Counter[str] = Counter()
    for record in records:
        for s in record.states:
            assert isinstance(s, RichState)
            texts = set(captions.valid_texts(record.events, s))
            for key, right in (
                ("drawer:open", s.drawer_open is True),
                ("drawer:closed", s.drawer_open is False),
                ("obstacle:yes", s.blocked is True),
                ("obstacle:no", s.blocked is False),
            ):
                assert (captions.state_text(key) in texts) == right
                said[key] += right
            if s.person_holds and s.seen_in_hand:
                assert captions.state_text(f"person_held:{s.person_holds}") in texts
                said["person_held"] += 1
            assert s.obstacle < 0.8 or s.blocked is not False
            fields = captions.truth(record.events, s)
            assert fields["state"]["drawer"] == s.drawer
    assert min(said.values()) >= 20
    assert len(said) == 5


@pytest.mark.parametrize("wording", WORDINGS)
def test_rich_questions_are_true_and_balanced(records: list[Record], wording: str) -> None:
    counts: dict[str, Counter[bool]] = defaultdict(Counter)
    kinds = set()
    for record in records:
        rng = random.Random(3)
        for t in range(3, 24):
            s = record.states[t]
            assert isinstance(s, RichState)
            for q in ask(record, t, rng, wording):
                assert q.candidates[q.keys.index(q.key)] == q.answer
                assert "{" not in q.text + "".join(q.candidates)
                if q.task == "action":
                    assert len(q.keys) == len(set(q.keys)) == len(actions(rich=True))
                    kinds.add(q.key)
                elif q.task == "event":
                    assert set(q.keys) >= {f"event:{k}" for k in RICH_ACTIONS[2:]}
                    assert q.key.split(":")[1] == window(record, t).kind
                elif q.task in RICH_TASKS:
                    yes = {
                        "drawer": s.drawer > 0.5,
                        "obstacle": s.obstacle > 0.5,
                        "person_held": bool(s.person_holds),
                        "person_holding": bool(s.person_holds),
                    }[q.task]
                    right = {"yes", "drawer:open", "obstacle:yes", f"object:{s.person_holds}"}
                    assert (q.key in right) == yes, (q, s)
                    counts[q.task][yes] += 1
    assert set(counts) == set(RICH_TASKS)
    for task, of in counts.items():
        assert 0.25 < of[True] / (of[True] + of[False]) < 0.75, (task, of)
    assert len(kinds & {f"event:{k}" for k in RICH_ACTIONS}) >= 5


# ---------------------------------------------------------------------- ways in


def test_the_command_makes_a_rich_set(tmp_path: Path) -> None:
    args = ["--split", "train", "--scenes", "1", "--out", str(tmp_path), "--size", "16", "--rich"]
    assert dataset.main(args) == 0
    line = json.loads((tmp_path / "shard_00000.jsonl").read_text())
    assert line["rich"] is True
    assert Record.from_dict(line).rich


def test_a_live_camera_can_be_rich() -> None:
    config = CameraConfig(width=64, height=48, fps=4, seed=4, scene_seconds=2.0, rich=BLURRED)
    camera = SimulatedCamera(config)
    frames = list(camera.frames(3.0))
    camera.close()
    assert len(frames) == 12
    assert all("drawer" in f.truth["state"] for f in frames)
    assert any("drawer" in text for f in frames for text in f.truth["valid_texts"])


def test_what_is_not_allowed_is_refused_by_name(plain_renderer: Renderer) -> None:
    with pytest.raises(ValueError, match="needs a renderer made with rich=True"):
        Scene(plain_renderer, 0, "train", rich=RichConfig())
    for field, value in (("gap", (0.1, 3.0)), ("gap", (9.0, 3.0)), ("blurred", 1.5)):
        with pytest.raises(ValueError, match=rf"{field} is .*; allowed are"):
            RichConfig(**{field: value})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="sub_frames is 1; allowed are 2"):
        RichConfig(sub_frames=1)
