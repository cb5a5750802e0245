"""Scenes through the X-Encoder, as the robot would see them: clip by clip, frames cached."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vljepa_lab.evaluation.quality.scenes import SceneVideo
from vljepa_ros.engines.protocol import Clip, Engine


def encode_scenes(engine: Engine, videos: Sequence[SceneVideo]) -> list[list[NDArray[np.float32]]]:
    """Visual tokens [N, D] of each clip of each scene; clip k ends at frame k + clip_frames - 1.

    Scenes run side by side, one clip of each at a time, as several cameras do.

    :raises ValueError: a scene is shorter than a clip, or its frames have another size than the
    model's.
    """
    length, size = engine.config.clip_frames, engine.config.input_size
    for video in videos:
        if len(video.frames) < length or video.frames.shape[1:] != (size, size, 3):
            raise ValueError(
                f"scene {video.scene} has frames {video.frames.shape}, the model wants at least "
                f"{length} of {size}x{size}x3"
            )
    states: list[Any] = [None] * len(videos)
    tokens: list[list[NDArray[np.float32]]] = [[] for _ in videos]
    for start in range(max((len(video.frames) for video in videos), default=0) - length + 1):
        running = [i for i, video in enumerate(videos) if start + length <= len(video.frames)]
        clips = [_clip(videos[i], start, length) for i in running]
        for i, encoded in zip(
            running, engine.encode(clips, [states[i] for i in running]), strict=True
        ):
            states[i] = encoded.state
            tokens[i].append(encoded.tokens)
    return tokens


def _clip(video: SceneVideo, start: int, length: int) -> Clip:
    stamps = tuple(round(1e9 * stamp) for stamp in video.stamps[start : start + length])
    return Clip(video.frames[start : start + length], stamps)
