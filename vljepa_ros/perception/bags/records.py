"""Embeddings of a bag on the way to the memory: a file of records that survives a kill.

A record: camera number (uint16), clip start, stamp, time of recording (int64 ns), length of the
thumbnail (uint32), its number of images (uint16), length of the frame_id (uint16), vector (fp16),
thumbnail, frame_id. A record that was cut off at the end is dropped.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

_HEAD = struct.Struct("<HqqqIHH")


@dataclass(frozen=True)
class EmbeddedClip:
    """One clip of one camera.

    start, stamp: nanoseconds, of its oldest and newest image; received: time of recording of the
    newest. vector: [D] float32, L2 norm 1. thumbnail: JPEG of `frames` images, or empty.
    """

    camera: str
    start: int
    stamp: int
    received: int
    vector: NDArray[np.float32]
    thumbnail: bytes
    frames: int = 0
    frame_id: str = ""


class RecordFile:
    """Appends records; opened again for the same work, it has those of before.

    :param work: JSON object that says what the records are of (bag, model, settings); a file of
        other work is begun anew.
    """

    def __init__(self, path: Path, work: dict[str, Any], dim: int, cameras: Sequence[str]) -> None:
        self._path = path
        self._dim = dim
        self._cameras = list(cameras)
        header = (json.dumps(work, sort_keys=True) + "\n").encode()
        self.clips: list[EmbeddedClip] = []
        good = 0
        if path.is_file():
            data = path.read_bytes()
            if data.startswith(header):
                good = self._read(data, len(header))
        if good:
            with path.open("r+b") as file:
                file.truncate(good)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(header)
        self._file: IO[bytes] = path.open("ab")

    def append(self, clips: Sequence[EmbeddedClip]) -> None:
        """Add records and hand them to the operating system."""
        for clip in clips:
            head = _HEAD.pack(
                self._cameras.index(clip.camera),
                clip.start,
                clip.stamp,
                clip.received,
                len(clip.thumbnail),
                clip.frames,
                len(clip.frame_id.encode()),
            )
            vector = clip.vector.astype(np.float16).tobytes()
            self._file.write(head + vector + clip.thumbnail + clip.frame_id.encode())
        self._file.flush()
        self.clips.extend(clips)

    def close(self, *, remove: bool = False) -> None:
        """Close; with `remove`, the work is done and the file goes."""
        self._file.close()
        if remove:
            self._path.unlink(missing_ok=True)

    def _read(self, data: bytes, position: int) -> int:
        """Read all whole records; returns where they end."""
        size = 2 * self._dim
        while position + _HEAD.size + size <= len(data):
            head = _HEAD.unpack_from(data, position)
            number, start, stamp, received, length, frames, letters = head
            end = position + _HEAD.size + size + length + letters
            if end > len(data) or number >= len(self._cameras):
                break
            vector = np.frombuffer(data, np.float16, self._dim, position + _HEAD.size)
            thumbnail = data[position + _HEAD.size + size : end - letters]
            self.clips.append(
                EmbeddedClip(
                    self._cameras[number],
                    start,
                    stamp,
                    received,
                    vector.astype(np.float32),
                    thumbnail,
                    frames,
                    data[end - letters : end].decode(),
                )
            )
            position = end
        return position
