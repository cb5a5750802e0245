"""A recording through pipeline and triggers: what is seen is what the nodes would see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from colour_bag import BEGIN, LATE, SECOND, write_bag
from colour_domain import write_domain
from colour_engine import COLOURS, ColourEngine

from vljepa_ros.models.calibration import EncodedTexts
from vljepa_ros.perception.bags.embedding import ClipPlan
from vljepa_ros.perception.bags.reading import BagError
from vljepa_ros.perception.checking.check import Checked, Conditions, check
from vljepa_ros.perception.checking.truth import TruthError, read_truth
from vljepa_ros.perception.checking.watching import Limits, Seen, open_recording, replay, watch
from vljepa_ros.perception.image_source import SourceError
from vljepa_ros.perception.pipeline import EMBEDDINGS
from vljepa_ros.perception.trigger_board import State

LIMITS = Limits(0.8, 0.3, 5.0)
RED = [scene for _ in range(6) for scene in (("blue", 8.0), ("red", 4.0))]
WHEN = [[12.0 * i + 8.0, 12.0 * i + 12.0] for i in range(6)]


def checked(path: Path, truth: str, engine: ColourEngine | None = None) -> Sequence[Checked]:
    file = path.parent / "intervals.yaml"
    file.write_text(truth, encoding="utf-8")
    conditions = Conditions(ClipPlan(0.2, 0), LIMITS, 2.0, {})
    with open_recording(path, None, 10.0) as recording:
        return check(engine or ColourEngine(), recording, read_truth(file), conditions)


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bag(tmp_path_factory.mktemp("check") / "bag", RED)


def test_texts_and_labels_of_a_bag(bag: Path) -> None:
    text, label, wrong, never = checked(
        bag,
        f"a red wall: &red {WHEN}\nred: *red\na green wall: *red\na white wall: []\n"
        "labels: ['what colour is it now? | red | blue']",
    )
    for one, kind in ((text, "text"), (label, "label")):
        assert (one.kind, one.camera, one.usable, one.problem) == (kind, "front", True, "")
        assert one.verdict is not None
        assert one.verdict.held_out
        found = one.verdict.figures
        assert (found.intervals, found.found, found.alarms) == (3, 3, 0)
        assert 0.3 <= found.delay < 1.0, "settle, a clip at 5 Hz, and half a frame interval"
    assert (wrong.usable, wrong.problem) == (False, "finds nothing")
    assert (never.usable, never.as_dict()["recall"]) == (None, None)
    assert "true in 0 intervals" in never.problem


def test_absolute_times_and_the_time_of_recording(bag: Path) -> None:
    start = (BEGIN + LATE) / SECOND
    when = [[start + a, start + b] for a, b in WHEN]
    (one,) = checked(bag, f"/front/image_raw: {{a red wall: {when}}}")
    assert one.usable


def test_a_video_and_a_folder_are_like_the_bag(tmp_path: Path) -> None:
    folder, video = tmp_path / "images", tmp_path / "video.avi"
    folder.mkdir()
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (64, 48))
    number = 0
    for colour, seconds in RED[:6]:
        bgr = np.full((48, 64, 3), COLOURS[colour][::-1], np.uint8)
        for _ in range(round(seconds * 10)):
            writer.write(bgr)
            cv2.imwrite(str(folder / f"{number}.png"), bgr)
            number += 1
    writer.release()
    for path in (folder, video):
        (one,) = checked(path, f"a red wall: {WHEN[:3]}")
        assert one.usable
        assert one.verdict is not None
        assert (one.verdict.figures.found, one.verdict.held_out) == (3, False)


def test_pictures_out_of_the_domain_are_unknown(bag: Path, tmp_path: Path) -> None:
    engine = ColourEngine()
    engine.config = write_domain(engine.config, tmp_path)  # knows red pictures
    (one,) = checked(bag, f"a blue wall: {[[a - 8, b - 8] for a, b in WHEN if a > 8]}", engine)
    assert one.verdict is not None
    assert one.verdict.figures.unknown > 0.3


def test_a_model_that_cannot_judge_presence(bag: Path) -> None:
    engine = ColourEngine()
    scores = replace(engine.config.calibration, none_similarity=-1.0)
    assert not scores.judges_presence
    engine.config = replace(engine.config, calibration=scores)
    (one,) = checked(bag, f"a red wall: {WHEN}", engine)
    assert (one.usable, one.verdict) == (False, None)
    assert "has no capability 'presence'" in one.problem


@pytest.mark.parametrize(
    ("truth", "message"),
    [
        ("rear: {red: []}", "its camera is 'rear', allowed: front \\(/front/image_raw\\)"),
        ("red: [[900, 901]]", "allowed: 0 to 7"),
    ],
)
def test_a_truth_that_does_not_fit_is_named_before_the_work(
    bag: Path, truth: str, message: str
) -> None:
    engine = ColourEngine()
    with pytest.raises(TruthError, match=message):
        checked(bag, truth, engine)
    assert not engine.embedded


def test_two_cameras_each_have_their_own(tmp_path: Path) -> None:
    topics = ("/front/image_raw", "/rear/image_raw")
    path = write_bag(tmp_path / "two", RED[:4], topics=topics)
    found = checked(path, "rear: {a red wall: []}\n/front/image_raw: {a red wall: [[8, 12]]}")
    assert [one.camera for one in found] == ["rear", "front"]
    with pytest.raises(TruthError, match="it names no camera, and there are 2, allowed: under one"):
        checked(path, "a red wall: []")


def test_what_is_no_recording(tmp_path: Path) -> None:
    text, old = tmp_path / "text.txt", tmp_path / "old.bag"
    text.write_text("no video")
    old.touch()
    for path, error, message in (
        (
            tmp_path / "none",
            SourceError,
            "no recording at .*none', allowed: a bag, a video file or",
        ),
        (Path("world"), SourceError, "no recording at 'world'"),
        (text, SourceError, "is not a video that OpenCV can read"),
        (old, BagError, "ROS 1"),
    ):
        with pytest.raises(error, match=message), open_recording(path, None, 1.0):
            pass


def test_damaged_images_of_a_folder_are_said(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "1.png"), np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "2.png").write_bytes(b"no picture")
    with open_recording(tmp_path, None, 1.0) as recording:
        assert len(list(recording.images)) == 1
        assert "1 of 2 images left out" in recording.rest()["problem"]


def test_a_gap_is_unknown_and_slow_images_are_seen(tmp_path: Path) -> None:
    """As live: a camera that stopped says nothing, and one image in two seconds is a clip."""
    path = write_bag(tmp_path / "slow", (("red", 20.0), ("blue", 20.0)), rate=0.5)
    engine = ColourEngine()
    with open_recording(path, None, 1.0) as recording:
        wanted = {"front": frozenset({EMBEDDINGS})}
        seen = watch(engine, recording, ClipPlan(0.2, 0), wanted, None, {})["front"]
    assert len(seen.times) >= 15
    keep = [i for i, time in enumerate(seen.times) if not 8.0 < time < 16.0]
    gap = Seen([seen.times[i] for i in keep], [seen.observations[i] for i in keep])
    found = replay(gap, [("it is red", 0.5)], EncodedTexts(), (), LIMITS)
    assert len(found.states) == len(found.edges) - 1 == len(keep) + 1
    assert found.when(0, State.UNKNOWN).tolist() == [[found.edges[0], found.edges[-1]]]
