"""Real clips for calibration and parity: from shards of scenes or from videos."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vljepa_lab.world.dataset import open_shards
from vljepa_ros.models.config import ModelConfig, ModelError
from vljepa_ros.perception.frames import model_input

_VIDEOS = (".mp4", ".avi", ".mov", ".mkv", ".webm")


def read_clips(place: Path, config: ModelConfig, count: int) -> NDArray[np.uint8]:
    """At most `count` clips [N, T, S, S, 3], spread evenly over everything that lies in `place`.

    :param place: a video, a folder of videos, or a data set's split (`shard_*.npy`, whose frames
        are `frame_interval` apart).
    :raises ModelError: nothing there, or nothing of the model's size.
    """
    if not place.exists():
        raise ModelError(f"no clips at '{place}'; allowed: a video, a folder of videos, or shards")
    if place.is_dir() and any(place.glob("shard_*.npy")):
        return _from_shards(place, config, count)
    videos = sorted(place.iterdir()) if place.is_dir() else [place]
    videos = [file for file in videos if file.suffix.lower() in _VIDEOS]
    if not videos:
        raise ModelError(
            f"no clips in '{place}'; allowed: {', '.join(_VIDEOS)}, or shards (shard_*.npy)"
        )
    each = -(-count // len(videos))
    clips = [_windows(video_frames(file, config, 10_000), config, each) for file in videos]
    return np.concatenate(clips)[:count]


def video_frames(file: Path, config: ModelConfig, count: int = 64) -> NDArray[np.uint8]:
    """`count` frames of a video, `frame_interval` apart, fitted to the model: [count, S, S, 3].

    :raises ModelError: not a video.
    """
    reader = cv2.VideoCapture(str(file))
    step = max(1, round(config.frame_interval * (reader.get(cv2.CAP_PROP_FPS) or 10.0)))
    frames: list[NDArray[np.uint8]] = []
    index = 0
    while len(frames) < count and reader.grab():
        if index % step == 0:
            ok, image = reader.retrieve()
            if ok:
                rgb = np.ascontiguousarray(image[..., ::-1]).astype(np.uint8, copy=False)
                frames.append(
                    model_input(rgb, config.input_size, preprocessing=config.preprocessing)
                )
        index += 1
    reader.release()
    if len(frames) < config.clip_frames:
        raise ModelError(f"'{file}' has too few frames for a clip, or is no video")
    return np.stack(frames)


def _windows(frames: NDArray[np.uint8], config: ModelConfig, count: int) -> NDArray[np.uint8]:
    """At most `count` windows of consecutive frames, evenly spread."""
    last = len(frames) - config.clip_frames
    starts = np.unique(np.linspace(0, last, min(count, last + 1)).round().astype(int))
    return np.stack([frames[i : i + config.clip_frames] for i in starts])


def _from_shards(place: Path, config: ModelConfig, count: int) -> NDArray[np.uint8]:
    shards = [array for array, _ in open_shards(place)]
    scenes = [(array, row) for array in shards for row in range(len(array))]
    size = config.input_size
    if not scenes or scenes[0][0].shape[2:] != (size, size, 3):
        raise ModelError(
            f"'{place}' holds frames of {list(shards[0].shape[2:]) if shards else 'nothing'}, "
            f"model '{config.name}' takes [{size}, {size}, 3]"
        )
    each = -(-count // len(scenes))
    if count < len(scenes):
        picked = np.linspace(0, len(scenes) - 1, count).round().astype(int)
        scenes = [scenes[i] for i in picked]
    clips = [_windows(np.asarray(array[row]), config, each) for array, row in scenes]
    return np.concatenate(clips)[:count]
