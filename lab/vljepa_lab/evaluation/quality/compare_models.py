"""Two engines of a model on the same clips: how far one is from the reference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vljepa_lab.world.dataset import open_shards
from vljepa_ros.engines.protocol import Clip, Engine
from vljepa_ros.files import JsonObject
from vljepa_ros.models.config import ModelConfig, ModelError
from vljepa_ros.perception.frames import model_input
from vljepa_ros.perception.image_source import Shot, SourceError, VideoFile

LEAST_CLIPS = 256
GREATEST_ERROR = 0.02
LEAST_AGREEMENT = 0.99
_BATCH = 16
_MOST_FRAMES = 10_000  # of one video
_VIDEOS = (".mp4", ".avi", ".mov", ".mkv", ".webm")

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class ClipParity:
    """Distance of an engine from fp32, over `clips` clips and every prompt of the vocabulary.

    Attributes:
        error: mean distance of an embedding to fp32's own, as a share of the median distance
            between two clips: what the change takes away from telling clips apart.
        worst: the greatest of them.
        agreement: share of clips and prompts whose best label is the same.
        cosine: the least.
    """

    clips: int
    error: float
    worst: float
    agreement: float
    cosine: float

    @property
    def passed(self) -> bool:
        """Whether it may stand in for fp32."""
        enough = self.clips >= LEAST_CLIPS
        return enough and self.error <= GREATEST_ERROR and self.agreement >= LEAST_AGREEMENT

    def as_json(self) -> JsonObject:
        """Plain types."""
        return {**asdict(self), "passed": self.passed}


def embed_clips(
    engine: Engine, frames: NDArray[np.uint8], prompts: Sequence[str]
) -> dict[str, Vectors]:
    """Embeddings [N, D] of clips [N, T, S, S, 3] for each prompt."""
    found: dict[str, list[Vectors]] = {prompt: [] for prompt in prompts}
    stamps = tuple(range(frames.shape[1]))
    for start in range(0, len(frames), _BATCH):
        clips = [Clip(np.ascontiguousarray(one), stamps) for one in frames[start : start + _BATCH]]
        tokens = [e.tokens for e in engine.encode(clips, [None] * len(clips))]
        for prompt in prompts:
            found[prompt].append(engine.embed(tokens, prompt))
    return {prompt: np.concatenate(rows) for prompt, rows in found.items()}


def measure_clips(
    reference: Mapping[str, Vectors], other: Mapping[str, Vectors], labels: Mapping[str, Vectors]
) -> ClipParity:
    """Compare two engines.

    Args:
        reference: Embeddings [N, D] float32 by prompt, see `embed_clips`.
        other: The other engine's.
        labels: Embeddings [labels, D] by prompt; prompts without labels count for the error only.

    Raises:
        ModelError: Fewer than two clips: nothing to compare a distance with.
    """
    errors, same, cosines = [], [], []
    for prompt, own in reference.items():
        if len(own) < 2:
            raise ModelError(f"{len(own)} clips, allowed: 2 or more")
        away = np.linalg.norm(other[prompt] - own, axis=1)
        squares = np.maximum(0.0, 2.0 - 2.0 * (own @ own.T))  # all are of norm 1
        between = float(np.sqrt(np.median(squares[np.triu_indices(len(own), 1)])))
        errors.append(away / max(between, 1e-12))
        cosines.append((other[prompt] * own).sum(axis=1))
        if prompt in labels and len(labels[prompt]) > 1:
            texts = labels[prompt]
            same.append((other[prompt] @ texts.T).argmax(1) == (own @ texts.T).argmax(1))
    every = np.concatenate(errors)
    agreement = float(np.concatenate(same).mean()) if same else 1.0
    return ClipParity(
        len(next(iter(reference.values()))),
        float(every.mean()),
        float(every.max()),
        agreement,
        float(np.concatenate(cosines).min()),
    )


def read_clips(place: Path, config: ModelConfig, count: int) -> NDArray[np.uint8]:
    """Read at most `count` clips [N, T, S, S, 3] uint8, spread evenly over what lies in `place`.

    Args:
        place: A video, a folder of videos, or a data set's split (`shard_*.npy`, whose frames are
            `frame_interval` apart).
        config: Of the model that the frames are fitted to.
        count: Clips wanted.

    Raises:
        ModelError: Nothing there, or nothing of the model's size.
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
    clips = [_windows(_video_frames(file, config), config, each) for file in videos]
    return np.concatenate(clips)[:count]


def _video_frames(file: Path, config: ModelConfig) -> NDArray[np.uint8]:
    """Frames [N, S, S, 3] of a video, `frame_interval` apart, fitted to the model."""
    refusal = ModelError(f"'{file}' has too few frames for a clip, or is no video")
    try:
        video = VideoFile(file)
    except SourceError as error:
        raise refusal from error
    frames = [
        model_input(
            np.ascontiguousarray(shot.bgr[..., ::-1]),
            config.input_size,
            preprocessing=config.preprocessing,
        )
        for shot in islice(sampled(video, config.frame_interval), _MOST_FRAMES)
    ]
    if len(frames) < config.clip_frames:
        raise refusal
    return np.stack(frames)


def sampled(video: VideoFile, interval: float) -> Iterator[Shot]:
    """What can be seen every `interval` seconds from the beginning."""
    due, shown = 0.0, None
    for shot in video.shots():
        assert shot.time is not None
        while shown is not None and shot.time > due + 1e-3:
            yield shown
            due += interval
        shown = shot
    if shown is not None:
        yield shown


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
