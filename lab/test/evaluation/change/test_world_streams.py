"""Streams of the simulated world for change detection: disturbances, cutting, reading texts."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from vljepa_lab.evaluation.change import world_streams
from vljepa_lab.evaluation.change.embedding import (
    RenderedScene,
    ScenePlan,
    StreamSpec,
    replay_order,
)
from vljepa_lab.evaluation.change.streams import draw_disturbances, undisturbed
from vljepa_lab.evaluation.change.world_streams import (
    WrittenText,
    set_specs,
    still_specs,
    stream_of,
)
from vljepa_lab.world.records import Event
from vljepa_ros.cli.main import main
from vljepa_ros.engines.protocol import Generated

STAMPS = np.arange(0.0, 3600.0, 0.5)


def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (128, 192, 3), dtype=np.uint8)


def test_an_undisturbed_camera_gives_the_middle_of_the_picture() -> None:
    wide = picture()
    assert np.array_equal(undisturbed(3).apply(wide, 1), wide[:, 32:160])


def test_every_kind_of_disturbance_comes_many_times_an_hour_and_passes() -> None:
    drawn = draw_disturbances(STAMPS, 7)
    assert np.array_equal(drawn.gain, draw_disturbances(STAMPS, 7).gain)
    assert 0.02 < 1.0 - drawn.kept.mean() < 0.15
    for active in (drawn.gain != 1.0, drawn.shift[:, 0] != 0.0, drawn.yaw != 0.0):
        begins = np.flatnonzero(np.diff(active.astype(int)) == 1)
        assert 10 <= begins.size <= 80
        assert active.mean() < 0.2
    assert 2**-1.1 < drawn.gain.min() < 1.0 < drawn.gain.max() < 2**1.1
    disturbed = (drawn.yaw != 0.0) | (drawn.shift[:, 0] != 0.0)
    assert (drawn.turn_rates[~disturbed] == 0.0).all()
    assert np.abs(drawn.turn_rates[disturbed]).max() > 0.1


def test_looking_aside_moves_the_picture_the_other_way() -> None:
    wide = np.zeros((128, 192, 3), np.uint8)
    wide[:, 96] = 255
    aside = replace(undisturbed(1), yaw=np.array([0.1]))
    bright = aside.apply(wide, 0)[64, :, 0].argmax()
    assert bright == pytest.approx(64 - 107 * np.tan(0.1), abs=1.5)


def test_frames_of_a_quiet_room_come_again_in_another_order() -> None:
    order = replay_order(1500, 600, 3)
    assert order.size == 1500
    assert np.array_equal(order[:600], np.arange(600))
    assert np.array_equal(np.sort(order[600:1200]), np.arange(600))
    assert not np.array_equal(order[600:1200], np.arange(600))


def test_sets_share_no_room_and_perturbed_ones_show_the_same_rooms() -> None:
    kinds = ("gap3", "gap12", "gap60")
    specs = [s for kind in kinds for s in set_specs(kind, 40, 0, False)]
    specs += still_specs(24, 3600.0, 0, False)
    assert len({spec.plan.seed for spec in specs}) == len(specs)
    assert set_specs("gap3", 2, 5, True)[0].plan == set_specs("gap3", 2, 5, False)[0].plan


class Engine:
    """Writes the text whose number is the embedding's first value."""

    config = SimpleNamespace(model_id="toy", frame_interval=0.5, clip_frames=4)
    texts = ("the door opens", "nothing is happening", "no such text")

    def __init__(self) -> None:
        self.asked = 0

    def generate(self, vectors: np.ndarray) -> list[Generated]:
        self.asked += len(vectors)
        return [Generated(self.texts[int(vector[0])], 1.0, True) for vector in vectors]


def test_texts_are_read_once_by_key_and_unknown_ones_are_never_right() -> None:
    engine: Any = Engine()
    read = WrittenText(engine)
    door = read.index("event:door opens")
    vectors = np.array([[0.0], [2.0], [1.0], [0.0]], np.float32)
    found = read(vectors).tolist()
    assert found == [door, -1, read.index("event:nothing"), door]
    asked = engine.asked
    read(vectors)
    assert engine.asked == asked


def test_a_stream_begins_and_ends_where_no_event_is(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = ScenePlan("gap3", 0, 3.0, 30.0)
    happened = [(0.5, 2.0), (3.0, 5.0), (10.0, 12.0), (27.0, 29.0)]
    scene = RenderedScene(
        np.zeros((60, 1, 1, 3), np.uint8),
        np.arange(0.0, 30.0, 0.5),
        tuple(Event("door opens", "", start, end) for start, end in happened),
        ((0.0, ("lights:on",)),),
    )
    stamps = np.arange(1.5, 30.0, 0.5)
    ones, zeros = np.ones((stamps.size, 1), np.float32), np.zeros(stamps.size)
    seen = {"stamps": stamps, "embeddings": ones, "turn_rates": zeros}
    monkeypatch.setattr(world_streams, "load_scene", lambda *_: scene)
    monkeypatch.setattr(world_streams, "load_embedded", lambda *_: seen)
    engine: Any = Engine()
    stream = stream_of(StreamSpec(plan, False, 30.0), None, engine, WrittenText(engine))  # type: ignore[arg-type]
    assert [(event.start, event.end, event.strong) for event in stream.events] == [(10, 12, True)]
    assert (stream.stamps[0], stream.end) == (7.0, 27.0)
    assert stream.stamps[-1] < 27.0
    assert stream.clip == 1.5


@pytest.mark.parametrize("more", [["door"], ["--world", "--synthetic-only"]])
def test_what_makes_no_sense_is_refused(more: list[str]) -> None:
    assert main(["eval", "events", *more]) == 2
