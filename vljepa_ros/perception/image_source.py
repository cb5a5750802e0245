"""Image sources of camera_node: a video, a webcam, a folder of images, the simulated world.

A source iterates over Shots.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, repeat
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from vljepa_ros.perception.frames import picture_to_rgb
from vljepa_ros.perception.image_encodings import FrameError, LevelRange
from vljepa_ros.resources import share_dir

_IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
_ALLOWED = "demo, world, a video file, a folder of images, or a webcam such as 0 or /dev/video0"
_FASTEST = 1000.0  # images per second; drivers and files that claim more, or nothing, do not know


class SourceError(ValueError):
    """A source has no images; the message says what is allowed."""


@dataclass(frozen=True)
class Shot:
    """One image.

    Attributes:
        bgr: [H, W, 3] uint8.
        truth: Its ground truth as in ground_truth.jsonl, or None; its times are seconds from the
            beginning of the source.
        time: Seconds from the beginning of the source; None: determined by its rate.
    """

    bgr: NDArray[np.uint8]
    truth: dict[str, Any] | None = None
    time: float | None = None


class ImageSource(Protocol):
    """Base of the sources."""

    rate: float
    """Images per second."""

    live: bool
    """Whether it is live, so that it cannot be played again."""

    left_out: str = ""
    """Images that could not be used, and why; empty: none."""

    def shots(self) -> Iterator[Shot]:
        """Iterate from the beginning; may be called again if the source is not live."""

    def close(self) -> None:
        """Close the device or file, if one is open."""
        return


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
        source: demo, world, a file, a folder, or the index or device of a webcam.
        seed: Scene of the simulated world.
        size: Width and height in pixels of the simulated world; 0: its own.
        rate: Images per second of the simulated world; 0: its own.

    Raises:
        SourceError: There is no such source, or it cannot be read.
    """
    if source == "demo":
        return VideoFile(demo_clip())
    if source == "world":
        return SimulatedWorld(seed, size, rate)
    path = Path(os.path.expanduser(source))  # Path.expanduser raises for an unknown user
    device = re.fullmatch(
        r"(?:/dev/video)?(\d{1,4})", str(path.resolve()) if path.is_char_device() else source
    )
    if device:
        return Webcam(int(device[1]))
    if source and path.is_dir():
        return ImageFolder(path)
    if source and path.is_file():
        return VideoFile(path)
    raise SourceError(f"no image source '{source}', allowed: {_ALLOWED}")


def _rate(capture: cv2.VideoCapture, usual: float) -> float:
    """Images per second; `usual` if the file or driver does not know."""
    rate = float(capture.get(cv2.CAP_PROP_FPS))
    return rate if 0.0 < rate <= _FASTEST else usual


def _shown_at(capture: cv2.VideoCapture, before: float | None, rate: float) -> float:
    """Presentation time of the frame just read, seconds; by the rate if the file has none."""
    time = float(capture.get(cv2.CAP_PROP_POS_MSEC)) / 1000.0
    return time if before is None or time > before else before + 1.0 / rate


class VideoFile(ImageSource):
    """A video, with the ground truth in `ground_truth.jsonl` in its folder, if there is one."""

    live = False

    def __init__(self, path: Path) -> None:
        self._path = path
        capture = cv2.VideoCapture(str(path))
        readable, _ = capture.read()
        if not readable:
            raise SourceError(f"'{path}' is not a video that OpenCV can read; allowed: {_ALLOWED}")
        self.rate = _rate(capture, 10.0)
        capture.release()
        truth = path.parent / "ground_truth.jsonl"
        self._truth = _read_truth(truth) if truth.is_file() else []

    def shots(self) -> Iterator[Shot]:
        """Frames in order with their presentation times, as the rate of many videos varies."""
        capture = cv2.VideoCapture(str(self._path))
        truths = chain(self._truth, repeat(None))
        first = time = None
        try:
            while (read := capture.read())[0]:
                time = _shown_at(capture, time, self.rate)
                first = time if first is None else first
                yield Shot(np.asarray(read[1], np.uint8), next(truths), time - first)
        finally:
            capture.release()


def _read_truth(path: Path) -> list[dict[str, Any]]:
    """Read the ground truth of each frame. Raises SourceError."""
    found: list[dict[str, Any]] = []
    try:
        for line in path.read_text(encoding="utf-8").splitlines():
            fact = dict(json.loads(line))
            times = fact["stamp"], fact.get("event_start", 0.0)
            if not all(isinstance(time, (int, float)) and math.isfinite(time) for time in times):
                raise ValueError(f"stamp and event_start are {times}, allowed: seconds")
            found.append(fact)
    except (OSError, ValueError, TypeError, LookupError, OverflowError, RecursionError) as error:
        raise SourceError(
            f"'{path}', line {len(found) + 1}, is no truth of a frame: {error!r:.200}"
        ) from error
    return found


class Webcam(ImageSource):
    """A camera that OpenCV opens by its index."""

    live = True

    def __init__(self, index: int) -> None:
        self._index = index
        self._capture = cv2.VideoCapture(index)
        if not self._capture.isOpened():
            raise SourceError(f"webcam {index} cannot be opened; allowed: {_ALLOWED}")
        self.rate = _rate(self._capture, 30.0)

    def shots(self) -> Iterator[Shot]:
        """Iterate without end.

        Raises:
            SourceError: The camera delivers no more images.
        """
        while (read := self._capture.read())[0]:
            yield Shot(np.asarray(read[1], np.uint8))
        raise SourceError(f"webcam {self._index} gives no images: is it a camera, and plugged in?")

    def close(self) -> None:
        """Close the device."""
        self._capture.release()


class ImageFolder(ImageSource):
    """Images of a folder, sorted by name with numbers by value: 2 before 10."""

    live = False
    rate = 1.0

    def __init__(self, folder: Path) -> None:
        files = (file for file in folder.iterdir() if file.suffix.lower() in _IMAGES)
        self._files = sorted(files, key=_natural)
        if not self._files:
            raise SourceError(f"no images in '{folder}', allowed: {', '.join(_IMAGES)}")

    def shots(self) -> Iterator[Shot]:
        """Iterate over the usable images; `left_out` describes the others.

        Raises:
            SourceError: No image can be used.
        """
        levels, refused = LevelRange(), 0
        for file in self._files:
            try:
                rgb = picture_to_rgb(file.read_bytes(), str(file), levels)
            except (FrameError, OSError) as error:
                refused += 1
                self.left_out = (
                    f"{refused} of {len(self._files)} images left out, the last: {error}"
                )
            else:
                yield Shot(rgb[..., ::-1])
        if refused == len(self._files):
            raise SourceError(self.left_out)


def _natural(file: Path) -> tuple[list[str | int], str]:
    """Key for sorting by name, with numbers by value."""
    parts = re.split(r"([0-9]+)", file.name)  # numbers at the odd places
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], file.name


class SimulatedWorld(ImageSource):
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
        """Iterate without end."""
        for frame in self._camera.frames():
            yield Shot(frame.image[..., ::-1], frame.truth)

    def close(self) -> None:
        """Free the renderer."""
        self._camera.close()
