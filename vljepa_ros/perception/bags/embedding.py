"""Embeds the images of a bag, faster than real time: clips by stamp, in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.engines.protocol import Clip, Engine
from vljepa_ros.models.config import ModelConfig
from vljepa_ros.perception.bags.reading import BagImage, ImageCounts
from vljepa_ros.perception.domain import Domain, DomainWatch
from vljepa_ros.perception.frames import ROTATIONS, FrameDecoder
from vljepa_ros.perception.image_encodings import FrameError, Pixels
from vljepa_ros.perception.memory.row import clip_to_jpeg
from vljepa_ros.perception.ring import ClipRing
from vljepa_ros.perception.stamps import ImageStamps

ROUND = 32
"""Clips of one camera that are collected before the model runs, which limits the memory used."""
LANES = 4
"""Number of parts into which a camera's round is divided. They run as one batch, each as a separate
stream for the X-Encoder's cache."""


@dataclass(frozen=True)
class ClipPlan:
    """Which clips of a bag are embedded.

    Attributes:
        every: seconds between two clips.
        thumbnail: side in pixels, at most the model's; 0: none.
        rotate: camera -> degrees clockwise; the empty name stands for all others.
        crop: camera -> x, y, width, height, as in FrameDecoder; the empty name as above.
    """

    every: float
    thumbnail: int = 128
    rotate: Mapping[str, int] = field(default_factory=dict)
    crop: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.every > 0.0:
            raise ValueError(f"every is {self.every} s, allowed: above 0")
        if not 0 <= self.thumbnail <= 1024:
            raise ValueError(f"thumbnail is {self.thumbnail} pixels, allowed: 0 (none) to 1024")
        for degrees in self.rotate.values():
            if degrees not in ROTATIONS:
                raise ValueError(
                    f"rotate is {degrees}, allowed: {', '.join(map(str, ROTATIONS))} degrees"
                )
        for crop in self.crop.values():
            if len(crop) != 4 or min(crop) < 0:
                raise ValueError(f"crop is {crop}, allowed: x, y, width, height, none below 0")

    def decoder(self, camera: str, config: ModelConfig) -> FrameDecoder:
        """The decoder for the images of a camera."""
        rotate = self.rotate.get(camera, self.rotate.get("", 0))
        crop = self.crop.get(camera, self.crop.get("", (0, 0, 0, 0)))
        return FrameDecoder(config.input_size, rotate, config.preprocessing, crop=crop)


@dataclass(frozen=True)
class EmbeddedClip:
    """The embedding of one clip of one camera.

    Attributes:
        camera: name.
        start: nanoseconds, stamp of its oldest image.
        stamp: nanoseconds, stamp of its newest image.
        received: nanoseconds, recording time of the newest image.
        frame_id: frame_id of the newest image.
        vector: [D] float32, L2 norm 1.
        thumbnail: JPEG of `frames` images, or empty.
        frames: images in the thumbnail.
        in_domain: see `DomainWatch`.
    """

    camera: str
    start: int
    stamp: int
    received: int
    frame_id: str
    vector: NDArray[np.float32]
    thumbnail: bytes = b""
    frames: int = 0
    in_domain: bool = True


@dataclass
class _Camera:
    """One camera's images, and its waiting clips: (clip, recording time, frame_id)."""

    name: str
    ring: ClipRing[BagImage]
    stamps: ImageStamps
    due: int  # nanoseconds, stamp of the next clip
    clips: list[tuple[Clip, int, str]] = field(default_factory=list)
    state: Any = None
    watch: DomainWatch = field(default_factory=DomainWatch)


