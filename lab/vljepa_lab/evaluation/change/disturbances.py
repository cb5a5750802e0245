"""What disturbs a camera without any meaning: exposure, shake, turns, compression, lost frames."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

FOCAL = 107.0  # pixels, of a picture 128 pixels high in a lens of 62 degrees
EXPOSURE_EVERY, SHAKE_EVERY, TURN_EVERY, PAUSE_EVERY = 90.0, 120.0, 150.0, 300.0  # mean seconds
SHAKE_RATE = 2.0 * math.pi * 5.0  # rad/s: a camera shakes five times a second
DROPPED = 0.05  # share of frames lost singly


@dataclass(frozen=True)
class Disturbances:
    """Of one stream of T frames.

    kept: [T] bool, False where a frame is lost. gain: [T] factor on the brightness. shift: [T, 2]
    pixels right and down, of a shaken camera. roll: [T] radians. quality: of the JPEG, 1..100; 0:
    not compressed. yaw: [T] radians by which the robot looks aside. turn_rates: [T] rad/s, as an
    IMU at the camera tells: of looking aside and of shaking.
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
        right = right - FOCAL * math.tan(self.yaw[index])
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
        kept=_kept(stamps, rng),
        gain=_gain(stamps, rng),
        shift=shift,
        roll=roll,
        quality=int(rng.integers(35, 90)),
        yaw=yaw,
        turn_rates=rates + SHAKE_RATE * np.hypot(*shift.T) / FOCAL,
    )


def _moments(stamps: Floats, rng: np.random.Generator, every: float) -> Floats:
    """Moments of a Poisson process, none in the first seconds."""
    span = float(stamps[-1] - stamps[0])
    return np.sort(rng.uniform(stamps[0] + 5.0, stamps[-1], int(rng.poisson(span / every))))


def _kept(stamps: Floats, rng: np.random.Generator) -> NDArray[np.bool_]:
    kept = rng.random(stamps.size) >= DROPPED
    for start in _moments(stamps, rng, PAUSE_EVERY):
        kept &= ~((stamps > start) & (stamps < start + rng.uniform(1.0, 4.0)))
    kept[0] = True
    return kept


def _gain(stamps: Floats, rng: np.random.Generator) -> Floats:
    octaves = np.zeros(stamps.size)
    for start in _moments(stamps, rng, EXPOSURE_EVERY):
        size, back = rng.uniform(0.15, 0.5) * rng.choice([-1.0, 1.0]), rng.uniform(0.5, 2.0)
        since = stamps - start
        octaves += np.where(since >= 0, size * np.exp(-since.clip(0) / back), 0.0)
    return np.where(np.abs(octaves) < 0.01, 1.0, 2.0**octaves)


def _shaken(stamps: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    strength = np.zeros(stamps.size)
    for start in _moments(stamps, rng, SHAKE_EVERY):
        strength[(stamps > start) & (stamps < start + rng.uniform(1.0, 4.0))] = rng.uniform(
            0.5, 2.0
        )
    shift = strength[:, None] * rng.normal(size=(stamps.size, 2))
    return shift, np.radians(0.5) * strength * rng.normal(size=stamps.size)


def _turned(stamps: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    yaw, rates = np.zeros(stamps.size), np.zeros(stamps.size)
    for start in _moments(stamps, rng, TURN_EVERY):
        span = rng.uniform(1.5, 4.0)
        angle = rng.uniform(0.12, 0.28) * rng.choice([-1.0, 1.0])
        part = (stamps - start) / span
        during = (part > 0) & (part < 1)
        yaw[during] = angle * np.sin(math.pi * part[during]) ** 2
        rates[during] = angle * math.pi / span * np.sin(2 * math.pi * part[during])
    return yaw, rates
