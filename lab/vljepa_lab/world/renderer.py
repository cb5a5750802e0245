"""The compiled MuJoCo model and its two renders: the image, and which body each pixel shows."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from vljepa_lab.world.assets import TEXTURE_SIZE, make_texture
from vljepa_lab.world.mjcf import build_xml

Array = npt.NDArray[np.float64]
Pair = tuple[float, float]
_HIDDEN_GROUP = 4  # of geoms that are not drawn


class WorldError(RuntimeError):
    """The simulated world cannot run here: the message says what is missing."""


def _mujoco() -> Any:
    """Import mujoco, with a render backend that needs no screen.

    Raises:
        WorldError: mujoco is not installed.
    """
    if "mujoco" not in sys.modules:
        os.environ.setdefault("MUJOCO_GL", "egl")
    try:
        import mujoco
    except ImportError as error:
        raise WorldError(
            "the simulated world needs MuJoCo: pip install 'vljepa_lab[world]'"
        ) from error
    return mujoco


def rounded_pair(v: Array) -> Pair:
    """The numbers of v [2], to three places."""
    return round(float(v[0]), 3), round(float(v[1]), 3)


def quat_x(a: float) -> Array:
    """Quaternion [4] (w, x, y, z) of a turn by `a` radians about x."""
    return np.array([math.cos(a / 2), math.sin(a / 2), 0.0, 0.0])


def quat_y(a: float) -> Array:
    """Quaternion [4] (w, x, y, z) of a turn by `a` radians about y."""
    return np.array([math.cos(a / 2), 0.0, math.sin(a / 2), 0.0])


def quat_z(a: float) -> Array:
    """Quaternion [4] (w, x, y, z) of a turn by `a` radians about z."""
    return np.array([math.cos(a / 2), 0.0, 0.0, math.sin(a / 2)])


def quat_multiply(a: Array, b: Array) -> Array:
    """Hamilton product [4] of quaternions [4]: first b, then a."""
    w0, x0, y0, z0 = a
    w1, x1, y1, z1 = b
    return np.array(
        [
            w0 * w1 - x0 * x1 - y0 * y1 - z0 * z1,
            w0 * x1 + x0 * w1 + y0 * z1 - z0 * y1,
            w0 * y1 - x0 * z1 + y0 * w1 + z0 * x1,
            w0 * z1 + x0 * y1 - y0 * x1 + z0 * w1,
        ]
    )


class Renderer:
    """One model, many scenes: a scene poses, colours and lights it, then renders.

    One at a time: a scene must not be advanced while another one uses the same renderer.

    Args:
        width, height: image size in pixels.
        textures: seed of the texture set.
        shadow_size: side of the shadow map in texels.

    Raises:
        WorldError: mujoco is missing or has no way to render here.
    """

    def __init__(
        self, width: int = 128, height: int = 128, textures: int = 0, shadow_size: int = 256
    ) -> None:
        mujoco = _mujoco()
        self.width, self.height = width, height
        self.model = m = mujoco.MjModel.from_xml_string(build_xml(shadow_size, width, height))
        self.data = mujoco.MjData(m)
        self._mujoco = mujoco
        rng = np.random.default_rng([7, textures])
        for i in range(m.ntex):
            start = m.tex_adr[i]
            m.tex_data[start : start + TEXTURE_SIZE**2 * 3] = make_texture(rng).reshape(-1)
        try:
            self._renderer = mujoco.Renderer(m, height, width)
        except Exception as error:
            raise WorldError(
                f"MuJoCo cannot render with MUJOCO_GL={os.environ.get('MUJOCO_GL')}: {error}; "
                "allowed are egl (needs libEGL and Mesa or a GPU), osmesa and glfw"
            ) from error
        self._option = mujoco.MjvOption()
        self._option.geomgroup[:] = 1
        self._option.geomgroup[_HIDDEN_GROUP] = 0
        self.geom = {m.geom(i).name: i for i in range(m.ngeom)}
        self.materials = [m.material(f"t{i}").id for i in range(m.ntex)]
        self._mocap = {
            m.body(b).name: int(m.body_mocapid[b]) for b in range(m.nbody) if m.body_mocapid[b] >= 0
        }
        self._geoms = {m.body(b).name: np.flatnonzero(m.geom_bodyid == b) for b in range(m.nbody)}
        self._surfaces: dict[int, Array] = {}
        self.body_id = {m.body(b).name: b for b in range(m.nbody)}

    def close(self) -> None:
        """Free the render context."""
        self._renderer.close()

    def cast_shadows(self, on: bool) -> None:
        """Draw true shadows, which trebles the cost of a picture, or none."""
        self._renderer.scene.flags[self._mujoco.mjtRndFlag.mjRND_SHADOW] = on

    def show(self, body: str, on: bool) -> None:
        """Draw a body or do not."""
        self.model.geom_group[self._geoms[body]] = 0 if on else _HIDDEN_GROUP

    def show_geom(self, name: str, on: bool) -> None:
        """Draw a geom of the room or do not."""
        self.model.geom_group[self.geom[name]] = 0 if on else _HIDDEN_GROUP

    def pose(
        self,
        body: str,
        position: Sequence[float] | Array,
        quat: Sequence[float] | Array = (1, 0, 0, 0),
    ) -> None:
        """Place a body: metres [3], quaternion [4] (w, x, y, z)."""
        k = self._mocap[body]
        self.data.mocap_pos[k] = position
        self.data.mocap_quat[k] = quat

    def link(self, body: str, start: Array, end: Array) -> None:
        """Stretch a capsule body from one point [3] to another, metres."""
        v = end - start
        length = float(np.linalg.norm(v))
        quat = np.zeros(4)
        self._mujoco.mju_quatZ2Vec(quat, v / length)
        self.pose(body, (start + end) / 2, quat)
        self.model.geom_size[self._geoms[body][0], 1] = length / 2

    def paint(self, geom: str, rgb: Sequence[float] | Array) -> None:
        """Colour one geom; rgb: [3], 0..1."""
        self.model.geom_rgba[self.geom[geom], :3] = rgb

    def mean_colour(self, geom: str) -> Array:
        """[3], 0..1: a geom's colour times the mean of its texture, where it has one."""
        g = self.geom[geom]
        tint = np.array(self.model.geom_rgba[g, :3], float)
        if self.model.geom_matid[g] not in self.materials:
            return tint
        start = self.model.tex_adr[self.materials.index(self.model.geom_matid[g])]
        texels = self.model.tex_data[start : start + TEXTURE_SIZE**2 * 3].reshape(-1, 3)
        return tint * texels.mean(0) / 255

    def paint_body(self, body: str, rgb: Sequence[float] | Array) -> None:
        """Colour the geoms of a body, but those named `..._fixed`; rgb: [3], 0..1."""
        for g in self._geoms[body]:
            if not self.model.geom(g).name.endswith("_fixed"):
                self.model.geom_rgba[g, :3] = rgb

    def resize(self, body: str, size: Sequence[float]) -> None:
        """Set the size of a body's only geom."""
        self.model.geom_size[self._geoms[body][0]] = size

    def place(
        self, geom: str, position: Sequence[float], size: Sequence[float] | None = None
    ) -> None:
        """Move (and resize) a geom of the room."""
        self.model.geom_pos[self.geom[geom]] = position
        if size is not None:
            self.model.geom_size[self.geom[geom]] = size

    def view(self, position: Array, yaw: float, pitch: float, fovy: float) -> None:
        """Set the camera: metres [3], radians (yaw left, pitch up), vertical view in degrees."""
        self.camera_position = position
        self.camera_quat = quat_multiply(quat_z(yaw), quat_x(math.pi / 2 + pitch))
        self.focal = 1 / math.tan(math.radians(fovy) / 2)
        self.model.cam_pos[0] = position
        self.model.cam_quat[0] = self.camera_quat
        self.model.cam_fovy[0] = fovy
        w, x, y, z = self.camera_quat
        self._world_to_camera = np.array(
            [
                [1 - 2 * (y * y + z * z), 2 * (x * y + w * z), 2 * (x * z - w * y)],
                [2 * (x * y - w * z), 1 - 2 * (x * x + z * z), 2 * (y * z + w * x)],
                [2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)],
            ]
        )

    def project(self, points: Array) -> Array:
        """World points [N, 3] to image points [N, 2]: units of half the height, u right, v down.

        Points behind the camera give (9, 9).
        """
        local = (np.atleast_2d(points) - self.camera_position) @ self._world_to_camera.T
        depth = -local[:, 2]
        safe = np.maximum(depth, 1e-3)[:, None]
        uv = np.stack([local[:, 0], -local[:, 1]], 1) * self.focal / safe
        uv[depth < 0.05] = 9.0
        return uv

    def outline(self, body: str) -> Array:
        """Points [N, 3] whose hull is the body, world frame, after `update`."""
        out = []
        for g in self._geoms[body]:
            local = self._surface(int(g))
            out.append(local @ self.data.geom_xmat[g].reshape(3, 3).T + self.data.geom_xpos[g])
        return np.concatenate(out)

    def _surface(self, g: int) -> Array:
        """Points of a geom's surface in its own frame."""
        if g in self._surfaces:
            return self._surfaces[g]
        m, kinds = self.model, self._mujoco.mjtGeom
        kind, size = m.geom_type[g], m.geom_size[g]
        if kind == kinds.mjGEOM_MESH:
            k = m.geom_dataid[g]
            start = m.mesh_vertadr[k]
            points = np.array(m.mesh_vert[start : start + m.mesh_vertnum[k]], float)
        elif kind == kinds.mjGEOM_BOX:
            points = _CUBE * size
        elif kind == kinds.mjGEOM_CYLINDER:
            points = np.concatenate(
                [_RING * [size[0], size[0], 0] + [0, 0, z] for z in (-size[1], size[1])]
            )
        else:
            length = size[1] if kind == kinds.mjGEOM_CAPSULE else 0.0
            ends = [_BALL * size[0] + [0, 0, z] for z in (-length, length)]
            points = np.concatenate(ends)
        self._surfaces[g] = points
        return points

    def update(self) -> None:
        """Compute where everything is; needed after posing, before rendering."""
        self._mujoco.mj_kinematics(self.model, self.data)
        self._mujoco.mj_camlight(self.model, self.data)
        self._renderer.update_scene(self.data, "camera", self._option)

    def render_image(self) -> npt.NDArray[np.uint8]:
        """RGB uint8 [height, width, 3] of the last `update`."""
        return self._renderer.render()

    def render_body_ids(self) -> npt.NDArray[np.int32]:
        """Number of the body in each pixel, int32 [height, width]; -1 where there is sky."""
        self._renderer.enable_segmentation_rendering()
        pixels = self._renderer.render()
        self._renderer.disable_segmentation_rendering()
        ids = pixels[..., 0]
        return np.where(ids >= 0, self.model.geom_bodyid[ids], -1).astype(np.int32)

    def visible_fraction(
        self, body_ids: npt.NDArray[np.int32], body: str
    ) -> tuple[Pair, Pair, float]:
        """Where a body is in the image, and how much of it can be seen.

        The fraction compares the box of the pixels that show the body, cut to the centre square,
        with the box of its projection.

        Args:
            body_ids: [height, width], of `render_body_ids`.
            body: its name.

        Returns:
            Centre and size of its box in units of half the height, and the fraction, 0..1.
        """
        corners = self.project(self.outline(body))
        low, high = corners.min(0), corners.max(0)
        size = high - low
        height, width = body_ids.shape
        mask = body_ids == self.body_id[body]
        columns, rows = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
        fraction = 0.0
        if len(columns) and size[0] > 0:
            scale = 2 / height
            u0, u1 = (columns[0] - width / 2) * scale, (columns[-1] + 1 - width / 2) * scale
            v0, v1 = rows[0] * scale - 1, (rows[-1] + 1) * scale - 1
            inside = max(0.0, min(u1, 1.0) - max(u0, -1.0)) * max(0.0, v1 - v0)
            fraction = min(1.0, inside / float(size[0] * size[1]))
        return rounded_pair((low + high) / 2), rounded_pair(size), round(float(fraction), 2)


_ANGLES = np.linspace(0, 2 * math.pi, 16, endpoint=False)
_RING = np.stack([np.cos(_ANGLES), np.sin(_ANGLES), np.zeros(16)], 1)
_BALL = np.concatenate(
    [
        _RING * [math.cos(a), math.cos(a), 0] + [0, 0, math.sin(a)]
        for a in np.linspace(-1.57, 1.57, 9)
    ]
)
_CUBE = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
