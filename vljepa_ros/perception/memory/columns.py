"""Rows as Arrow columns and back: the layout of the table on the disk.

`record` holds a whole row but its vector and thumbnail, as a JSON array: a query that reads ten
rows pays for each column that it reads (about 1.5 ms of a core at a million rows), not for their
bytes. The columns beside it say the same again, for filters.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from vljepa_ros.perception.memory.failure import MemoryStoreError
from vljepa_ros.perception.memory.row import Pose, Row

FORMAT = b"1"
VECTOR = "vector"
RECORD = "record"
THUMBNAIL = "thumbnail"
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
            pa.field("model_id", pa.string(), nullable=False),
            pa.field(RECORD, pa.string(), nullable=False),
            pa.field(VECTOR, pa.list_(pa.float16(), dim), nullable=False),
            pa.field(THUMBNAIL, pa.binary()),
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
        "model_id": [model_id] * len(rows),
        RECORD: [_record(row) for row in rows],
        THUMBNAIL: [row.thumbnail for row in rows],
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
    """Arrow table with `record` to rows; vector and thumbnail stay empty where they were not
    read."""
    count = found.num_rows
    vectors: Any = [_NO_VECTOR] * count
    if VECTOR in found.column_names and count:
        flat = np.concatenate([chunk.flatten().to_numpy() for chunk in found.column(VECTOR).chunks])
        vectors = flat.reshape(count, -1).astype(np.float32)
    thumbnails = [None] * count
    if THUMBNAIL in found.column_names:
        thumbnails = found.column(THUMBNAIL).to_pylist()
    records = found.column(RECORD).to_pylist()
    return [
        _row(record, vector, thumbnail)
        for record, vector, thumbnail in zip(records, vectors, thumbnails, strict=True)
    ]


def _record(row: Row) -> str:
    pose = row.pose
    values = (
        row.kind,
        row.camera,
        row.source,
        int(row.start),
        int(row.end),
        int(row.stamp),
        row.text,
        row.label,
        float(row.label_score),
        None if pose is None else [pose.position, pose.orientation, pose.frame_id],
        row.thumbnail_frames,
    )
    return json.dumps(values, ensure_ascii=False, separators=(",", ":"))


def _row(record: str, vector: Any, thumbnail: bytes | None) -> Row:
    kind, camera, source, start, end, stamp, text, label, score, pose, frames = json.loads(record)
    return Row(
        kind=kind,
        camera=camera,
        source=source,
        start=start,
        end=end,
        stamp=stamp,
        vector=vector,
        text=text,
        label=label,
        label_score=score,
        pose=None if pose is None else Pose(tuple(pose[0]), tuple(pose[1]), pose[2]),
        thumbnail=thumbnail,
        thumbnail_frames=frames,
    )
