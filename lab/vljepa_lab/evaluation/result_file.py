"""Where `--save` keeps a result."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write_result(result: Mapping[str, Any], file: Path | None, indent: int = 2) -> None:
    """Write a result as JSON, and the folders above it; nothing where no file was asked for.

    :raises OSError: the file cannot be written.
    """
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(result, indent=indent) + "\n", encoding="utf-8")
