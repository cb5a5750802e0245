"""Where a camera_node's images come from: a video, a webcam, a folder of images, the simulated
world.

Every source is an iterator of Shot; it ends where its material ends.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, repeat
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from vljepa_ros.resources import share_dir

_IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
_ALLOWED = "demo, world, a video file, a folder of images, or the index of a webcam such as 0"


class SourceError(ValueError):
    """No images can be had from there; the message names what is allowed."""


@dataclass(frozen=True)
class Shot:
    """One image.

    Attributes:
        bgr: [H, W, 3] uint8.
        truth: What is true in it, as in ground_truth.jsonl, or None; its times are seconds from the
            beginning of the source.
    """

    bgr: NDArray[np.uint8]
    truth: dict[str, Any] | None = None


class ImageSource(Protocol):
    """Images one after the other."""

    rate: float
    """Images a second that it was made for."""

    live: bool
    """Whether it cannot be played again."""

    def shots(self) -> Iterator[Shot]:
        """From the beginning; may be called again if it is not live."""

    def close(self) -> None:
        """Free the device or file."""


def demo_clip() -> Path:
    """The clip that comes with the package.

    Raises:
        SourceError: It is missing.
    """
    clip = share_dir() / "models" / "nano" / "demo" / "clip.mp4"
    if not clip.is_file():
        raise SourceError(f"the demo clip {clip} is missing: reinstall the package")
    return clip


def open_source(source: str, seed: int, size: tuple[int, int], rate: float) -> ImageSource:
    """Open a source by name.

    Args:
        source: demo, world, a file, a folder, or the index of a webcam.
        seed: Scene of the simulated world.
        size: Its width and height in pixels; 0: its own.
        rate: Its images a second; 0: its own.

    Raises:
        SourceError: There is no such source, or it cannot be read.
    """
    if source == "demo":
        return VideoFile(demo_clip())
    if source == "world":
        return SimulatedWorld(seed, size, rate)
    if source.isdecimal():
        return Webcam(int(source))
    path = Path(source).expanduser()
    if source and path.is_dir():
        return ImageFolder(path)
    if source and path.is_file():
        return VideoFile(path)
    raise SourceError(f"no image source '{source}', allowed: {_ALLOWED}")


def _frames(capture: cv2.VideoCapture) -> Iterator[NDArray[np.uint8]]:
    """[H, W, 3] uint8 BGR, as long as one can be read."""
    while (read := capture.read())[0]:
        yield np.asarray(read[1], np.uint8)


class VideoFile:
    """A video, with the truth of each frame from a `ground_truth.jsonl` in its folder, if any."""

    live = False

    def __init__(self, path: Path) -> None:
        self._path = path
        capture = cv2.VideoCapture(str(path))
        readable, _ = capture.read()
        if not readable:
            raise SourceError(f"'{path}' is not a video that OpenCV can read; allowed: {_ALLOWED}")
        self.rate = float(capture.get(cv2.CAP_PROP_FPS)) or 10.0
        capture.release()
        truth = path.parent / "ground_truth.jsonl"
        lines = truth.read_text(encoding="utf-8").splitlines() if truth.is_file() else []
        self._truth: list[dict[str, Any]] = [json.loads(line) for line in lines]

    def shots(self) -> Iterator[Shot]:
        """Frames in order."""
        capture = cv2.VideoCapture(str(self._path))
        try:
            for bgr, truth in zip(_frames(capture), chain(self._truth, repeat(None))):  # noqa: B905
                yield Shot(bgr, truth)
        finally:
            capture.release()

    def close(self) -> None:
        """Nothing is kept open between plays."""


class Webcam:
    """A camera that OpenCV opens by its index."""

    live = True

    def __init__(self, index: int) -> None:
        self._capture = cv2.VideoCapture(index)
        if not self._capture.isOpened():
            raise SourceError(f"webcam {index} cannot be opened; allowed: {_ALLOWED}")
        self.rate = float(self._capture.get(cv2.CAP_PROP_FPS)) or 30.0

    def shots(self) -> Iterator[Shot]:
        """Until the camera is unplugged."""
        yield from map(Shot, _frames(self._capture))

    def close(self) -> None:
        """Free the device."""
        self._capture.release()


class ImageFolder:
    """Images of a folder in the order of their names."""

    live = False
    rate = 1.0

    def __init__(self, folder: Path) -> None:
        self._files = sorted(f for f in folder.iterdir() if f.suffix.lower() in _IMAGES)
        if not self._files:
            raise SourceError(f"no images in '{folder}', allowed: {', '.join(_IMAGES)}")

    def shots(self) -> Iterator[Shot]:
        """Those that can be read.

        Raises:
            SourceError: Not a single one can.
        """
        readable = 0
        for file in self._files:
            bgr = cv2.imread(str(file), cv2.IMREAD_COLOR)
            if bgr is not None:
                readable += 1
                yield Shot(np.asarray(bgr, np.uint8))
        if not readable:
            raise SourceError(f"none of the {len(self._files)} images can be read")

    def close(self) -> None:
        """Nothing is kept open."""


class SimulatedWorld:
    """The simulated robot camera, live; needs the extra `world`."""

    live = True

    def __init__(self, seed: int, size: tuple[int, int], rate: float) -> None:
        try:
            from vljepa_lab.world.live import CameraConfig, SimulatedCamera
        except ImportError as error:
            raise SourceError(
                f"the simulated world needs {error.name}, which is not installed: in the source "
                "tree, pip install -e . -e 'lab[world]'"
            ) from error
        self.rate = rate or 10.0
        try:
            width, height = size[0] or 640, size[1] or 480
            self._camera = SimulatedCamera(CameraConfig(width, height, self.rate, seed))
        except (RuntimeError, ValueError, ImportError) as error:
            raise SourceError(f"the simulated world does not start: {error}") from error

    def shots(self) -> Iterator[Shot]:
        """Without end."""
        for frame in self._camera.frames():
            yield Shot(frame.image[..., ::-1], frame.truth)

    def close(self) -> None:
        """Free the renderer."""
        self._camera.close()
