"""Rigid transforms between named frames, as published by tf, composed along their chain.

Only the newest transform of each pair is kept; there is no history and no interpolation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

Vector = tuple[float, float, float]
Quaternion = tuple[float, float, float, float]

MAX_CHAIN = 64  # frames; a longer chain is a loop
MAX_FRAMES = 10_000  # more are refused: ever new names would fill the memory


@dataclass(frozen=True)
class Transform:
    """The pose of a frame in another one.

    Attributes:
        translation: x, y, z, metres.
        rotation: unit quaternion x, y, z, w.
    """

    translation: Vector = (0.0, 0.0, 0.0)
    rotation: Quaternion = (0.0, 0.0, 0.0, 1.0)

    def __matmul__(self, other: Transform) -> Transform:
        """Compose transforms: a in b, and b in c, give a in c."""
        moved = _rotated(self.rotation, other.translation)
        x, y, z = (a + b for a, b in zip(self.translation, moved, strict=True))
        return Transform((x, y, z), _product(self.rotation, other.rotation))

    def inverse(self) -> Transform:
        """The inverse transform."""
        x, y, z, w = self.rotation
        back = (-x, -y, -z, w)
        tx, ty, tz = _rotated(back, self.translation)
        return Transform((-tx, -ty, -tz), back)


def _product(p: Quaternion, q: Quaternion) -> Quaternion:
    px, py, pz, pw = p
    qx, qy, qz, qw = q
    return (
        pw * qx + px * qw + py * qz - pz * qy,
        pw * qy - px * qz + py * qw + pz * qx,
        pw * qz + px * qy - py * qx + pz * qw,
        pw * qw - px * qx - py * qy - pz * qz,
    )


def _rotated(q: Quaternion, v: Vector) -> Vector:
    x, y, z, w = q
    turned = _product(_product(q, (*v, 0.0)), (-x, -y, -z, w))
    return turned[:3]


class TransformTree:
    """The newest transform of each frame in its parent."""

    def __init__(self) -> None:
        self._links: dict[str, tuple[str, Transform, float]] = {}  # child: parent, place, arrival

    def put(self, parent: str, child: str, transform: Transform, arrived: float) -> None:
        """Set the transform of `child` in `parent`.

        One that is not finite, has no rotation, or has its own child as parent is ignored, and so
        is a leading slash of a name.

        Args:
            parent: parent frame.
            child: child frame.
            transform: the pose of `child` in `parent`.
            arrived: seconds, of any clock; inf for a static transform.
        """
        parent, child = parent.lstrip("/"), child.lstrip("/")
        norm = math.sqrt(sum(value * value for value in transform.rotation))
        usable = norm >= 1e-6 and all(map(math.isfinite, (*transform.translation, norm)))
        fits = child in self._links or len(self._links) < MAX_FRAMES
        if usable and fits and parent and child and parent != child:
            x, y, z, w = (value / norm for value in transform.rotation)
            unit = Transform(transform.translation, (x, y, z, w))
            self._links[child] = parent, unit, arrived

    def find(self, target: str, source: str) -> tuple[Transform, float] | None:
        """Pose of `source` in `target`, and when the oldest transform of the chain arrived.

        inf: all are static. None: the frames are not connected.
        """
        target, source = target.lstrip("/"), source.lstrip("/")
        up, down = self._chain(source), self._chain(target)
        if up is None or down is None:
            return None
        ancestors = {frame: i for i, (frame, _, _) in enumerate(down)}
        for frame, transform, arrived in up:
            if frame in ancestors:
                _, back, since = down[ancestors[frame]]
                return back.inverse() @ transform, min(arrived, since)
        return None

    def _chain(self, frame: str) -> list[tuple[str, Transform, float]] | None:
        """Pose of `frame` in each of its ancestors, itself first; None: there is a loop."""
        at, since = Transform(), math.inf
        chain = [(frame, at, since)]
        while (link := self._links.get(frame)) is not None:
            if len(chain) > MAX_CHAIN:
                return None
            frame, place, arrived = link
            at, since = place @ at, min(since, arrived)
            chain.append((frame, at, since))
        return chain
