"""Sources of images: the demo clip, the simulated world, files that are none."""

from __future__ import annotations

import math
import shutil
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from variable_video import VARIABLE, level_of, write_video

from vljepa_ros.perception.image_source import (
    SourceError,
    VideoFile,
    demo_clip,
    open_source,
)


def test_files_that_are_no_videos_and_empty_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no images in"):
        open_source(str(tmp_path), 0, (0, 0), 0.0)
    for nowhere in ("~nobody-here/clip.mp4", "/dev/video99999999999", "9" * 30, "a\0b"):
        with pytest.raises(SourceError, match="no image source"):
            open_source(nowhere, 0, (0, 0), 0.0)
    text = tmp_path / "a.mp4"
    text.write_text("no video", encoding="utf-8")
    with pytest.raises(SourceError, match="not a video that OpenCV can read"):
        open_source(str(text), 0, (0, 0), 0.0)


def test_the_demo_clip_has_a_truth_for_each_frame() -> None:
    assert demo_clip().is_file()
    source = open_source("demo", 0, (0, 0), 0.0)
    shots = list(source.shots())
    assert len(shots) > 100
    assert all(shot.truth is not None for shot in shots)
    assert abs(shots[-1].truth["stamp"] - (len(shots) - 1) / source.rate) < 0.2


def test_the_simulated_world_is_a_camera() -> None:
    if find_spec("mujoco") is None:  # importing it here would choose its OpenGL too early
        pytest.skip("needs the extra world")
    source = open_source("world", 3, (96, 64), 5.0)
    try:
        shots = iter(source.shots())
        first = next(shots)
    finally:
        source.close()
    assert first.bgr.shape == (64, 96, 3)
    assert first.bgr.std() > 5
    assert first.truth is not None
    assert first.truth["valid_texts"]


def test_frames_of_a_folder_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    names = [f"frame_{number}.png" for number in range(1, 13)] + ["frame_012.png", "view.png"]
    for level, name in enumerate(names):
        cv2.imwrite(str(tmp_path / name), np.full((4, 4, 3), 10 * level, np.uint8))
    shots = list(open_source(str(tmp_path), 0, (0, 0), 0.0).shots())
    levels = [shot.bgr.max() // 10 for shot in shots]
    assert levels == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 11, 13]


def test_images_of_a_folder_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "good.png"), np.full((4, 4, 3), 7, np.uint8))
    (tmp_path / "damaged.jpg").write_bytes(b"nothing")
    source = open_source(str(tmp_path), 0, (0, 0), 0.0)
    assert len(list(source.shots())) == 1
    assert "1 of 2 images left out, the last: " in source.left_out
    assert "damaged.jpg" in source.left_out
    (tmp_path / "good.png").unlink()
    cv2.imwrite(str(tmp_path / "depth.png"), np.full((4, 4), 1500, np.uint16))
    with pytest.raises(SourceError, match=r"2 of 2 images left out.*depth.*allowed"):
        list(open_source(str(tmp_path), 0, (0, 0), 0.0).shots())


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_video_of_variable_rate_keeps_its_times(tmp_path: Path, suffix: str) -> None:
    path = write_video(tmp_path / f"v{suffix}", VARIABLE)
    video = VideoFile(path)
    shots = list(video.shots())
    assert np.allclose([shot.time for shot in shots], VARIABLE, atol=2e-3)
    assert [int(shot.bgr.mean()) for shot in shots[::16]] == pytest.approx(
        [level_of(index) for index in range(len(VARIABLE))[::16]], abs=3
    )


class FakeCapture:
    """A device or file of three frames; `values` by property."""

    def __init__(self, values: dict[int, float], frames: int = 3) -> None:
        self.values, self.left = values, frames

    def isOpened(self) -> bool:  # noqa: N802
        return True

    def get(self, name: int) -> float:
        return self.values.get(name, 0.0)

    def grab(self) -> bool:
        self.left -= 1
        return self.left >= 0

    def read(self) -> tuple[bool, Any]:
        return self.grab(), np.zeros((4, 4, 3), np.uint8)

    def release(self) -> None:
        pass


@pytest.mark.parametrize("rate", [-1.0, 0.0, math.nan, math.inf, 1e9])
def test_rates_that_cannot_be_are_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rate: float
) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", lambda _: FakeCapture({cv2.CAP_PROP_FPS: rate}))
    webcam = open_source("0", 0, (0, 0), 0.0)
    assert webcam.rate == 30.0
    shots = webcam.shots()
    assert next(shots).time is None
    with pytest.raises(SourceError, match="webcam 0 gives no images"):
        list(shots)
    (tmp_path / "v.avi").touch()
    video = open_source(str(tmp_path / "v.avi"), 0, (0, 0), 0.0)
    assert video.rate == 10.0
    times = [shot.time for shot in video.shots()]
    assert np.allclose(times, [0.0, 0.1, 0.2]), "a file without times has those of its rate"
    assert all(later > earlier for earlier, later in pairwise(times))


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        SourceError, match=r"'/dev/null', allowed: .*webcam such as 0 or /dev/video0"
    ):
        open_source("/dev/null", 0, (0, 0), 0.0)
    opened: list[int] = []
    monkeypatch.setattr(Path, "is_char_device", lambda path: str(path).startswith("/dev/video"))
    monkeypatch.setattr(cv2, "VideoCapture", lambda index: opened.append(index) or FakeCapture({}))
    open_source("/dev/video2", 0, (0, 0), 0.0)
    assert opened == [2]


@pytest.mark.parametrize(
    "line",
    ["{", "[1]", "{}", '{"stamp": "soon"}', '{"stamp": NaN}', "[" * 5000, '{"stamp": 1e999}'],
)
def test_a_truth_that_is_none_is_named(tmp_path: Path, line: str) -> None:
    video = tmp_path / "clip.mp4"
    shutil.copy(demo_clip(), video)
    (tmp_path / "ground_truth.jsonl").write_text(f'{{"stamp": 0.0}}\n{line}\n')
    with pytest.raises(SourceError, match=r"ground_truth\.jsonl', line 2, is no truth"):
        open_source(str(video), 0, (0, 0), 0.0)
