"""Embedding streams with known changes, to judge change detectors apart from the model.

A stream is what `perception_node` would publish for one camera, with the truth beside it.
Synthetic ones follow what clip models do: texts are directions (a common part, an action, an
object), a clip shows the mean of its frames, so that a change is a ramp as long as the clip; noise
is correlated in time and of low rank, and its level differs from scene to scene. Streams embedded
by a real model use the same dataclass (`world_streams.py`); their cameras are disturbed without any
meaning as well: exposure, shake, turns, compression, lost frames.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Vectors = NDArray[np.float32]

ACTIONS, OBJECTS, STATES = 14, 10, 12
FOCAL_PX = 107.0  # of a picture 128 pixels high in a lens of 62 degrees
EXPOSURE_EVERY_S, SHAKE_EVERY_S, TURN_EVERY_S, PAUSE_EVERY_S = 90.0, 120.0, 150.0, 300.0  # means
CALM_START_S = 5.0  # nothing disturbs the first seconds of a stream
SHAKE_RAD_S = 2.0 * math.pi * 5.0  # a camera shakes five times a second
DROPPED_SHARE = 0.05  # of the frames, lost singly


@dataclass(frozen=True)
class Event:
    """An event.

    Attributes:
        start, end: seconds.
        text: index of its semantic key.
        strong: it changes much of the picture.
    """

    start: float
    end: float
    text: int
    strong: bool = False


TextReader = Callable[[Vectors], NDArray[np.intp]]
"""What decodes: [N] index of the semantic key of each of [N, D] embeddings; -1 for unknown text."""


@dataclass(frozen=True)
class NearestText:
    """Reads the nearest of [K, D] texts, L2 norm 1; the index is the key's."""

    texts: Vectors

    def __call__(self, vectors: Vectors) -> NDArray[np.intp]:
        """See `TextReader`."""
        return np.asarray((vectors @ self.texts.T).argmax(axis=1))


@dataclass(frozen=True)
class ChangeStream:
    """One camera's embeddings with the truth.

    Attributes:
        stamps: [T] seconds, ascending.
        embeddings: [T, D] float32, L2 norm 1.
        clip: seconds between the first and the last frame of a clip.
        read: what decodes.
        events: ascending in start.
        states: (seconds, text indices): from then on these texts are true where no event is.
        turn_rates: [T] rad/s of the robot, zeros where it stands.
        end: seconds, when the stream ends.
    """

    stamps: Floats
    embeddings: Vectors
    clip: float
    read: TextReader
    events: tuple[Event, ...]
    states: tuple[tuple[float, frozenset[int]], ...]
    turn_rates: Floats
    end: float


@dataclass(frozen=True)
class StreamConfig:
    """Settings of a synthetic stream.

    Attributes:
        gap: mean seconds from the end of an event to the next one, as in the world.
        seconds: length.
        rate: samples per second.
        dim: length of an embedding.
        frames, frame_interval: the clip; seconds.
        noise: (lowest, highest) norm of the noise relative to a text's embedding, drawn for
            each stream.
        memory: correlation time of the noise, seconds.
        rank: directions of the noise.
        wander: norm of the slow drift (light, time of day).
        common: share of the part that all texts have in common.
        event: median length of an event, seconds.
        perturbed: with exposure jumps, shake, rotation, dropped samples, gaps and coarser
            compression.
        turn_every: mean seconds from one turn of the robot to the next.
    """

    gap: float = 12.0
    seconds: float = 600.0
    rate: float = 4.0
    dim: int = 256
    frames: int = 4
    frame_interval: float = 0.5
    noise: tuple[float, float] = (0.2, 0.5)
    memory: float = 0.5
    rank: int = 48
    wander: float = 0.12
    common: float = 1.0
    event: float = 1.9
    perturbed: bool = False
    turn_every: float = TURN_EVERY_S


def unit(vectors: NDArray[np.floating]) -> Vectors:
    """[..., D] scaled to L2 norm 1 along the last axis."""
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def synthetic_stream(config: StreamConfig, seed: int) -> ChangeStream:
    """One stream; the same configuration and seed give the same stream."""
    rng = np.random.default_rng([seed, round(config.gap * 1000), int(config.perturbed)])
    texts = _vocabulary(config, rng)
    events, states = _timeline(config, rng)
    stamps = _stamps(config, rng)
    meaning = _through_clips(config, stamps, texts, events, states)
    level = math.exp(rng.uniform(math.log(config.noise[0]), math.log(config.noise[1])))
    vectors = meaning + level * _noise(config, rng, stamps, config.memory)
    vectors += config.wander * _noise(config, rng, stamps, 300.0)
    turn_rates = np.zeros(stamps.size)
    if config.perturbed:
        vectors += _exposure(config, rng, stamps) + _shake(config, rng, stamps, level)
        nuisance, turn_rates = _turns(config, rng, stamps)
        vectors += nuisance
    return ChangeStream(
        stamps=stamps,
        embeddings=unit(vectors),
        clip=(config.frames - 1) * config.frame_interval,
        read=NearestText(texts),
        events=events,
        states=states,
        turn_rates=turn_rates,
        end=config.seconds,
    )


