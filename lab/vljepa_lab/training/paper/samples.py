"""Training samples of the paper-sized VL-JEPA: clips with captions, and questions with answers.

Two forms, both ordered by the names of the files and so by nothing else:
JSONL, one object per line: `{"clip": "a.mp4", "caption": "..."}` or `{"clip": ..., "question": ...,
"answer": ...}`, paths relative to the file; and WebDataset, tar files whose members share a stem:
`000.mp4` (or .npy, .jpg, .png) and `000.json` with the same fields less `clip`.
A clip is a video, a still image, or an array [T, H, W, 3] uint8 in `.npy`.
"""

from __future__ import annotations

import io
import json
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vljepa_ros.perception.frames import model_input, picture_to_rgb
from vljepa_ros.perception.image_source import SourceError, VideoFile

# The captioning prompts of open-vljepa; query-free training asks one of them.
DEFAULT_QUERIES = ("Describe the video.", "What is happening in the video?", "What do you see?")
_VIDEOS, _IMAGES = (".mp4", ".avi", ".mkv", ".webm"), (".jpg", ".jpeg", ".png")


@dataclass(frozen=True)
class Sample:
    """What is asked of a clip, and the right answer.

    question: empty for a caption. key: equal for answers of equal meaning. archive, offset, size:
    where the clip lies in a tar file; archive None: the clip is a file of its own; size -1: to the
    end.
    """

    clip: str
    question: str
    answer: str
    key: str
    archive: Path | None = None
    offset: int = 0
    size: int = -1

    @property
    def stage(self) -> int:
        """1: a caption; 2: an answer to a question."""
        return 2 if self.question else 1


def read_samples(sources: Sequence[Path]) -> list[Sample]:
    """All samples of JSONL and tar files.

    Raises:
        ValueError: a missing file, or a line that is not a sample; the message names file and
        line.
    """
    samples: list[Sample] = []
    for source in sources:
        if not source.is_file():
            raise ValueError(f"no training data at '{source}'")
        samples += _from_tar(source) if source.suffix == ".tar" else _from_jsonl(source)
    return samples


def load_clip(
    sample: Sample, frames: int, size: int, preprocessing: Mapping[str, Any]
) -> NDArray[np.uint8]:
    """[frames, size, size, 3]: frames spread evenly over the whole clip, as the model's input.

    Raises:
        ValueError: a clip that cannot be read, or of a kind that is not allowed.
    """
    suffix = Path(sample.clip).suffix.lower()
    with (sample.archive or Path(sample.clip)).open("rb") as file:
        file.seek(sample.offset)
        images = _decode(file.read(sample.size), suffix, sample.clip, frames)
    return np.stack([model_input(image, size, preprocessing=preprocessing) for image in images])


def evenly_spaced(total: int, frames: int) -> NDArray[np.int64]:
    """[frames] indices of frames spread evenly over `total`."""
    return np.round(np.linspace(0, total - 1, frames)).astype(np.int64)


def _from_jsonl(file: Path) -> list[Sample]:
    samples = []
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            raw = json.loads(line)
            clip = str(file.parent / raw["clip"])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"'{file}' line {number}: not a sample with a 'clip': {error}"
            ) from error
        samples.append(_sample(raw, clip, f"'{file}' line {number}"))
    return samples


def _from_tar(file: Path) -> list[Sample]:
    texts: dict[str, dict[str, Any]] = {}
    clips: dict[str, tarfile.TarInfo] = {}
    with tarfile.open(file) as archive:
        for member in archive:
            stem, suffix = Path(member.name).with_suffix("").as_posix(), Path(member.name).suffix
            if suffix == ".json":
                content = archive.extractfile(member)
                assert content is not None
                texts[stem] = json.loads(content.read())
            elif suffix.lower() in (*_VIDEOS, *_IMAGES, ".npy"):
                clips[stem] = member
    samples = []
    for stem in sorted(texts):
        if stem not in clips:
            raise ValueError(f"'{file}': {stem}.json has no clip beside it")
        member = clips[stem]
        own = _sample(texts[stem], member.name, f"'{file}' {stem}.json")
        offset, size = member.offset_data, member.size
        samples.append(replace(own, archive=file, offset=offset, size=size))
    return samples


