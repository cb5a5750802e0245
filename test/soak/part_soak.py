"""Two hours of all nodes in real time, on the runtime that is installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from soak import soak


def run(scale: float, folder: Path) -> dict[str, Any]:
    return soak(folder, 2.0 * 3600.0 * scale)
