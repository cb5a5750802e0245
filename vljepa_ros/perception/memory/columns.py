"""Rows as Arrow columns and back: the layout of the table on the disk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from vljepa_ros.perception.memory.failure import MemoryStoreError
from vljepa_ros.perception.memory.row import Pose, Row

__all__ = [
    "PLAIN",
    "THUMBNAIL",
    "VECTOR",
    "rows_to_table",
    "schema",
    "schema_model",
    "table_to_rows",
]

FORMAT = b"1"
VECTOR = "vector"
PLAIN = (
    "kind",
    "camera",
    "source",
    "start_ns",
    "end_ns",
    "stamp_ns",
    "text",
    "label",
    "label_score",
    "pose",
    "pose_frame",
)
THUMBNAIL = ("thumbnail", "thumbnail_frames")
_NO_VECTOR = np.zeros(0, np.float32)


def schema(dim: int, model_id: str) -> Any:
    """The Arrow schema; the model is a part of it, so that a store can never lose it."""
    import pyarrow as pa

    return pa.schema(
        [
            pa.field("kind", pa.string(), nullable=False),
            pa.field("camera", pa.string(), nullable=False),
            pa.field("source", pa.string(), nullable=False),
            pa.field("start_ns", pa.int64(), nullable=False),
            pa.field("end_ns", pa.int64(), nullable=False),
            pa.field("stamp_ns", pa.int64(), nullable=False),
            pa.field(VECTOR, pa.list_(pa.float16(), dim), nullable=False),
            pa.field("text", pa.string(), nullable=False),
            pa.field("label", pa.string(), nullable=False),
            pa.field("label_score", pa.float32(), nullable=False),
            pa.field("model_id", pa.string(), nullable=False),
            pa.field("pose", pa.list_(pa.float64(), 7)),
            pa.field("pose_frame", pa.string(), nullable=False),
            pa.field("thumbnail", pa.binary()),
            pa.field("thumbnail_frames", pa.int16(), nullable=False),
        ],
        metadata={
            b"vljepa.format": FORMAT,
            b"vljepa.model_id": model_id.encode(),
            b"vljepa.dim": str(dim).encode(),
        },
    )


def schema_model(found: Any, where: str) -> tuple[str, int]:
    """Model id and vector length of a table's schema.

    :raises MemoryStoreError: it is not one of ours.
    """
    metadata = found.metadata or {}
    if metadata.get(b"vljepa.format") != FORMAT or b"vljepa.model_id" not in metadata:
        raise MemoryStoreError(
            f"'{where}' is a LanceDB database, but not a memory that this version can read "
            f"(format {metadata.get(b'vljepa.format', b'none').decode()}, allowed: "
            f"{FORMAT.decode()})"
        )
    return metadata[b"vljepa.model_id"].decode(), int(metadata[b"vljepa.dim"])


def rows_to_table(rows: Sequence[Row], dim: int, model_id: str) -> Any:
    """[N] rows as an Arrow table of `schema`."""
    import pyarrow as pa

    layout = schema(dim, model_id)
    vectors = np.stack([row.vector for row in rows]).astype(np.float16)
    arrays = {
        "kind": [row.kind for row in rows],
        "camera": [row.camera for row in rows],
        "source": [row.source for row in rows],
        "start_ns": [row.start for row in rows],
        "end_ns": [row.end for row in rows],
        "stamp_ns": [row.stamp for row in rows],
        "text": [row.text for row in rows],
        "label": [row.label for row in rows],
        "label_score": [row.label_score for row in rows],
        "model_id": [model_id] * len(rows),
        "pose": [
            None if row.pose is None else [*row.pose.position, *row.pose.orientation]
            for row in rows
        ],
        "pose_frame": ["" if row.pose is None else row.pose.frame_id for row in rows],
        "thumbnail": [row.thumbnail for row in rows],
        "thumbnail_frames": [row.thumbnail_frames for row in rows],
    }
    columns = []
    for entry in layout:
        if entry.name == VECTOR:
            values = pa.array(vectors.reshape(-1))
            columns.append(pa.FixedSizeListArray.from_arrays(values, dim))
        else:
            columns.append(pa.array(arrays[entry.name], entry.type))
    return pa.Table.from_arrays(columns, schema=layout)


def table_to_rows(found: Any) -> list[Row]:
    """Arrow table to rows; columns that were not read stay empty."""
    present = [name for name in found.column_names if name != VECTOR]
    columns = {name: found.column(name).to_pylist() for name in present}
    vectors: Any = [_NO_VECTOR] * found.num_rows
    if VECTOR in found.column_names and found.num_rows:
        flat = np.concatenate([chunk.flatten().to_numpy() for chunk in found.column(VECTOR).chunks])
        vectors = flat.reshape(found.num_rows, -1).astype(np.float32)
    thumbnails = columns.get("thumbnail", [None] * found.num_rows)
    frames = columns.get("thumbnail_frames", [0] * found.num_rows)
    rows = []
    for i in range(found.num_rows):
        pose = columns["pose"][i]
        rows.append(
            Row(
                kind=columns["kind"][i],
                camera=columns["camera"][i],
                source=columns["source"][i],
                start=columns["start_ns"][i],
                end=columns["end_ns"][i],
                stamp=columns["stamp_ns"][i],
                vector=vectors[i],
                text=columns["text"][i],
                label=columns["label"][i],
                label_score=columns["label_score"][i],
                pose=None
                if pose is None
                else Pose(tuple(pose[:3]), tuple(pose[3:]), columns["pose_frame"][i]),
                thumbnail=thumbnails[i],
                thumbnail_frames=frames[i],
            )
        )
    return rows