def embed_images(
    engine: Engine,
    images: Iterable[BagImage],
    plan: ClipPlan,
    counts: Mapping[str, ImageCounts],
    progress: Callable[[int], None] = lambda received: None,
    begin: Mapping[str, int] | None = None,
) -> Iterator[list[EmbeddedClip]]:
    """Yield the embeddings of the clips that `plan` asks for, in rounds.

    Args:
        engine: a loaded model.
        images: images in the order of recording.
        plan: which clips to embed.
        counts: camera -> counts, which are updated.
        progress: called with the recording time of images as they are read, nanoseconds.
        begin: camera -> stamp of the first clip, nanoseconds; earlier images only fill it.
    """
    config, domain = engine.config, Domain.load(engine.config)
    cameras: dict[str, _Camera] = {}
    step = round(plan.every * 1e9)
    # An image that is earlier than this is not out of order: time went back.
    early = 2 * step + round((config.clip_frames + 1) * config.frame_interval * 1e9)
    for image in images:
        progress(image.received)
        name = image.camera
        if name not in cameras:
            decode = plan.decoder(name, config)
            ring: ClipRing[BagImage] = ClipRing(
                config.clip_frames, config.frame_interval, counting(decode, counts[name])
            )
            stamps = ImageStamps(config.frame_interval)
            cameras[name] = _Camera(name, ring, stamps, (begin or {}).get(name, 0))
        camera, count = cameras[name], counts[name]
        stamp = camera.stamps.read(image.stamp, image.received)
        count.note = camera.stamps.trouble or count.note
        if stamp is None:
            count.tried += 1
            count.refuse(camera.stamps.trouble)
            continue
        image = replace(image, stamp=stamp)
        newest = camera.ring.newest
        if newest is not None and image.stamp < newest:
            # Time went back: a stamp may belong to another image now, so the cache is dropped.
            if camera.clips:
                yield _embed(engine, camera, plan, domain)
            camera.state, camera.watch = None, DomainWatch()
        camera.ring.push(image.stamp, image, image.frame_id, now=image.received / 1e9)
        if 0 < camera.due - image.stamp <= early:
            continue
        taken = camera.ring.take(image.received / 1e9)
        if taken is None or taken.clip.stamps[-1] != image.stamp:
            continue
        # Keep to the grid, so that neighbouring clips share their images and the cache serves.
        on_grid = 0 <= image.stamp - camera.due < step
        camera.due = (camera.due if on_grid else image.stamp) + step
        camera.clips.append((taken.clip, image.received, image.frame_id))
        if len(camera.clips) >= ROUND:
            yield _embed(engine, camera, plan, domain)
    for camera in cameras.values():
        if camera.clips:
            yield _embed(engine, camera, plan, domain)


def counting(decode: FrameDecoder, counts: ImageCounts) -> Callable[[BagImage], Pixels]:
    """Wrap a decoder to [S, S, 3] uint8 RGB so that refused images are counted."""

    def decode_image(image: BagImage) -> Pixels:
        counts.tried += 1
        try:
            pixels = decode(image.message)
        except FrameError as error:
            counts.refuse(str(error))
            raise
        counts.note = decode.levels.note or counts.note
        return pixels

    return decode_image


def _embed(
    engine: Engine, camera: _Camera, plan: ClipPlan, domain: Domain | None
) -> list[EmbeddedClip]:
    """Run the model over the waiting clips of one camera."""
    waiting, camera.clips = camera.clips, []
    length = -(-len(waiting) // LANES)
    lanes = [range(i, min(i + length, len(waiting))) for i in range(0, len(waiting), length)]
    states: list[Any] = [camera.state] + [None] * (len(lanes) - 1)
    tokens: list[Any] = [None] * len(waiting)
    for offset in range(length):
        now = [(lane, rows[offset]) for lane, rows in enumerate(lanes) if offset < len(rows)]
        encoded = engine.encode(
            [waiting[index][0] for _, index in now], [states[lane] for lane, _ in now]
        )
        for (lane, index), one in zip(now, encoded, strict=True):
            states[lane] = one.state
            tokens[index] = one.tokens
    camera.state = states[-1]
    vectors = engine.embed(tokens, engine.config.default_query)
    embedded = []
    for (clip, received, frame_id), one, vector in zip(waiting, tokens, vectors, strict=True):
        fits = domain is None or camera.watch.observe(clip.stamps, domain.score(one))
        jpeg, frames = b"", 0
        if plan.thumbnail:
            jpeg, frames = clip_to_jpeg(clip.frames, plan.thumbnail), len(clip.frames)
        start, stamp = clip.stamps[0], clip.stamps[-1]
        embedded.append(
            EmbeddedClip(camera.name, start, stamp, received, frame_id, vector, jpeg, frames, fits)
        )
    return embedded
