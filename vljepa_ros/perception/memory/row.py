"""One row of the memory, its thumbnail, and its layout as Arrow columns on the disk.

The column `record` has all of a row but vector and thumbnail, as a JSON array: a query that reads
ten rows pays for each column (about 1.5 ms of a core at a million rows), not for its size. The
other columns repeat its values, for filters.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vljepa_ros.engines.protocol import Clip
from vljepa_ros.models.config import ModelConfig
from vljepa_ros.perception.frames import compressed_to_rgb, model_input

SEGMENT = "segment"
SAMPLE = "sample"

FORMAT = b"1"  # of the layout on the disk
VECTOR, RECORD, THUMBNAIL = "vector", "record", "thumbnail"  # columns

WHOLE_QUALITY, SMALL_QUALITY = 95, 75  # of JPEG

NORM_TOLERANCE = 0.05
"""Allowed deviation of a vector's L2 norm from 1, far above the rounding of fp16."""


@dataclass(frozen=True)
class Pose:
    """A pose of the robot.

    Attributes:
        position: x, y, z, metres.
        orientation: quaternion x, y, z, w.
        frame_id: frame of both.
    """

    position: tuple[float, float, float]
    orientation: tuple[float, float, float, float]
    frame_id: str


@dataclass(frozen=True)
class Row:
    """A stored segment or sample of one camera's stream.

    Attributes:
        kind: SEGMENT (a span of constant meaning) or SAMPLE (one embedding of the stream).
        camera: name.
        start: nanoseconds.
        end: nanoseconds; start <= stamp <= end.
        stamp: nanoseconds, of the sample closest to `vector`.
        vector: [D] float32, L2 norm 1, stored as fp16.
        text: text of the scene at the time, may be empty.
        label: best label at the time, may be empty.
        label_score: 0..1.
        source: name of the bag, empty for a live camera.
        pose: pose of the robot; None: not known.
        thumbnail: JPEG of `thumbnail_frames` images of equal width side by side, oldest first;
            None: none was stored.
    """

    kind: str
    camera: str
    start: int
    end: int
    stamp: int
    vector: NDArray[np.float32]
    text: str = ""
    label: str = ""
    label_score: float = 0.0
    source: str = ""
    pose: Pose | None = None
    thumbnail: bytes | None = None
    thumbnail_frames: int = 0


def check_row(row: Row, dim: int) -> str | None:
    """Why a row cannot be stored with vectors of length `dim`; None: it can."""
    if row.kind not in (SEGMENT, SAMPLE):
        return f"kind is '{row.kind}', allowed: {SEGMENT}, {SAMPLE}"
    if not row.camera:
        return "the camera has no name"
    if not row.start <= row.stamp <= row.end:
        return f"start {row.start}, stamp {row.stamp}, end {row.end} ns are not in this order"
    if row.vector.shape != (dim,):
        return f"the vector has shape {row.vector.shape}, the store keeps ({dim},)"
    norm = float(np.linalg.norm(row.vector))
    if not math.isfinite(norm) or abs(norm - 1.0) > NORM_TOLERANCE:
        return f"the vector's L2 norm is {norm:.3g}, allowed: 1"
    if row.pose is not None and not all(
        math.isfinite(value) for value in row.pose.position + row.pose.orientation
    ):
        return "the pose is not finite"
    return None


