"""Ten hours of one camera in seconds: no news twice, restarts in mid-stream."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from vljepa_ros.engines.protocol import Generated
from vljepa_ros.perception.change.anchor_drift import AnchorDrift, AnchorDriftConfig
from vljepa_ros.perception.decoder_state import CameraState, StateFile
from vljepa_ros.perception.selective_decoder import SceneUpdate, SelectiveDecoder

Vector = NDArray[np.float32]

HOURS, RATE, DIM = 10, 2, 32
EVERY = 180.0  # seconds from one change of the scene to the next
RESTARTS = (2.51, 5.0 + 1.0 / 3600, 9.0)  # hours; in quiet, amid a change's settling, at a change


class Scenes:
    """Eight scenes with a text each; what is seen of them is noisy, and a clip blurs changes."""

    def __init__(self) -> None:
        self._random = np.random.default_rng(7)
        made = self._random.normal(size=(8, DIM)).astype(np.float32)
        self.vectors = made / np.linalg.norm(made, axis=1, keepdims=True)

    def true(self, stamp: NDArray[np.floating]) -> NDArray[np.intp]:
        return (np.maximum(stamp, 0.0) // EVERY).astype(int) * 3 % 8

    def seen(self) -> Iterator[tuple[float, Vector]]:
        for minute in range(HOURS * 60):
            stamps = minute * 60.0 + np.arange(60 * RATE) / RATE
            clips = self.vectors[self.true(stamps[:, None] - np.arange(4) * 0.5)].mean(axis=1)
            white = self._random.normal(0, 0.02, (len(stamps) + 2, DIM))
            noise = white[:-2] + white[1:-1] + white[2:]
            yield from zip(stamps.tolist(), (clips + noise).astype(np.float32), strict=True)

    def words(self, states: Vector) -> list[Generated]:
        best = (states @ self.vectors.T).argmax(axis=1)
        return [Generated(f"scene {n}", 0.9, True) for n in best]


def started(scenes: Scenes, file: StateFile) -> SelectiveDecoder:
    """A decoder as it is after a start of the node."""
    decoder = SelectiveDecoder(AnchorDrift(AnchorDriftConfig()), scenes.words)
    states, warning = file.read(300.0)
    assert warning == ""
    if "front" in states:
        decoder.restore(states["front"].last)
    return decoder


@pytest.mark.timeout(300)
def test_ten_hours_with_restarts(tmp_path: Path) -> None:
    scenes = Scenes()
    now = 0.0

    def opened() -> StateFile:
        return StateFile(tmp_path / "state.json", "nano-1", DIM, lambda: now, lambda: now)

    file = opened()
    decoder = started(scenes, file)
    updates: list[SceneUpdate] = []
    limits: list[float] = []
    restarts = [hour * 3600.0 for hour in RESTARTS]
    for now, vector in scenes.seen():
        if restarts and now >= restarts[0]:
            restarts.pop(0)
            file = opened()
            decoder = started(scenes, file)
        said = decoder.observe(now, vector)
        if said is not None:
            updates.append(said)
        last = decoder.last
        assert last is not None
        state = CameraState("q", now, last)
        file.keep(lambda state=state: {"front": state}, said is not None and said.is_event)
        if now % 60.0 == 50.0:
            limits.append(decoder.detector.threshold)
    assert restarts == []

    news = [said for said in updates if said.is_event]
    assert [said.sequence for said in news] == list(range(len(news))), "counted on, without a gap"
    assert news[0].reason == "first"
    assert {said.reason for said in news[1:]} <= {"change", "correction"}
    for before, after in pairwise(news):
        assert after.previous_text == before.text != after.text
    assert [said.text for said in news] == [
        f"scene {n * 3 % 8}" for n in range(int(HOURS * 3600 / EVERY))
    ], "each change once"
    for n, said in enumerate(news):
        assert n * EVERY - 2.0 <= said.onset <= said.stamp <= n * EVERY + 5.0

    early, late = np.median(limits[10:120]), np.median(limits[-110:])
    assert 0.8 < late / early < 1.25, "the threshold drifts"
