"""Sources of images: the demo clip, the simulated world, files that are none."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from vljepa_ros.perception.image_source import SourceError, demo_clip, open_source


def test_files_that_are_no_videos_and_empty_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no images in"):
        open_source(str(tmp_path), 0, (0, 0), 0.0)
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
