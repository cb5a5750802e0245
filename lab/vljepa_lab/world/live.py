"""A live simulated camera: an endless stream of images with what is true in each of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from vljepa_lab.world.captions import ground_truth
from vljepa_lab.world.renderer import Renderer
from vljepa_lab.world.scene import Scene


@dataclass(frozen=True)
class CameraConfig:
    """A camera in the simulated world.

    Attributes:
        width, height: pixels.
        fps: images per second of scene time.
        seed: of the rooms and of what happens.
        gap: mean seconds between events.
        scene_seconds: after so long a new room follows (what fell does not come back).
        split: which kind of room, see Scene.
        textures: seed of the texture set; None: `seed`.
        shadow_size: side of the shadow map in texels.
    """

    width: int = 640
    height: int = 480
    fps: float = 10.0
    seed: int = 0
    gap: float = 4.0
    scene_seconds: float = 60.0
    split: str = "test_a"
    textures: int | None = None
    shadow_size: int = 512

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ValueError: names the field, its value and what is allowed.
        """
        for name, low, high in (
            ("width", 16, 1920),
            ("height", 16, 1080),
            ("fps", 0.1, 120),
            ("seed", 0, 2**31),
            ("gap", 0.5, 600),
            ("scene_seconds", 1, 1e6),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} is {value}; allowed are {low} to {high}")


@dataclass(frozen=True)
class Frame:
    """One image of the stream.

    Attributes:
        stamp: seconds since the stream's start.
        image: RGB uint8 [height, width, 3].
        truth: see `captions.ground_truth`, times in the same clock as `stamp`.
    """

    stamp: float
    image: npt.NDArray[np.uint8]
    truth: dict[str, Any]


class SimulatedCamera:
    """Images at a fixed rate of scene time; how fast they are taken is the caller's business.

    Deterministic: equal configurations give equal streams. Use a camera on the thread that made it:
    MuJoCo's render context belongs to it.

    Raises:
        WorldError: mujoco is missing or cannot render here.
        ValueError: an unknown split.
    """

    def __init__(self, config: CameraConfig | None = None) -> None:
        self.config = config or CameraConfig()
        c = self.config
        textures = c.seed if c.textures is None else c.textures
        self._renderer = Renderer(c.width, c.height, 900_000_000 + textures, c.shadow_size)
        self._count = 0
        self._scene_number = -1
        self._scene: Scene | None = None

    def close(self) -> None:
        """Free the render context."""
        self._renderer.close()

    def read(self) -> Frame:
        """The next image."""
        c = self.config
        stamp = self._count / c.fps
        self._count += 1
        number = int(stamp / c.scene_seconds)
        if self._scene is None or number != self._scene_number:
            self._scene_number = number
            seed = c.seed + 7919 * number
            self._scene = Scene(self._renderer, seed, c.split, gap=c.gap, first=c.gap)
        offset = number * c.scene_seconds
        self._scene.advance(stamp - offset)
        image = self._scene.render()
        state = replace(self._scene.state(), stamp=round(stamp, 4))
        events = [
            replace(e, start=round(e.start + offset, 4), end=round(e.end + offset, 4))
            for e in self._scene.all_events()
        ]
        return Frame(stamp, image, ground_truth(events, state))

    def frames(self, seconds: float | None = None) -> Iterator[Frame]:
        """The images of the next `seconds` (None: for ever)."""
        end = None if seconds is None else self._count + round(seconds * self.config.fps)
        while end is None or self._count < end:
            yield self.read()
