"""A camera that switches to infrared and back, whose pictures lose their colour as a whole."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from graph import MODEL
from hypothesis import given
from hypothesis import strategies as st

from vljepa_ros.engines.load import load_engine
from vljepa_ros.engines.protocol import Clip
from vljepa_ros.perception.change.anchor_drift import AnchorDrift, AnchorDriftConfig
from vljepa_ros.perception.change.change_prior import ColourGuard
from vljepa_ros.perception.frames import model_input, saturation
from vljepa_ros.perception.image_source import VideoFile
from vljepa_ros.perception.selective_decoder import SelectiveDecoder
from vljepa_ros.resources import model_dir

RATE = 5  # samples a second
CLIP = Path(__file__).parents[2] / "fixtures" / "dense_clip" / "clip.mp4"
STILL_S = 9.6, 12.8  # of it: nothing happens
SWITCHES, EACH_S = 12, 6


def switches(values: list[float]) -> list[int]:
    guard = ColourGuard(1.8)
    return [i for i, value in enumerate(values) if guard.observe(i / RATE, value)]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.3] * 5 + [0.004] * 5 + [0.28] * 5, [5, 10]),
        ([0.05] * 5 + [0.0] * 5 + [0.04] * 5, [5, 10]),  # a room with little colour
        ([0.0] * 5 + [0.2] * 5, [5]),  # started at night
        ([0.0] * 9, []),  # a camera without colour
        ([0.3, 0.2, 0.1, 0.06, 0.1, 0.3], []),  # less colour is not none
        ([0.3] * 5 + [-1.0, math.nan] * 5 + [0.3] * 5, []),  # in the dark nobody can tell
    ],
)
def test_a_loss_of_all_colour_is_a_switch(values: list[float], expected: list[int]) -> None:
    assert switches(values) == expected


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), max_size=30))
def test_any_saturation_is_taken(values: list[float]) -> None:
    guard = ColourGuard(1.0)
    for i, value in enumerate(values):
        guard.observe(float(i), value)
        assert guard.factor(float(i)) in (1.0, 20.0)


def test_saturation_of_pictures() -> None:
    colour = np.full((32, 32, 3), (200, 100, 50), np.uint8)
    assert saturation(colour) == pytest.approx(0.75)
    assert saturation(colour // 2) == pytest.approx(0.75), "dimmed"
    assert saturation(np.full((32, 32, 3), 90, np.uint8)) == 0.0
    assert saturation(np.full((32, 32, 3), (9, 0, 0), np.uint8)) == -1.0
    assert saturation(np.full((1, 1, 3), 255, np.uint8)) == 0.0


def test_infrared_and_back_is_no_event() -> None:
    """Twelve switches of a still scene of the world; the guard waits them out."""
    engine = load_engine(model_dir(MODEL), threads=1)
    config = engine.config
    begin, end = (round(seconds * RATE) for seconds in STILL_S)
    video = VideoFile(CLIP)
    shots = list(video.shots())[:: round(video.rate / RATE)][begin:end]
    still = [model_input(shot.bgr[..., ::-1], config.input_size) for shot in shots]
    grey = [
        frame.mean(axis=2, keepdims=True).round().astype(np.uint8).repeat(3, 2) for frame in still
    ]
    frames = []
    for k in range((SWITCHES + 1) * EACH_S * RATE):
        there_and_back = abs((k + len(still)) % (2 * len(still) - 2) - len(still) + 1)
        frames.append((grey if k // (EACH_S * RATE) % 2 else still)[there_and_back])
    span = [round(-back * config.frame_interval * RATE) for back in range(config.clip_frames)][::-1]
    first = -span[0]
    clips = [
        Clip(
            np.stack([frames[k + offset] for offset in span]), tuple(k + offset for offset in span)
        )
        for k in range(first, len(frames))
    ]
    vectors = []
    for start in range(0, len(clips), 16):
        encoded = engine.encode(clips[start : start + 16], [None] * len(clips[start : start + 16]))
        vectors += list(engine.embed([one.tokens for one in encoded], config.default_query))
    found = {}
    for guarded in (False, True):
        guard = ColourGuard(config.frame_interval * (config.clip_frames - 1) + 0.3)
        detector = AnchorDrift(AnchorDriftConfig(), None, guard if guarded else None)
        decoder = SelectiveDecoder(detector, engine.generate)
        events = 0
        for k, vector in enumerate(vectors, first):
            guard.observe(k / RATE, saturation(frames[k]))
            update = decoder.observe(k / RATE, vector)
            events += update is not None and update.is_event
        assert guard.switches == SWITCHES
        found[guarded] = events - 1, decoder.decodes - 1
    engine.close()
    print(f"{SWITCHES} switches: (events, decodes) {found[False]} without the guard, {found[True]}")
    assert found[True][0] == 0
    assert found[False][0] > 0, "or this shows nothing"
