"""Rendered scenes and what the simulator knows of them, as arrays for training.

Everything per frame is made once when a shard is read; pixels stay memory-mapped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vljepa_lab.world.dataset import open_shards
from vljepa_lab.world.records import ACTIONS, CLIP_FRAMES, COLORS, SHAPES, Record, clip_event
from vljepa_ros.files import JsonObject

GRID = 8
CLASSES = {
    "shape": 1 + len(SHAPES),
    "colour": 1 + len(COLORS),
    "thing": 4,
    "lights": 2,
    "door": 2,
    "person": 2,
    "holding": 2,
    "count": 6,
}
"""Dense targets: per cell (0 none; thing: person, gripper, door) and per frame (count: objects on
the table); -1 is not asked."""

_COLOURS, _SHAPES = list(COLORS), list(SHAPES)
_SEEN = 0.35


def cell_of(uv: Sequence[float]) -> int:
    """Cell 0..63 (row by row) of an image position with -1..1 over the image, or -1 outside."""
    column, row = int((uv[0] + 1) * GRID // 2), int((uv[1] + 1) * GRID // 2)
    return row * GRID + column if 0 <= column < GRID and 0 <= row < GRID else -1


def frame_truth(state: JsonObject) -> dict[str, NDArray[np.int8]]:
    """Targets of one frame.

    Shape, colour, thing [64] with -1 where not to be judged; flags as scalars.
    """
    shape, colour, thing = np.zeros((3, 64), np.int8)
    for item in state["objects"]:
        cell = cell_of(item["uv"])
        if item["visible"] <= 0.1 or cell < 0:
            continue
        # Around an object it is a matter of taste which cell it is in: only its own cell counts.
        for row in range(max(0, cell // GRID - 1), min(GRID, cell // GRID + 2)):
            for column in range(max(0, cell % GRID - 1), min(GRID, cell % GRID + 2)):
                near = row * GRID + column
                if shape[near] == 0:
                    shape[near] = colour[near] = -1
    for item in state["objects"]:
        cell = cell_of(item["uv"])
        if cell >= 0 and item["visible"] >= _SEEN:
            shape[cell] = 1 + _SHAPES.index(item["shape"])
            colour[cell] = 1 + _COLOURS.index(item["color"])
    things = (
        (state["door_uv"], state["door_visible"]),
        (state["person_uv"], state["person_visible"] >= 0.3),
        (state["gripper_uv"], state["gripper_visible"]),
    )
    for index, (uv, visible) in enumerate(things, start=1):
        cell = cell_of(uv)
        if visible and cell >= 0:
            thing[cell] = index
    door = -1
    if state["door_visible"] and not 0.1 < state["door"] < 0.5:
        door = int(state["door"] >= 0.5)
    person = 1 if state["person_visible"] >= 0.3 else 0 if state["person_visible"] <= 0.02 else -1
    holding = int(bool(state["held"])) if state["gripper_visible"] else -1
    table = [item for item in state["objects"] if item["place"] == "table"]
    count = len(table) if all(item["visible"] >= 0.4 for item in table) else -1
    flags = {"door": door, "person": person, "holding": holding, "count": count}
    flags["lights"] = int(state["lights"])
    cells = {"shape": shape, "colour": colour, "thing": thing}
    return cells | {name: np.asarray(flag, np.int8) for name, flag in flags.items()}


@dataclass(frozen=True)
class Scene:
    """One scene, its record, and the truth of each frame.

    Its frames are [T, H, W, 3] uint8, memory-mapped.

    Of the clip that ends at each frame: action (index into ACTIONS, -1 unclear), moved
    (cell of the object it is about, or -1), motion [T, 3] (turn, drive, door).
    """

    frames: NDArray[np.uint8]
    record: Record
    truth: dict[str, NDArray[np.int8]]
    action: NDArray[np.int16]
    moved: NDArray[np.int16]
    motion: NDArray[np.float32]


@dataclass
class SceneStore:
    """All scenes of one or more folders; `refresh` takes in shards that were finished since."""

    folders: Sequence[Path]
    limit: int = 0
    scenes: list[Scene] = field(default_factory=list)
    _read: set[tuple[Path, int]] = field(default_factory=set)

    def refresh(self) -> int:
        """Read new shards; returns how many scenes there are now."""
        for folder in self.folders:
            for number, (frames, records) in enumerate(open_shards(folder)):
                if (folder, number) in self._read:
                    continue
                self._read.add((folder, number))
                for pixels, record in zip(frames, records, strict=True):
                    if not self.limit or len(self.scenes) < self.limit:
                        self.scenes.append(make_scene(pixels, record))
        return len(self.scenes)


def make_scene(frames: NDArray[np.uint8], record: JsonObject) -> Scene:
    """Work out the targets of one scene; frames: [T, H, W, 3] uint8 RGB."""
    states = record["states"]
    parsed = Record.from_dict(record)
    each = [frame_truth(state) for state in states]
    truth = {name: np.stack([one[name] for one in each]) for name in CLASSES}
    count = len(states)
    action, moved = np.full(count, -1, np.int16), np.full(count, -1, np.int16)
    motion = np.zeros((count, 3), np.float32)
    for last in range(CLIP_FRAMES - 1, count):
        event = clip_event(parsed, last)
        if event.kind is not None:
            action[last] = ACTIONS.index(event.kind)
        for item in parsed.states[last].objects:
            if event.object and item.name == event.object:
                moved[last] = cell_of(item.uv)
        old, new = states[last - CLIP_FRAMES + 1], states[last]
        motion[last] = (
            5 * (new["yaw"] - old["yaw"]),
            5 * (new["forward"] - old["forward"]),
            new["door"] - old["door"],
        )
    return Scene(frames, parsed, truth, action, moved, motion)
