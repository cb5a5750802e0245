"""Types for JSON, and atomic writing of files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeAlias

JsonObject: TypeAlias = dict[str, Any]
"""A JSON object, as returned by `json.loads` and accepted by `json.dumps`."""
JsonMapping: TypeAlias = Mapping[str, Any]
"""The same, read-only."""


@contextmanager
def atomic_write(path: Path, mode: str = "wb") -> Iterator[IO[Any]]:
    """Open a file that replaces `path` when the block ends without an exception.

    The content is on the disk (fsync) before it gets the name; a missing folder is created.

    Args:
        path: file to be written; its old content stays if anything fails.
        mode: "wb", or "w" for UTF-8 text.

    Raises:
        OSError: the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with part.open(mode, encoding=None if "b" in mode else "utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