def _sample(raw: Any, clip: str, where: str) -> Sample:
    if "caption" in raw:
        question, answer = "", str(raw["caption"]).strip()
    elif "question" in raw and "answer" in raw:
        question, answer = str(raw["question"]).strip(), str(raw["answer"]).strip()
    else:
        raise ValueError(f"{where}: allowed: 'caption', or 'question' and 'answer'")
    if not answer:
        raise ValueError(f"{where}: the caption or answer is empty")
    return Sample(clip, question, answer, str(raw.get("key", answer.lower())))


def _decode(data: bytes, suffix: str, name: str, frames: int) -> list[NDArray[np.uint8]]:
    if suffix == ".npy":
        stack = np.load(io.BytesIO(data), allow_pickle=False)
        if stack.ndim != 4 or stack.dtype != np.uint8 or not len(stack):
            raise ValueError(
                f"'{name}' is {stack.dtype} {stack.shape}, allowed: uint8 [T, H, W, 3]"
            )
        return [stack[i] for i in evenly_spaced(len(stack), frames)]
    if suffix in _IMAGES:
        return [picture_to_rgb(data, name)] * frames  # its FrameError is a ValueError
    if suffix not in _VIDEOS:
        raise ValueError(f"'{name}': allowed: {', '.join((*_VIDEOS, *_IMAGES, '.npy'))}")
    with tempfile.NamedTemporaryFile(suffix=suffix) as file:
        file.write(data)
        file.flush()
        return _video(file.name, name, frames)


def _video(path: str, name: str, frames: int) -> list[NDArray[np.uint8]]:
    """Frames spread evenly over the video's time: the rate of many videos varies."""
    try:  # by reading: a container's count and length are guesses
        times = np.array([shot.time for shot in VideoFile(Path(path)).shots()])
    except SourceError as error:
        raise ValueError(f"'{name}' cannot be read as a video") from error
    wanted = [
        int(np.abs(times - time).argmin()) for time in np.linspace(times[0], times[-1], frames)
    ]
    decoded: dict[int, NDArray[np.uint8]] = {}
    reader = cv2.VideoCapture(path)
    try:
        for index in range(max(wanted) + 1):
            reader.grab()  # seeking is inexact in many containers
            if index in wanted:
                decoded[index] = np.asarray(reader.retrieve()[1][..., ::-1], np.uint8)
    finally:
        reader.release()
    return [decoded[index] for index in wanted]


@dataclass(frozen=True)
class DataOrder:
    """Shuffled epochs of `count` samples, cut into global batches.

    What is left over ends the epoch.

    The global batch does not depend on how many processes share it: rank r of n takes its n-th
    part.
    """

    count: int
    batch: int
    seed: int
    stage: int

    def __post_init__(self) -> None:
        if self.count < self.batch or self.batch < 1:
            raise ValueError(
                f"stage {self.stage} has {self.count} samples, the global batch is {self.batch}; "
                "allowed: a batch of 1 up to the number of samples"
            )

    @property
    def per_epoch(self) -> int:
        """Batches in an epoch."""
        return self.count // self.batch

    def indices(self, step: int, rank: int = 0, ranks: int = 1) -> list[int]:
        """Samples of a step for one process.

        Raises:
            ValueError: A batch that the processes cannot share evenly.
        """
        if self.batch % ranks:
            raise ValueError(f"the global batch {self.batch} is no multiple of {ranks} processes")
        epoch, position = divmod(step, self.per_epoch)
        rng = np.random.default_rng([self.seed, self.stage, epoch])
        order = rng.permutation(self.count)[position * self.batch : (position + 1) * self.batch]
        own = self.batch // ranks
        return [int(i) for i in order[rank * own : (rank + 1) * own]]