def _vocabulary(config: StreamConfig, rng: np.random.Generator) -> Vectors:
    def directions(count: int) -> Vectors:
        return unit(rng.normal(size=(count, config.dim)))

    common, actions, objects = directions(1), directions(ACTIONS), directions(OBJECTS)
    doing = 0.8 * actions[:, None] + 0.6 * objects[None]
    texts = np.concatenate([doing.reshape(-1, config.dim), directions(STATES)])
    return unit(config.common * common + texts)


def _timeline(
    config: StreamConfig, rng: np.random.Generator
) -> tuple[tuple[Event, ...], tuple[tuple[float, frozenset[int]], ...]]:
    """Events with pauses; each event leads to another state, true when it has ended."""
    first_state = ACTIONS * OBJECTS
    state = int(rng.integers(STATES))
    states = [(0.0, frozenset({first_state + state}))]
    events: list[Event] = []
    time = float(rng.uniform(0.0, config.gap)) + 3.0 if config.gap < 1e8 else math.inf
    while time < config.seconds - 4.0:
        length = float(np.clip(config.event * math.exp(rng.normal(0.0, 0.4)), 0.75, 8.0))
        text = int(rng.integers(first_state))
        if events and events[-1].text == text:
            text = (text + 1) % first_state
        events.append(Event(time, time + length, text))
        state = (state + int(rng.integers(1, STATES))) % STATES
        states.append((time + length, frozenset({first_state + state})))
        time += length + config.gap * float(rng.uniform(0.35, 1.65))
    return tuple(events), tuple(states)


def _stamps(config: StreamConfig, rng: np.random.Generator) -> Floats:
    count = int(config.seconds * config.rate)
    stamps = (np.arange(count) + rng.uniform(-0.1, 0.1, count) + 0.2) / config.rate
    if not config.perturbed:
        return stamps
    return stamps[draw_kept(rng, stamps, (0.0, config.seconds))]


def _through_clips(
    config: StreamConfig,
    stamps: Floats,
    texts: Vectors,
    events: tuple[Event, ...],
    states: tuple[tuple[float, frozenset[int]], ...],
) -> Floats:
    """[T, D]: the mean over the frames of each clip of what was true at the frame."""
    edges = [(start, next(iter(keys))) for start, keys in states]
    edges += [(event.start, event.text) for event in events]
    edges.sort()
    times, path = np.array([edge[0] for edge in edges]), np.array([edge[1] for edge in edges])
    total = np.zeros((stamps.size, config.dim))
    for frame in range(config.frames):
        seen = np.searchsorted(times, stamps - frame * config.frame_interval, side="right") - 1
        total += texts[path[np.maximum(seen, 0)]]
    return total / config.frames


def _noise(config: StreamConfig, rng: np.random.Generator, stamps: Floats, memory: float) -> Floats:
    """[T, D] of mean norm 1, correlated over `memory` seconds; its strength itself wanders."""
    spectrum = 1.0 / np.sqrt(1.0 + np.arange(config.rank) / 8.0)
    spectrum /= np.linalg.norm(spectrum)
    kept = np.exp(-np.diff(stamps, prepend=stamps[0] - 10.0 * memory) / memory)
    fresh = rng.standard_normal((stamps.size, config.rank)) * np.sqrt(1.0 - kept**2)[:, None]
    state = np.zeros(config.rank)
    path = np.empty((stamps.size, config.rank))
    for index in range(stamps.size):
        state = kept[index] * state + fresh[index]
        path[index] = state
    phase = rng.uniform(0, 2 * math.pi)
    strength = 1.0 + 0.25 * np.sin(2 * math.pi * stamps / 170.0 + phase)
    basis = unit(rng.normal(size=(config.rank, config.dim)))
    return (strength[:, None] * path * spectrum) @ basis


def _exposure(config: StreamConfig, rng: np.random.Generator, stamps: Floats) -> Floats:
    """Auto-exposure: a jump in one direction that the camera takes back within seconds."""
    direction = unit(rng.normal(size=config.dim))
    amount = np.zeros(stamps.size)
    for start in draw_moments(rng, (0.0, config.seconds), EXPOSURE_EVERY_S):
        size, back = rng.uniform(0.15, 0.45) * rng.choice([-1.0, 1.0]), rng.uniform(0.5, 2.0)
        for frame in range(config.frames):
            since = stamps - frame * config.frame_interval - start
            amount += np.where(since >= 0, size * np.exp(-since.clip(0) / back), 0) / config.frames
    return amount[:, None] * direction


def _shake(config: StreamConfig, rng: np.random.Generator, stamps: Floats, level: float) -> Floats:
    """Shake and coarse compression: for some seconds the noise is stronger and quicker."""
    strength = np.zeros(stamps.size)
    for start in draw_moments(rng, (0.0, config.seconds), SHAKE_EVERY_S):
        span = rng.uniform(1.0, 4.0)
        strength[(stamps > start) & (stamps < start + span)] = rng.uniform(1.0, 2.0)
    return strength[:, None] * level * _noise(config, rng, stamps, 0.15)


