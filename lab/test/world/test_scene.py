"""A scene is a function of its seed and of time, whatever the rate at which it is watched."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest

from vljepa_lab.world.captions import ground_truth, valid_keys
from vljepa_lab.world.records import ACTIONS, NEVER_TRAINED
from vljepa_lab.world.renderer import Renderer
from vljepa_lab.world.scene import Scene


@pytest.fixture(scope="module")
def renderer() -> Iterator[Renderer]:
    r = Renderer(64, 64, textures=5)
    yield r
    r.close()


def test_the_same_seed_gives_the_same_picture_state_and_events(renderer: Renderer) -> None:
    seen = []
    for _ in range(2):
        scene = Scene(renderer, 11, "train")
        scene.advance(6.3)
        seen.append((scene.render(), scene.state(), scene.all_events()))
    assert np.array_equal(seen[0][0], seen[1][0])
    assert seen[0][1:] == seen[1][1:]


def test_what_happens_is_what_it_always_was(renderer: Renderer) -> None:
    """Seed 11 of the split train, as the first version drew it."""
    scene = Scene(renderer, 11, "train")
    scene.advance(14.0)
    assert [(e.kind, e.object, round(e.start, 3), round(e.end, 3)) for e in scene.all_events()] == [
        ("turn left", "", 0.37, 1.825),
        ("lights off", "", 5.057, 5.76),
        ("put down", "white book", 8.792, 11.06),
        ("fall off", "orange bowl", 12.358, 13.853),
    ]


def test_a_script_says_what_happens_and_when(renderer: Renderer) -> None:
    """Also where one event has not ended at the onset of the next; the impossible is left out."""
    script = [(1.0, "lights on"), (2.0, "lights off"), (2.1, "turn left"), (20.0, "lights on")]
    scene = Scene(renderer, 11, "train", script=script)  # where the lights are on at first
    scene.advance(60.0)
    events = scene.events
    assert [e.kind for e in events] == ["lights off", "turn left", "lights on"]
    assert [events[0].start, events[2].start] == [2.0, 20.0]
    assert events[1].start == events[0].end > 2.1


def test_another_seed_gives_another_scene(renderer: Renderer) -> None:
    pictures = []
    for seed in (1, 2):
        scene = Scene(renderer, seed, "train")
        scene.advance(1.0)
        pictures.append(scene.render().astype(int))
    assert np.abs(pictures[0] - pictures[1]).mean() > 5


def test_what_happens_does_not_depend_on_the_frame_rate(renderer: Renderer) -> None:
    """Watched at 2 Hz, at an odd 7.3 Hz, or only at the end: the same state, picture and events."""
    ends = []
    for rate in (2.0, 7.3, None):
        scene = Scene(renderer, 23, "test_a")
        if rate is not None:
            for t in np.arange(0, 20, 1 / rate):
                scene.advance(float(t))
        scene.advance(20.0)
        ends.append((scene.render(), scene.state(), scene.all_events()))
    for picture, state, events in ends[1:]:
        assert events == ends[0][2]
        assert state == ends[0][1]
        assert np.array_equal(picture, ends[0][0])


def test_events_follow_each_other_with_gaps_and_known_kinds(renderer: Renderer) -> None:
    kinds = set()
    for seed in range(12):
        scene = Scene(renderer, seed, "train", gap=2.0)
        scene.advance(40.0)
        events = scene.all_events()
        assert len(events) >= 6
        for a, b in pairwise(events):
            assert a.end < b.start
        for e in events:
            assert 0.5 <= e.end - e.start <= 2.5
            assert e.kind in ACTIONS[1:]
            kinds.add(e.kind)
    assert kinds == set(ACTIONS[1:])


@pytest.mark.parametrize("gap", [3.0, 30.0])
def test_the_mean_gap_is_what_was_asked_for(renderer: Renderer, gap: float) -> None:
    scene = Scene(renderer, 3, "val", gap=gap)
    scene.advance(40 * gap)
    events = scene.events
    gaps = [b.start - a.end for a, b in pairwise(events)]
    assert np.mean(gaps) == pytest.approx(gap, rel=0.3)


def test_states_agree_with_events(renderer: Renderer) -> None:
    """After each event the world is as the event says."""
    checked = set()
    for seed in range(8):
        scene = Scene(renderer, seed, "train", gap=2.0)
        done = 0
        for t in np.arange(0, 40, 0.25):
            scene.advance(float(t))
            if len(scene.events) == done or scene.present is not None:
                continue
            done = len(scene.events)
            event, world = scene.events[-1], scene.world
            place = {o.name: o.place for o in world.objects}.get(event.object)
            held = world.held.name if world.held else ""
            right = {
                "pick up": held == event.object and place == "gripper",
                "put down": held == "" and place == "table",
                "drop": held == "" and place == "table",
                "fall off": place == "floor",
                "door opens": world.door == 1,
                "door closes": world.door == 0,
                "lights on": world.lights == 1,
                "lights off": world.lights == 0,
                "person enters": world.person == 1,
                "person leaves": world.person == 0,
            }
            assert right.get(event.kind, True), event
            checked.add(event.kind)
    assert {"pick up", "fall off", "door opens", "lights off", "person leaves"} <= checked


def test_boxes_in_the_image_lie_where_the_object_is_drawn(renderer: Renderer) -> None:
    """The box of a clearly seen object covers the pixels that show its body."""
    checked = 0
    for seed in range(6):
        scene = Scene(renderer, seed, "train")
        scene.advance(0.1)
        scene.render()
        body_ids = renderer.render_body_ids()
        for o, drawn in zip(scene.state().objects, scene.world.objects, strict=True):
            if o.visible < 0.9:
                continue
            rows, columns = np.nonzero(body_ids == renderer.body_id[drawn.body])
            centre = ((columns.mean() + 0.5) / 32 - 1, (rows.mean() + 0.5) / 32 - 1)
            assert np.abs(np.subtract(centre, o.uv)).max() < 0.15
            checked += 1
    assert checked >= 6


def test_never_trained_pairs_are_in_test_b_only(renderer: Renderer) -> None:
    for split in ("train", "val", "test_a"):
        for seed in range(25):
            objects = Scene(renderer, seed, split).world.objects
            assert not {(o.color, o.shape) for o in objects} & NEVER_TRAINED
    objects = [o for seed in range(40) for o in Scene(renderer, seed, "test_b").world.objects]
    share = np.mean([(o.color, o.shape) in NEVER_TRAINED for o in objects])
    assert 0.35 < share < 0.65


def test_a_dark_room_is_darker_but_visible(renderer: Renderer) -> None:
    levels: dict[bool, list[float]] = {True: [], False: []}
    for seed in range(20):
        scene = Scene(renderer, seed, "train")
        scene.advance(0.0)
        picture = scene.render()
        levels[scene.state().lights].append(float(picture.mean()))
    assert np.mean(levels[True]) > 1.6 * np.mean(levels[False])
    assert min(levels[False]) > 15


def test_going_back_unknown_splits_and_bad_gaps_are_refused(renderer: Renderer) -> None:
    scene = Scene(renderer, 0, "train")
    scene.advance(2.0)
    with pytest.raises(ValueError, match="cannot go back"):
        scene.advance(1.0)
    with pytest.raises(ValueError, match="allowed are train, val, test_a, test_b"):
        Scene(renderer, 0, "holdout")
    with pytest.raises(ValueError, match="gap must be positive"):
        Scene(renderer, 0, "train", gap=0)


def test_the_truth_of_a_scene_names_its_present_event(renderer: Renderer) -> None:
    scene = Scene(renderer, 2, "train")
    while scene.present is None:
        scene.advance(scene.time + 0.25)
    scene.render()
    event, state = scene.present, scene.state()
    fields = ground_truth(scene.all_events(), state)
    assert (fields["event"], fields["object"]) == (event.kind, event.object)
    assert valid_keys(scene.all_events(), state)[0].startswith(f"event:{event.kind}")
