"""From the scene's state to the model: bodies posed, light set, camera placed."""

from __future__ import annotations

import math

import numpy as np

from vljepa_lab.world.mjcf import BLOBS, DOOR_WIDTH, TABLE_Z
from vljepa_lab.world.renderer import Renderer, quat_multiply, quat_x, quat_y, quat_z
from vljepa_lab.world.room import Room
from vljepa_lab.world.scene_state import SceneState

_PERSON_Y = 1.1  # metres: the person walks between the table and the back wall


def pose_bodies(renderer: Renderer, room: Room, state: SceneState, seed: int, t: float) -> None:
    """Write everything as it is at scene time `t` into the renderer and compute the view.

    Args:
        renderer: is changed.
        room: of the scene.
        state: of the scene at `t`.
        seed: of the scene; with `t` it decides how the camera trembles.
        t: seconds.
    """
    for o in state.objects:
        quat, position = quat_z(o.yaw), o.position
        if o.lying:
            quat = quat_multiply(quat_y(o.tilt), quat_x(math.pi / 2))
            position = position + np.array([0.0, 0.135, o.height / 2])
        elif o.tilt:
            quat = quat_multiply(quat_y(o.tilt), quat)
        renderer.pose(o.body, position, quat)
    _pose_blobs(renderer, room, state)
    _pose_arm(renderer, room, state)
    half, y = DOOR_WIDTH / 2, room.wall_y - 0.08
    if state.hinge_left:
        renderer.pose("door", (room.door_x - half, y, 0), quat_z(-1.5 * state.door))
    else:
        renderer.pose("door", (room.door_x + half, y, 0), quat_z(math.pi + 1.5 * state.door))
    renderer.pose("lamp", room.lamp)
    _pose_person(renderer, state)
    _set_light(renderer, room, state)
    rng = np.random.default_rng([seed, round(t * 1000)])
    shake = rng.normal(0, room.vibration, 5)
    position = room.camera + np.array([0.0, state.forward, 0.0]) + shake[:3]
    yaw, pitch = room.yaw + state.yaw + shake[3], room.pitch + shake[4]
    renderer.view(position, yaw, pitch, room.fovy)
    renderer.cast_shadows(room.shadows)
    renderer.update()


def _pose_blobs(renderer: Renderer, room: Room, state: SceneState) -> None:
    """Put a soft disc on the table under each object that is on or above it."""
    for k in range(BLOBS):
        o = state.objects[k] if k < len(state.objects) else None
        on = o is not None and o.place != "floor" and not room.shadows
        renderer.show(f"blob_{k}", on)
        if o is None or not on:
            continue
        radius = o.half_extent_x() * 1.2
        renderer.resize(f"blob_{k}", (radius, min(radius, o.grip_width * 1.4 + 0.02), 0.001))
        renderer.pose(f"blob_{k}", (o.position[0], o.position[1] - 0.01, TABLE_Z + 0.001))


def _pose_arm(renderer: Renderer, room: Room, state: SceneState) -> None:
    turned = quat_z(state.grip_yaw)
    across = np.array([-math.sin(state.grip_yaw), math.cos(state.grip_yaw), 0.0])
    renderer.pose("palm", state.grip, turned)
    for side, sign in (("left", 1), ("right", -1)):
        offset = sign * (state.grip_width + 0.014) * across
        renderer.pose(f"finger_{side}", state.grip + offset, turned)
    side_x = -room.door_side
    elbow = np.array([0.85 * side_x, 0.75, 1.95])
    renderer.link("forearm", state.grip + np.array([0.0, 0.0, 0.32]), elbow)
    renderer.link("upper_arm", elbow, np.array([1.25 * side_x, 1.0, 0.6]))


def _pose_person(renderer: Renderer, state: SceneState) -> None:
    on = state.person > 0.001
    for body in ("person", "leg_left", "leg_right", "arm_left", "arm_right"):
        renderer.show(body, on)
    if not on:
        return
    base = np.array([state.person_x, _PERSON_Y, 0.0])
    renderer.pose("person", base)
    stride = 0.5 * math.sin(2 * math.pi * state.walked / 2) * (0.02 < state.person < 0.98)
    for side, sign in (("left", -1), ("right", 1)):
        leg, arm = (np.array([0.07 * sign, 0, 0.87]), np.array([0.22 * sign, 0, 1.36]))
        renderer.pose(f"leg_{side}", base + leg, quat_y(sign * stride))
        renderer.pose(f"arm_{side}", base + arm, quat_y(-sign * stride))


def _set_light(renderer: Renderer, room: Room, state: SceneState) -> None:
    m = renderer.model
    k = room.dark + (1 - room.dark) * state.lights
    m.light_pos[0] = room.light_position
    m.light_diffuse[0] = room.key_light * k * (0.3 + 0.7 * state.lights)
    m.light_diffuse[1] = room.fill_light * k
    m.vis.headlight.ambient[:] = room.ambient * k
    m.vis.headlight.diffuse[:] = 0.15 * k
    on = state.lights > 0.5
    renderer.paint("lamp_bulb", (1, 0.95, 0.7) if on else (0.2, 0.19, 0.18))
    renderer.paint("window", (0.75, 0.85, 0.95) if on else (0.16, 0.19, 0.26))
    for name, lit, dark in room.panes:
        renderer.paint(name, lit if on else dark)