def _turns(config: StreamConfig, rng: np.random.Generator, stamps: Floats) -> tuple[Floats, Floats]:
    """Ego-rotation: another view, of which a little stays. Returns [T, D], [T] rad/s."""
    shift, rates = np.zeros((stamps.size, config.dim)), np.zeros(stamps.size)
    for start in draw_moments(rng, (0.0, config.seconds), config.turn_every):
        span, rate = rng.uniform(1.0, 4.0), rng.uniform(0.3, 1.5)
        during, after = unit(rng.normal(size=(2, config.dim)))
        part = ((stamps - start) / span).clip(0.0, 1.0)
        shift += rng.uniform(0.3, 0.8) * np.sin(math.pi * part)[:, None] * during
        shift += 0.15 * part[:, None] * after
        rates = np.where((part > 0) & (part < 1), rate * rng.choice([-1.0, 1.0]), rates)
    return shift, rates


@dataclass(frozen=True)
class Disturbances:
    """Disturbances of a stream of T frames.

    Attributes:
        kept: [T] bool, False where a frame is lost.
        gain: [T] factor on the brightness.
        shift: [T, 2] pixels right and down, of a shaken camera.
        roll: [T] radians.
        quality: of the JPEG, 1..100; 0: not compressed.
        yaw: [T] radians by which the robot looks aside.
        turn_rates: [T] rad/s, as an IMU at the camera measures: of looking aside and of
            shaking.
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
    """Disturbances of images at stamps [T], at random moments, every kind many times an hour.

    Exposure jumps by up to half a stop and comes back within seconds; shake moves each frame by
    pixels for 1 to 4 s; the robot looks aside by 7 to 16 degrees and back within 1.5 to 4 s; frames
    are lost singly and for 1 to 4 s; all frames are JPEG of one quality.
    """
    rng = np.random.default_rng([seed, 11])
    shift, roll = _shaken(stamps, rng)
    yaw, rates = _turned(stamps, rng)
    return Disturbances(
        kept=draw_kept(rng, stamps, _span(stamps)),
        gain=_gain(stamps, rng),
        shift=shift,
        roll=roll,
        quality=int(rng.integers(35, 90)),
        yaw=yaw,
        turn_rates=rates + SHAKE_RAD_S * np.hypot(*shift.T) / FOCAL_PX,
    )


def draw_moments(rng: np.random.Generator, span: tuple[float, float], every: float) -> Floats:
    """[N] ascending moments of a Poisson process, one in `every` seconds, none at the start."""
    start, end = span
    first = start + CALM_START_S
    count = int(rng.poisson((end - start) / every))
    return np.sort(rng.uniform(first, max(first, end), count))


def draw_kept(
    rng: np.random.Generator, stamps: Floats, span: tuple[float, float]
) -> NDArray[np.bool_]:
    """[T] False where a frame is lost: singly, or in a pause of 1 to 4 s; the first one is kept."""
    kept = rng.random(stamps.size) >= DROPPED_SHARE
    for begin in draw_moments(rng, span, PAUSE_EVERY_S):
        kept &= ~((stamps > begin) & (stamps < begin + rng.uniform(1.0, 4.0)))
    kept[0] = True
    return kept


def _span(stamps: Floats) -> tuple[float, float]:
    return float(stamps[0]), float(stamps[-1])


def _gain(stamps: Floats, rng: np.random.Generator) -> Floats:
    octaves = np.zeros(stamps.size)
    for start in draw_moments(rng, _span(stamps), EXPOSURE_EVERY_S):
        size, back = rng.uniform(0.15, 0.5) * rng.choice([-1.0, 1.0]), rng.uniform(0.5, 2.0)
        since = stamps - start
        octaves += np.where(since >= 0, size * np.exp(-since.clip(0) / back), 0.0)
    return np.where(np.abs(octaves) < 0.01, 1.0, 2.0**octaves)


def _shaken(stamps: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    strength = np.zeros(stamps.size)
    for start in draw_moments(rng, _span(stamps), SHAKE_EVERY_S):
        strength[(stamps > start) & (stamps < start + rng.uniform(1.0, 4.0))] = rng.uniform(
            0.5, 2.0
        )
    shift = strength[:, None] * rng.normal(size=(stamps.size, 2))
    return shift, np.radians(0.5) * strength * rng.normal(size=stamps.size)


def _turned(stamps: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    yaw, rates = np.zeros(stamps.size), np.zeros(stamps.size)
    for start in draw_moments(rng, _span(stamps), TURN_EVERY_S):
        span = rng.uniform(1.5, 4.0)
        angle = rng.uniform(0.12, 0.28) * rng.choice([-1.0, 1.0])
        part = (stamps - start) / span
        during = (part > 0) & (part < 1)
        yaw[during] = angle * np.sin(math.pi * part[during]) ** 2
        rates[during] = angle * math.pi / span * np.sin(2 * math.pi * part[during])
    return yaw, rates
