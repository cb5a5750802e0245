from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tiny_records import FRAMES, record

pytest.importorskip("torch")


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """Six scenes: in half of them the lights go off (and the picture gets dark)."""
    folder = tmp_path / "train"
    folder.mkdir()
    rng = np.random.default_rng(0)
    frames = rng.integers(100, 200, (6, FRAMES, 32, 32, 3), dtype=np.uint8)
    records = []
    for scene in range(6):
        made = record()
        if scene % 2:
            made["events"] = [{"kind": "lights off", "object": "", "start": 1.0, "end": 2.0}]
            for one in made["states"]:
                one["lights"] = one["stamp"] < 1.5
            frames[scene, 3:] //= 8
        records.append(json.dumps(made))
    (folder / "shard_00000.jsonl").write_text("\n".join(records) + "\n")
    np.save(folder / "shard_00000.npy", frames)
    return folder
