"""What a rich room has besides: a cabinet with a drawer, an obstacle, the tints of both."""

from __future__ import annotations

import colorsys
import math
from dataclasses import dataclass

import numpy as np

from vljepa_lab.world.layout import Room
from vljepa_lab.world.renderer import Array, Renderer
from vljepa_lab.world.rich_model import CABINET, OBSTACLE_HEIGHT, RICH_BODIES
from vljepa_lab.world.rich_state import OBSTACLES, RichConfig

_FRONT_Y = 1.35  # metres: the cabinet's front; people stay beside it and come from the other side
_TURNED = 0.22  # radians
_BESIDE = 0.14  # metres to either side of the cabinet that stay free
_OBSTACLE_Y = -0.38  # metres: between the camera and the table


@dataclass(frozen=True)
class RichRoom:
    """What a rich scene needs to know besides the Room; metres, seconds.

    cabinet: the middle of its front, on the floor; cabinet_yaw: its turn towards the camera,
    radians. obstacle: its kind; obstacle_base: y and z of
    its foot. gap: mean seconds between events. exposure: of each picture, 0 without motion blur.
    """

    cabinet: Array
    cabinet_yaw: float
    obstacle: str
    obstacle_base: tuple[float, float]
    gap: float
    exposure: float


def hide_rich_bodies(renderer: Renderer) -> None:
    """Show nothing of the richer world, where the renderer has it."""
    renderer.see_close(False)
    for name in RICH_BODIES if renderer.rich else ():
        renderer.show(name, False)


def furnish_richly(
    renderer: Renderer, room: Room, rng: np.random.Generator, config: RichConfig
) -> RichRoom:
    """Draw what a rich room has besides and write its tints into the renderer."""
    hide_rich_bodies(renderer)
    renderer.see_close(True)  # the obstacle
    cabinet = np.array([-room.door_side * rng.uniform(0.84, 0.90), _FRONT_Y, 0.0])
    obstacle = OBSTACLES[int(rng.integers(len(OBSTACLES)))]
    _make_way(renderer, float(cabinet[0]))
    _paint(renderer, rng)
    # The upper edge of the obstacle stands at this height of the picture (0 the middle, 1 below).
    level = float(rng.uniform(0.27, 0.43))
    angle = room.pitch - math.atan(level * math.tan(math.radians(room.fovy) / 2))
    top = room.camera[2] + (_OBSTACLE_Y + 0.1 - room.camera[1]) * math.tan(angle)
    low, high = (math.log(v) for v in config.gap)
    gap = math.exp(rng.uniform(low, high))
    blurred = bool(rng.random() < config.blurred)
    exposure = float(rng.uniform(*config.exposure))
    return RichRoom(
        cabinet=cabinet,
        cabinet_yaw=_TURNED * room.door_side,
        obstacle=obstacle,
        obstacle_base=(_OBSTACLE_Y, float(top) - OBSTACLE_HEIGHT),
        gap=gap,
        exposure=exposure if blurred else 0.0,
    )


def _make_way(renderer: Renderer, x: float) -> None:
    """Take away the furniture that stands where the cabinet does, or in front of it."""
    m = renderer.model
    for name, g in renderer.geom.items():
        if name not in ("shelf", "plant", "plant_pot") and not name.startswith("decor_"):
            continue
        place, size = m.geom_pos[g], m.geom_size[g]
        if m.geom_bodyid[g] or place[2] - size[2] > 2 * CABINET[2]:
            continue  # it hangs on the wall above
        if abs(place[0] - x) < CABINET[0] + _BESIDE + size[0]:
            renderer.show_geom(name, False)


def _paint(renderer: Renderer, rng: np.random.Generator) -> None:
    m = renderer.model
    case = renderer.materials[int(rng.integers(len(renderer.materials)))]
    m.geom_matid[renderer.geom["cabinet_case"]] = case
    body = rng.uniform(0.45, 1.0) * np.array([1, rng.uniform(0.85, 1.0), rng.uniform(0.7, 1.0)])
    front = body * (rng.uniform(1.3, 1.8) if body.mean() < 0.6 else rng.uniform(0.35, 0.7))
    front = front * rng.uniform(0.8, 1.2, 3)
    renderer.paint("cabinet_case", body.clip(0, 1))
    renderer.paint("cabinet_top", (body * rng.uniform(0.6, 1.1)).clip(0, 1))
    renderer.paint("cabinet_panel", (body * rng.uniform(0.8, 1.2)).clip(0, 1))
    renderer.paint("drawer_front_plate", front.clip(0, 1))
    for k in range(3):
        cloth = np.array(colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.0, 0.9), 1.0))
        renderer.paint(f"drawer_content{k}", cloth * rng.uniform(0.6, 1.0))
    renderer.paint("trolley_crate", rng.uniform(0.15, 0.95, 3))
    card = rng.uniform(0.8, 1.15)
    renderer.paint("carton_low", np.array([0.62, 0.44, 0.26]) * card)
    renderer.paint("carton_high", (np.array([0.68, 0.49, 0.30]) * card).clip(0, 1))
    skin = m.geom_rgba[renderer.geom["person_head"], :3]
    for side in ("left", "right"):
        renderer.paint(f"hand_{side}_ball", skin)
