"""A memory for another model from the thumbnails of the old one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from colour_engine import COLOURS, ColourEngine
from memory_rows import DIM, MODEL, row

from vljepa_ros.perception.memory.reindex import reindex
from vljepa_ros.perception.memory.row import Pose, clip_to_jpeg
from vljepa_ros.perception.memory.store import Filter, MemoryStore, open_store


def thumbnail(colour: str, frames: int) -> bytes:
    return clip_to_jpeg(np.full((frames, 16, 16, 3), COLOURS[colour], np.uint8), 16)


def test_rows_with_a_usable_thumbnail_are_embedded_again_and_the_rest_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MemoryStore, "rows", None)  # never all of them: pictures are gigabytes
    monkeypatch.setattr("vljepa_ros.perception.memory.reindex.BATCH", 2)
    shares: list[float] = []
    old = open_store(tmp_path / "old", MODEL, DIM, create=True)
    pose = Pose((1.0, 2.0, 0.0), (0.0, 0.0, 0.0, 1.0), "map")
    old.append(
        [
            row(
                1.0, thumbnail=thumbnail("red", 4), thumbnail_frames=4, text="it is red", pose=pose
            ),
            row(2.0, thumbnail=thumbnail("blue", 2), thumbnail_frames=2, source="/bags/monday"),
            row(3.0),
            row(4.0, source="/bags/monday"),
            row(5.0, source="/bags/monday", thumbnail=b"damaged", thumbnail_frames=4),
        ]
    )
    engine = ColourEngine()
    new = open_store(tmp_path / "new", "colour-1", 8, create=True)
    result = reindex(old, engine, new, shares.append)
    assert shares == [0.4, 0.8, 1.0]
    assert result.done == 2
    assert result.left == {"": 1, "/bags/monday": 2}
    (red,) = new.nearest(engine.encode_text(["red"])[0], 1, Filter(end=2_000_000_000))
    assert (red.row.text, red.row.pose) == ("it is red", pose)
    assert red.similarity > 0.9
    (blue,) = new.nearest(engine.encode_text(["blue"])[0], 1)
    assert blue.row.source == "/bags/monday"
    assert old.count() == 5


def test_nothing_to_embed_again_is_no_failure(tmp_path: Path) -> None:
    old = open_store(tmp_path / "old", MODEL, DIM, create=True)
    new = open_store(tmp_path / "new", "colour-1", 8, create=True)
    assert reindex(old, ColourEngine(), new).done == 0
    assert new.count() == 0
