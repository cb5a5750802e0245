"""What disturbs a camera without any meaning: exposure, shake, turns, compression, lost frames."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

FOCAL_PX = 107.0  # of a picture 128 pixels high in a lens of 62 degrees
EXPOSURE_EVERY_S, SHAKE_EVERY_S, TURN_EVERY_S, PAUSE_EVERY_S = 90.0, 120.0, 150.0, 300.0  # means
CALM_START_S = 5.0  # nothing disturbs the first seconds of a stream
SHAKE_RAD_S = 2.0 * math.pi * 5.0  # a camera shakes five times a second
DROPPED_SHARE = 0.05  # of the frames, lost singly


@dataclass(frozen=True)
class Disturbances:
    """Of one stream of T frames.

    kept: [T] bool, False where a frame is lost. gain: [T] factor on the brightness. shift: [T, 2]
    pixels right and down, of a shaken camera. roll: [T] radians. quality: of the JPEG, 1..100; 0:
    not compressed. yaw: [T] radians by which the robot looks aside. turn_rates: [T] rad/s, as an
    IMU at the camera measures: of looking aside and of shaking.
    """

    kept: NDArray[np.bool_]
    gain: Floats
    shift: Floats
    roll: Floats
    quality: int
    yaw: Floats
    turn_rates: Floats

    def apply(self, wide: NDArray[np.uint8], index: int) -> NDArray[np.uint8]:
        """Frame `index` as the disturbed camera gives it: [H, H, 3] of a wide [H, W, 3]."""
        height, width = wide.shape[:2]
        margin = (width - height) // 2
        right, down = self.shift[index]
        right = right - FOCAL_PX * math.tan(self.yaw[index])
        image: Any = wide[:, margin : margin + height]
        if right or down or self.roll[index]:
            matrix = cv2.getRotationMatrix2D(
                (width / 2, height / 2), math.degrees(self.roll[index]), 1
            )
            matrix[:, 2] += (right - margin, down)
            image = cv2.warpAffine(wide, matrix, (height, height), borderMode=cv2.BORDER_REPLICATE)
        if self.gain[index] != 1.0:
            image = cv2.convertScaleAbs(image, alpha=float(self.gain[index]))
        if self.quality:
            options = [cv2.IMWRITE_JPEG_QUALITY, self.quality]
            image = cv2.imdecode(cv2.imencode(".jpg", image, options)[1], cv2.IMREAD_COLOR)
        return np.ascontiguousarray(image, dtype=np.uint8)


def undisturbed(count: int) -> Disturbances:
    """A camera that nothing disturbs, for `count` frames."""
    zeros = np.zeros(count)
    still = np.zeros((count, 2))
    return Disturbances(np.ones(count, bool), np.ones(count), still, zeros, 0, zeros, zeros)


def draw_disturbances(stamps: Floats, seed: int) -> Disturbances:
    """Disturbances at random moments, every kind many times an hour.

    Exposure jumps by up to half a stop and comes back within seconds; shake moves each frame by
    pixels for 1 to 4 s; the robot looks aside by 7 to 16 degrees and back within 1.5 to 4 s; frames
    are lost singly and for 1 to 4 s; all frames are JPEG of one quality.
    """
    rng = np.random.default_rng([seed, 11])
    shift, roll = _shaken(stamps, rng)
    yaw, rates = _turned(stamps, rng)
    return Disturbances(
        kept=draw_kept(rng, stamps, float(stamps[0]), float(stamps[-1])),
        gain=_gain(stamps, rng),
        shift=shift,
        roll=roll,
        quality=int(rng.integers(35, 90)),
        yaw=yaw,
        turn_rates=rates + SHAKE_RAD_S * np.hypot(*shift.T) / FOCAL_PX,
    )


def draw_moments(
    rng: np.random.Generator, start: float, end: float, every: float
) -> NDArray[np.float64]:
    """Ascending moments of a Poisson process, one in `every` seconds, none in the first seconds."""
    first = start + CALM_START_S
    count = int(rng.poisson((end - start) / every))
    return np.sort(rng.uniform(first, max(first, end), count))


def draw_kept(
    rng: np.random.Generator, stamps: Floats, start: float, end: float
) -> NDArray[np.bool_]:
    """[T] False where a frame is lost: singly, or in a pause of 1 to 4 s; the first one is kept."""
    kept = rng.random(stamps.size) >= DROPPED_SHARE
    for begin in draw_moments(rng, start, end, PAUSE_EVERY_S):
        kept &= ~((stamps > begin) & (stamps < begin + rng.uniform(1.0, 4.0)))
    kept[0] = True
    return kept


def _moments(stamps: Floats, rng: np.random.Generator, every: float) -> Floats:
    return draw_moments(rng, float(stamps[0]), float(stamps[-1]), every)


def _gain(stamps: Floats, rng: np.random.Generator) -> Floats:
    octaves = np.zeros(stamps.size)
    for start in _moments(stamps, rng, EXPOSURE_EVERY_S):
        size, back = rng.uniform(0.15, 0.5) * rng.choice([-1.0, 1.0]), rng.uniform(0.5, 2.0)
        since = stamps - start
        octaves += np.where(since >= 0, size * np.exp(-since.clip(0) / back), 0.0)
    return np.where(np.abs(octaves) < 0.01, 1.0, 2.0**octaves)


def _shaken(stamps: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    strength = np.zeros(stamps.size)
    for start in _moments(stamps, rng, SHAKE_EVERY_S):
        strength[(stamps > start) & (stamps < start + rng.uniform(1.0, 4.0))] = rng.uniform(
            0.5, 2.0
        )
    shift = strength[:, None] * rng.normal(size=(stamps.size, 2))
    return shift, np.radians(0.5) * strength * rng.normal(size=stamps.size)


def _turned(stamps: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    yaw, rates = np.zeros(stamps.size), np.zeros(stamps.size)
    for start in _moments(stamps, rng, TURN_EVERY_S):
        span = rng.uniform(1.5, 4.0)
        angle = rng.uniform(0.12, 0.28) * rng.choice([-1.0, 1.0])
        part = (stamps - start) / span
        during = (part > 0) & (part < 1)
        yaw[during] = angle * np.sin(math.pi * part[during]) ** 2
        rates[during] = angle * math.pi / span * np.sin(2 * math.pi * part[during])
    return yaw, rates
