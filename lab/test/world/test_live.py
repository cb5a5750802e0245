"""The live camera: images at the rate asked for, and a new room now and then."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from vljepa_lab.world.live import CameraConfig, SimulatedCamera


def test_the_live_camera_gives_the_pictures_asked_for_and_changes_rooms() -> None:
    config = CameraConfig(width=80, height=48, fps=5, seed=4, gap=3.0, scene_seconds=3.0)
    camera = SimulatedCamera(config)
    frames = list(camera.frames(4.0))
    camera.close()
    assert [f.stamp for f in frames] == pytest.approx([i / 5 for i in range(20)])
    assert all(f.image.shape == (48, 80, 3) and f.image.dtype == np.uint8 for f in frames)
    jumps = [np.abs(b.image.astype(int) - a.image).mean() for a, b in pairwise(frames)]
    assert int(np.argmax(jumps)) == 14  # the cut to the next room
    assert all(f.truth["stamp"] == pytest.approx(f.stamp, abs=1e-3) for f in frames)
    assert all(f.truth["event_start"] <= f.stamp + 1e-6 for f in frames)


@pytest.mark.parametrize(("field", "value"), [("fps", 0), ("width", 4), ("gap", 0.1), ("seed", -1)])
def test_a_camera_out_of_range_is_refused_by_name(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"{field} is {value}; allowed are"):
        CameraConfig(**{field: value})  # type: ignore[arg-type]
