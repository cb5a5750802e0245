"""Records of scenes made by hand, without a renderer."""

from __future__ import annotations

from typing import Any

FRAMES = 8


def state(stamp: float, **changes: Any) -> dict[str, Any]:
    """A room with a red mug left of a blue ball, door closed, lights on, nobody there."""
    mug = {
        "color": "red", "shape": "mug", "place": "table", "position": [0, 0, 0],
        "uv": [-0.6, 0.3], "size_uv": [0.2, 0.2], "visible": 1.0,
    }  # fmt: skip
    ball = {**mug, "color": "blue", "shape": "ball", "uv": [0.6, 0.3]}
    return {
        "stamp": stamp, "objects": [mug, ball], "held": "", "door": 0.0, "door_uv": [0.8, -0.4],
        "door_visible": True, "lights": True, "person": 0.0, "person_uv": [9.0, 9.0],
        "person_visible": 0.0, "gripper_uv": [0.0, -0.5], "gripper_visible": True,
        "yaw": 0.0, "forward": 0.0, **changes,
    }  # fmt: skip


def record(split: str = "train", events: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    states = [state(0.5 * i) for i in range(FRAMES)]
    return {
        "seed": 0, "split": split, "textures": 0, "events": events or [],
        "stamps": [s["stamp"] for s in states], "states": states,
    }  # fmt: skip