def mean_direction(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """[D] float32, L2 norm 1: the mean of [N, D]; the middle one if they cancel each other."""
    mean = vectors.mean(axis=0)
    norm = float(np.linalg.norm(mean))
    return np.asarray(vectors[len(vectors) // 2] if norm < 1e-3 else mean / norm, np.float32)


def one_line(error: BaseException) -> str:
    """The message of an error in one line, without places in Rust sources; its type if empty."""
    text = re.sub(r",? (at )?\S+\.rs:\d+(:\d+)?", "", str(error))
    return " ".join(text.split()) or type(error).__name__


def arrow_schema(dim: int, model_id: str) -> Any:
    """The Arrow schema, of which the model id is a part, so that it cannot be lost."""
    import pyarrow as pa

    text, integer = pa.string(), pa.int64()
    types = {
        "kind": text,
        "camera": text,
        "source": text,
        "start_ns": integer,
        "end_ns": integer,
        "model_id": text,
        RECORD: text,
        VECTOR: pa.list_(pa.float16(), dim),
        THUMBNAIL: pa.binary(),
    }
    return pa.schema(
        [pa.field(name, kind, nullable=name == THUMBNAIL) for name, kind in types.items()],
        metadata={
            b"vljepa.format": FORMAT,
            b"vljepa.model_id": model_id.encode(),
            b"vljepa.dim": str(dim).encode(),
        },
    )


def rows_to_table(rows: Sequence[Row], dim: int, model_id: str) -> Any:
    """Convert rows to an Arrow table of `arrow_schema`."""
    import pyarrow as pa

    vectors = np.stack([row.vector for row in rows]).astype(np.float16)
    columns = {
        "kind": [row.kind for row in rows],
        "camera": [row.camera for row in rows],
        "source": [row.source for row in rows],
        "start_ns": [row.start for row in rows],
        "end_ns": [row.end for row in rows],
        "model_id": [model_id] * len(rows),
        RECORD: [_record(row) for row in rows],
        VECTOR: pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), dim),
        THUMBNAIL: [row.thumbnail for row in rows],
    }
    return pa.Table.from_pydict(columns, schema=arrow_schema(dim, model_id))


def table_to_rows(table: Any) -> list[Row]:
    """Convert an Arrow table with `record` to rows; unread vectors and thumbnails are empty."""
    count = table.num_rows
    vectors: Any = [np.zeros(0, np.float32)] * count
    if VECTOR in table.column_names and count:
        flat = np.concatenate([chunk.flatten().to_numpy() for chunk in table.column(VECTOR).chunks])
        vectors = flat.reshape(count, -1).astype(np.float32)
    thumbnails = [None] * count
    if THUMBNAIL in table.column_names:
        thumbnails = table.column(THUMBNAIL).to_pylist()
    rows = []
    for record, vector, jpeg in zip(
        table.column(RECORD).to_pylist(), vectors, thumbnails, strict=True
    ):
        kind, camera, source, start, end, stamp, text, label, score, at, frames = json.loads(record)
        pose = None if at is None else Pose(tuple(at[0]), tuple(at[1]), at[2])
        texts = text, label, score, source
        rows.append(Row(kind, camera, start, end, stamp, vector, *texts, pose, jpeg, frames))
    return rows


def _record(row: Row) -> str:
    at = row.pose and [row.pose.position, row.pose.orientation, row.pose.frame_id]
    times = int(row.start), int(row.end), int(row.stamp)
    texts = row.text, row.label, float(row.label_score)
    values = row.kind, row.camera, row.source, *times, *texts, at, row.thumbnail_frames
    return json.dumps(values, ensure_ascii=False, separators=(",", ":"))


def clip_to_jpeg(frames: NDArray[np.uint8], side: int) -> bytes:
    """Encode a clip [T, S, S, 3] uint8 RGB as one JPEG of T images, oldest left.

    At the original size the quality is high enough to embed them again; smaller ones, of `side`
    pixels, are for display.
    """
    whole = side >= frames.shape[1]
    small = frames if whole else [model_input(frame, side) for frame in frames]
    strip = np.ascontiguousarray(np.concatenate(list(small), axis=1)[..., ::-1])
    quality = WHOLE_QUALITY if whole else SMALL_QUALITY
    _, data = cv2.imencode(".jpg", strip, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return bytes(data)


def jpeg_to_frames(data: bytes, count: int, size: int) -> NDArray[np.uint8]:
    """Decode a JPEG of `clip_to_jpeg` to [count, size, size, 3] uint8 RGB.

    Raises:
        ValueError: damaged data, or a width that does not fit `count`.
    """
    strip = compressed_to_rgb(data)
    side = strip.shape[0]
    if count < 1 or strip.shape[1] != count * side:
        raise ValueError(f"a thumbnail of {count} square images has shape {strip.shape[:2]}")
    frames = [strip[:, i * side : (i + 1) * side] for i in range(count)]
    return np.stack([model_input(frame, size) for frame in frames])


def kept_clip(data: bytes | None, count: int, stamp: int, model: ModelConfig) -> Clip | None:
    """Make a model's clip from a stored JPEG.

    Args:
        data: JPEG made by `clip_to_jpeg`.
        count: Number of its images; for another number the nearest in time are used.
        stamp: Stamp of the newest image, nanoseconds.
        model: Model for the clip [T, S, S, 3].

    Returns:
        The clip; None: there is no JPEG, or it is damaged.
    """
    if data is None:
        return None
    try:
        frames = jpeg_to_frames(data, count, model.input_size)
    except ValueError:
        return None
    picked = np.linspace(0, len(frames) - 1, model.clip_frames).round().astype(int)
    step = round(model.frame_interval * 1e9)
    stamps = tuple(stamp - (model.clip_frames - 1 - i) * step for i in range(len(picked)))
    return Clip(np.ascontiguousarray(frames[picked]), stamps)
