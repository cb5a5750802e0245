"""A data set of a few scenes that need no renderer."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np


def thing(color: str, shape: str, u: float) -> dict[str, object]:
    return {
        "color": color,
        "shape": shape,
        "place": "table",
        "position": [u, 0.3, 0.8],
        "uv": [u, 0.4],
        "size_uv": [0.2, 0.2],
        "visible": 1.0,
    }


def scene(split: str, objects: list[dict[str, object]], seed: int = 7) -> dict[str, object]:
    """24 frames in which nothing happens but a door that opens in the middle."""
    stamps = [0.25 + 0.5 * t for t in range(24)]
    states = [
        {
            "stamp": stamp,
            "objects": objects,
            "held": "",
            "door": 1.0 if stamp > 6 else 0.0,
            "door_uv": [0.5, 0.0],
            "door_visible": True,
            "lights": True,
            "person": 0.0,
            "person_uv": [3.0, 0.0],
            "person_visible": 0.0,
            "gripper_uv": [0.0, 0.0],
            "gripper_visible": True,
            "yaw": 0.0,
            "forward": 0.0,
        }
        for stamp in stamps
    ]
    events = [{"kind": "door opens", "object": "", "start": 5.0, "end": 7.0}]
    return {"seed": seed, "split": split, "stamps": stamps, "events": events, "states": states}


TRAINED = [thing("red", "box", -0.5), thing("blue", "mug", 0.0), thing("green", "can", 0.5)]
HELD_OUT = [thing("red", "mug", -0.5), thing("blue", "box", 0.0), thing("green", "ball", 0.5)]


def write_split(folder: Path, records: list[dict[str, object]], size: int = 8) -> None:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 255, (len(records), 24, size, size, 3), np.uint8)
    lines = [json.dumps({**record, "textures": 0}) for record in records]
    (folder / "shard_00000.jsonl").write_text("\n".join(lines) + "\n")
    np.save(folder / "shard_00000.npy", pictures)
