"""The room of one scene: what stands where, its colours, its lights and its camera."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from vljepa_lab.world.mjcf import DOOR_HEIGHT, DOOR_WIDTH, TABLE_HALF, TABLE_Y, TABLE_Z
from vljepa_lab.world.renderer import Array, Renderer

_WALL_HALF = 0.05  # metres: half the thickness of the back wall
_NOISE_STARTS = 8191  # a prime: places in the bank of noise at which an image's noise may start


@dataclass(frozen=True)
class Room:
    """What a scene needs to know of its room; lengths in metres, angles in radians.

    Attributes:
        door_side: +1 the door is on the right, -1 on the left; arm and person keep to the other
            side.
        door_x: its middle.
        wall_y: middle of the back wall.
        camera, yaw, pitch: [3] and two angles, where the camera is while the robot is at home.
        fovy: vertical view, degrees.
        vibration: spread of the camera's place and angles.
        key_light: [3], colour of the light from `light_position` [3].
        fill_light, ambient: of the other lights, 0..1.
        dark: share of the light that is left with the lights off.
        lamp: [3], where it hangs.
        exposure, white_balance: factor on all levels, and on each colour [3].
        noise: spread of the sensor's noise, levels of 0..255.
        shadows: true ones, or soft discs under the objects.
        panes: glowing geoms with their colour while the lights are on and off (see `decor`).
    """

    door_side: int
    door_x: float
    wall_y: float
    camera: Array
    yaw: float
    pitch: float
    fovy: float
    vibration: float
    key_light: Array
    fill_light: float
    ambient: float
    dark: float
    light_position: Array
    lamp: Array
    exposure: float
    white_balance: Array
    noise: float
    shadows: bool
    panes: tuple[tuple[str, Array, Array], ...] = ()

    @property
    def wall_face(self) -> float:
        """Y of the back wall's surface, metres."""
        return self.wall_y - _WALL_HALF


def draw_room(renderer: Renderer, rng: np.random.Generator, held_out: bool) -> Room:
    """Draw the numbers of a room at random and write it into the renderer.

    Held-out rooms are deeper, have a window or a plant, which trained rooms never have, and other
    ranges of camera height and lens.
    """
    side = int(rng.choice([-1, 1]))
    _texture_surfaces(renderer, rng)
    wall_y = float(rng.uniform(2.12, 2.3) if held_out else rng.uniform(1.9, 2.1))
    door_x = float(side * rng.uniform(0.62, 0.82))
    renderer.place("wall_back", (0, wall_y, 1.5))
    _place_door(renderer, rng, door_x, wall_y - _WALL_HALF)
    _place_furniture(renderer, rng, -side, wall_y - _WALL_HALF, held_out)
    _paint_person_and_arm(renderer, rng)
    low, high = (1.30, 1.46) if held_out else (1.25, 1.42)
    return Room(
        door_side=side,
        door_x=door_x,
        wall_y=wall_y,
        camera=np.array(
            [rng.uniform(-0.12, 0.12), rng.uniform(-1.0, -0.86), rng.uniform(low, high)]
        ),
        yaw=float(rng.uniform(-0.04, 0.04)),
        pitch=float(rng.uniform(-0.38, -0.31)),
        fovy=float(rng.uniform(57, 63) if held_out else rng.uniform(56, 62)),
        vibration=float(rng.uniform(0, 0.003)),
        key_light=rng.uniform(0.6, 0.9)
        * np.array([1, rng.uniform(0.92, 1.02), rng.uniform(0.8, 1.05)]),
        fill_light=float(rng.uniform(0.2, 0.4)),
        ambient=float(rng.uniform(0.36, 0.55)),
        dark=float(rng.uniform(0.40, 0.56)),
        light_position=np.array(
            [rng.uniform(-0.8, 0.8), rng.uniform(-0.8, 0.6), rng.uniform(2.3, 2.9)]
        ),
        lamp=np.array([-side * rng.uniform(0.1, 0.5), wall_y - 0.25, rng.uniform(1.62, 1.72)]),
        exposure=float(rng.uniform(0.95, 1.35)),
        white_balance=rng.uniform(0.94, 1.06, 3),
        noise=float(rng.uniform(0, 5)),
        shadows=bool(rng.random() < 0.3),
    )


def _texture_surfaces(renderer: Renderer, rng: np.random.Generator) -> None:
    m, materials = renderer.model, renderer.materials
    for name in ("floor", "wall_back", "shelf", "picture", "table", "door_leaf", "plant_pot"):
        m.geom_matid[renderer.geom[name]] = materials[rng.integers(len(materials))]
        renderer.paint(name, (rng.uniform(0.8, 1.05) + rng.normal(0, 0.04, 3)).clip(0, 1))
    for name in ("wall_left", "wall_right"):
        m.geom_matid[renderer.geom[name]] = m.geom_matid[renderer.geom["wall_back"]]
        m.geom_rgba[renderer.geom[name]] = m.geom_rgba[renderer.geom["wall_back"]]
    for k in materials:
        m.mat_texrepeat[k] = rng.uniform(0.5, 2.5)


