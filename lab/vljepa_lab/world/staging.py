"""From the cast to the model: bodies posed, light set, camera placed, sensor applied."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from vljepa_lab.world.cast import Cast
from vljepa_lab.world.layout import Room
from vljepa_lab.world.model_xml import BLOBS, DOOR_WIDTH, TABLE_Z
from vljepa_lab.world.renderer import Renderer, quat_multiply, quat_x, quat_y, quat_z

PERSON_Y = 1.1  # metres: the person walks between the table and the back wall


class Stage:
    """Writes one scene's cast into the renderer. hinge_left: on which side the door hangs."""

    def __init__(
        self, renderer: Renderer, room: Room, cast: Cast, seed: int, hinge_left: bool
    ) -> None:
        self.renderer, self.room, self.cast = renderer, room, cast
        self._seed, self._hinge_left = seed, hinge_left
        side = -room.door_side
        self._elbow = np.array([0.85 * side, 0.75, 1.95])
        self._shoulder = np.array([1.25 * side, 1.0, 0.6])

    def set(self, t: float) -> None:
        """Pose everything as it is at scene time `t` seconds and compute the view."""
        r, cast, room = self.renderer, self.cast, self.room
        for o in cast.things:
            quat, position = quat_z(o.yaw), o.position
            if o.lying:
                quat = quat_multiply(quat_y(o.tilt), quat_x(math.pi / 2))
                position = position + np.array([0.0, 0.135, o.height / 2])
            elif o.tilt:
                quat = quat_multiply(quat_y(o.tilt), quat)
            r.pose(o.body, position, quat)
        self._set_blobs()
        turned = quat_z(cast.grip_yaw)
        across = np.array([-math.sin(cast.grip_yaw), math.cos(cast.grip_yaw), 0.0])
        r.pose("palm", cast.grip, turned)
        for side, sign in (("left", 1), ("right", -1)):
            offset = sign * (cast.grip_width + 0.014) * across
            r.pose(f"finger_{side}", cast.grip + offset, turned)
        wrist = cast.grip + np.array([0.0, 0.0, 0.32])
        r.link("forearm", wrist, self._elbow)
        r.link("upper_arm", self._elbow, self._shoulder)
        half, y = DOOR_WIDTH / 2, room.wall_y - 0.08
        if self._hinge_left:
            r.pose("door", (room.door_x - half, y, 0), quat_z(-1.5 * cast.door))
        else:
            r.pose("door", (room.door_x + half, y, 0), quat_z(math.pi + 1.5 * cast.door))
        r.pose("lamp", room.lamp)
        self._set_person()
        self._set_light()
        rng = np.random.default_rng([self._seed, round(t * 1000)])
        shake = rng.normal(0, room.vibration, 5)
        position = room.camera + np.array([0.0, cast.forward, 0.0]) + shake[:3]
        r.view(position, room.yaw + cast.yaw + shake[3], room.pitch + shake[4], room.fovy)
        r.cast_shadows(room.shadows)
        r.settle()

    def _set_blobs(self) -> None:
        """Put a soft disc on the table under each object that is on or above it."""
        r = self.renderer
        for k in range(BLOBS):
            o = self.cast.things[k] if k < len(self.cast.things) else None
            on = o is not None and o.place != "floor" and not self.room.shadows
            r.show(f"blob_{k}", on)
            if o is None or not on:
                continue
            radius = o.half_extent_x() * 1.2
            r.resize(f"blob_{k}", (radius, min(radius, o.grip_width * 1.4 + 0.02), 0.001))
            r.pose(f"blob_{k}", (o.position[0], o.position[1] - 0.01, TABLE_Z + 0.001))

    def _set_person(self) -> None:
        r, cast = self.renderer, self.cast
        on = cast.person > 0.001
        for body in ("person", "leg_left", "leg_right", "arm_left", "arm_right"):
            r.show(body, on)
        if not on:
            return
        base = np.array([cast.person_x, PERSON_Y, 0.0])
        r.pose("person", base)
        stride = 0.5 * math.sin(2 * math.pi * cast.walked / 2) * (0.02 < cast.person < 0.98)
        for side, sign in (("left", -1), ("right", 1)):
            r.pose(f"leg_{side}", base + np.array([0.07 * sign, 0, 0.87]), quat_y(sign * stride))
            r.pose(f"arm_{side}", base + np.array([0.22 * sign, 0, 1.36]), quat_y(-sign * stride))

    def _set_light(self) -> None:
        m, room = self.renderer.model, self.room
        k = room.dark + (1 - room.dark) * self.cast.lights
        m.light_pos[0] = room.light_position
        m.light_diffuse[0] = room.key_light * k * (0.3 + 0.7 * self.cast.lights)
        m.light_diffuse[1] = room.fill_light * k
        m.vis.headlight.ambient[:] = room.ambient * k
        m.vis.headlight.diffuse[:] = 0.15 * k
        on = self.cast.lights > 0.5
        self.renderer.paint("lamp_bulb", (1, 0.95, 0.7) if on else (0.2, 0.19, 0.18))
        self.renderer.paint("window", (0.75, 0.85, 0.95) if on else (0.16, 0.19, 0.26))
        for name, lit, dark in room.panes:
            self.renderer.paint(name, lit if on else dark)


class Sensor:
    """Exposure, white balance and sensor noise of one camera, as a table and a bank of noise."""

    def __init__(self, room: Room, pixels: int, seed: int) -> None:
        levels = np.arange(256)[:, None] * room.exposure * room.white_balance[None]
        self._table = np.clip(levels, 0, 255).astype(np.uint8)[:, None, :]
        rng = np.random.default_rng([seed, 1])
        self._bank = np.rint(rng.normal(0, room.noise, pixels + 8191)).astype(np.int16)
        self._seed = seed

    def __call__(self, image: npt.NDArray[np.uint8], t: float) -> npt.NDArray[np.uint8]:
        """What the sensor makes of a rendered picture at scene time `t`; same shape and type."""
        offset = (round(t * 1000) * 7919 + self._seed) % 8191
        noise = self._bank[offset : offset + image.size].reshape(image.shape)
        lit = cv2.LUT(image, self._table).astype(np.int16)
        return np.clip(lit + noise, 0, 255).astype(np.uint8)
