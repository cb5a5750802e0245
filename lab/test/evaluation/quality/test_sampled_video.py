"""Frames of a video at equal distances of time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from variable_video import VARIABLE, level_of, write_video

from vljepa_lab.evaluation.quality.compare_models import sampled
from vljepa_ros.perception.image_source import VideoFile


def test_a_video_of_variable_rate_is_sampled_by_its_times(tmp_path: Path) -> None:
    video = VideoFile(write_video(tmp_path / "v.mkv", VARIABLE))
    seen = [int(shot.bgr.mean()) for shot in sampled(video, 0.5)]
    shown = [max(i for i, t in enumerate(VARIABLE) if t <= k / 2 + 1e-2) for k in range(len(seen))]
    assert len(seen) == 2 * VARIABLE[-1] + 1
    assert np.abs(np.subtract(seen, [level_of(index) for index in shown])).max() <= 3