def _place_door(renderer: Renderer, rng: np.random.Generator, door_x: float, face: float) -> None:
    """The opening in the wall with its frame; face: y of the wall's surface, metres."""
    renderer.place("opening", (door_x, face, DOOR_HEIGHT / 2))
    frame = rng.uniform(0.3, 0.95) * np.array([1, rng.uniform(0.85, 1), rng.uniform(0.7, 1)])
    for name, dx, z in (
        ("frame_left", -DOOR_WIDTH / 2 - 0.04, DOOR_HEIGHT / 2),
        ("frame_right", DOOR_WIDTH / 2 + 0.04, DOOR_HEIGHT / 2),
        ("frame_top", 0.0, DOOR_HEIGHT + 0.04),
    ):
        renderer.place(name, (door_x + dx, face - 0.02, z))
        renderer.paint(name, frame)
    dark = rng.uniform(0.02, 0.16)
    renderer.paint("opening", np.full(3, dark) * np.array([1, 1, 1.1]))


def _place_furniture(
    renderer: Renderer, rng: np.random.Generator, away: int, face: float, held_out: bool
) -> None:
    """Shelf, picture, plant, window and the table's legs; away: the side without the door."""
    renderer.show_geom("shelf", bool(rng.random() < 0.6))
    half = float(rng.uniform(0.3, 0.7))
    renderer.place(
        "shelf",
        (away * rng.uniform(0.5, 1.4), face - 0.12, half),
        (rng.uniform(0.2, 0.4), 0.12, half),
    )
    renderer.show_geom("picture", not held_out and bool(rng.random() < 0.6))
    renderer.place("picture", (away * rng.uniform(0.0, 1.2), face - 0.01, rng.uniform(1.35, 1.6)))
    plant, window = held_out and bool(rng.random() < 0.6), held_out and bool(rng.random() < 0.6)
    x = away * rng.uniform(0.8, 1.3)
    renderer.show_geom("plant", plant)
    renderer.show_geom("plant_pot", plant)
    renderer.place("plant_pot", (x, face - 0.35, 0.15))
    renderer.place("plant", (x, face - 0.35, 0.7))
    renderer.show_geom("window", window)
    renderer.place("window", (away * rng.uniform(0.1, 0.7), face - 0.005, 1.4))

    legs = rng.uniform(0.1, 0.6) * np.array([1, rng.uniform(0.8, 1), rng.uniform(0.6, 1)])
    tx, ty = TABLE_HALF
    for i, (lx, ly) in enumerate(((-tx, -ty), (tx, -ty), (-tx, ty), (tx, ty))):
        renderer.place(f"leg{i}", (lx * 0.93, TABLE_Y + ly * 0.9, (TABLE_Z - 0.04) / 2))
        renderer.paint(f"leg{i}", legs)


def _paint_person_and_arm(renderer: Renderer, rng: np.random.Generator) -> None:
    clothes, trousers = rng.uniform(0.1, 0.95, 3), rng.uniform(0.05, 0.5, 3)
    skin = rng.uniform(0.4, 1)
    renderer.paint("person_body", clothes)
    for limb in ("left", "right"):
        renderer.paint(f"arm_{limb}_limb", clothes)
        renderer.paint(f"leg_{limb}_limb", trousers)
    renderer.paint("person_head", np.array([0.95, 0.75, 0.62]) * skin)
    renderer.paint("person_hair", rng.uniform(0.03, 0.5) * np.array([1, 0.75, 0.5]))
    renderer.paint("forearm_bar", rng.uniform(0.25, 0.95, 3))
    renderer.paint("upper_arm_bar", rng.uniform(0.25, 0.95, 3))


class Sensor:
    """Exposure, white balance and sensor noise of one camera, as a table and a bank of noise.

    Args:
        room: has the three.
        pixels: values of one image, width x height x 3.
        seed: of the noise.
    """

    def __init__(self, room: Room, pixels: int, seed: int) -> None:
        levels = np.arange(256)[:, None] * room.exposure * room.white_balance[None]
        self._table = np.clip(levels, 0, 255).astype(np.uint8)[:, None, :]
        rng = np.random.default_rng([seed, 1])
        self._bank = np.rint(rng.normal(0, room.noise, pixels + _NOISE_STARTS)).astype(np.int16)
        self._seed = seed

    def __call__(self, image: npt.NDArray[np.uint8], t: float) -> npt.NDArray[np.uint8]:
        """What the sensor makes of a rendered image at scene time `t`; same shape and type."""
        offset = (round(t * 1000) * 7919 + self._seed) % _NOISE_STARTS
        noise = self._bank[offset : offset + image.size].reshape(image.shape)
        lit = cv2.LUT(image, self._table).astype(np.int16)
        return np.clip(lit + noise, 0, 255).astype(np.uint8)
