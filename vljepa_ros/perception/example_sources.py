"""Makes examples for a taught label from pictures or a bag, without nodes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vljepa_ros.engines.protocol import Clip, Engine
from vljepa_ros.perception.bags.embedding import ClipPlan, embed_images
from vljepa_ros.perception.bags.reading import BagError, BagReader, ImageCounts
from vljepa_ros.perception.bags.topics import choose_topics
from vljepa_ros.perception.frames import model_input, picture_to_rgb
from vljepa_ros.perception.image_encodings import LevelRange
from vljepa_ros.perception.lesson import MAX_FRAMES, Example, Recording
from vljepa_ros.perception.memory.row import clip_to_jpeg


def from_pictures(
    engine: Engine, files: Sequence[Path], camera: str, shows_other: bool
) -> Recording:
    """Make a recording from the last MAX_FRAMES picture files, each as a clip without motion.

    Raises:
        FrameError: one of them is not a picture; the message names it.
        OSError: one of them cannot be read.
    """
    config, levels = engine.config, LevelRange()
    examples = []
    for place, file in enumerate(files[-MAX_FRAMES:]):
        rgb = picture_to_rgb(file.read_bytes(), str(file), levels)
        frame = model_input(rgb, config.input_size, preprocessing=config.preprocessing)
        stamps = tuple(range(config.clip_frames))
        clip = Clip(np.repeat(frame[np.newaxis], config.clip_frames, axis=0), stamps)
        (seen,) = engine.encode([clip], [None])
        (vector,) = engine.embed([seen.tokens], config.default_query)
        examples.append(Example(place, vector, clip_to_jpeg(frame[np.newaxis], config.input_size)))
    return Recording(camera, shows_other, tuple(examples))


def from_bag(
    engine: Engine, bag: Path, topic: str, span: tuple[int, int], camera: str, shows_other: bool
) -> Recording:
    """Make a recording from the last MAX_FRAMES clips of a time range of a bag.

    Args:
        engine: a loaded model.
        bag: folder or file.
        topic: topic of the images; empty: the only one.
        span: nanoseconds, stamps of the first and the last image.
        camera: name of the camera that the label is for.
        shows_other: which state it shows.

    Raises:
        BagError: the bag or the topic cannot be used, or has several cameras.
    """
    config = engine.config
    start, end = span
    with BagReader(bag) as reader:
        topics, _ = choose_topics(reader, {topic: camera} if topic else None)
        if len(topics) > 1:
            raise reader.error(f"'{bag}' has {len(topics)} image topics; choose one with --topic")
        counts = {(name := topics[0].camera): ImageCounts()}
        images = (one for one in reader.images(topics, counts) if one.stamp <= end)
        plan = ClipPlan(config.frame_interval or 0.2, thumbnail=config.input_size)
        rounds = embed_images(engine, images, plan, counts, begin={name: start})
        clips = [clip for one in rounds for clip in one if start <= clip.stamp <= end]
    if not clips:
        raise BagError(f"'{bag}' has no images from {start / 1e9:.3f} to {end / 1e9:.3f} s")
    examples = [
        Example(clip.stamp, clip.vector, clip.thumbnail, clip.frames)
        for clip in clips[-MAX_FRAMES:]
    ]
    return Recording(camera, shows_other, tuple(examples))
