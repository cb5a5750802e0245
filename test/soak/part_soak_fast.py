"""A day of all nodes in two hours: /clock, images and embeddings at twelve times their rate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from soak import soak

SPEED = 12.0


def run(scale: float, folder: Path) -> dict[str, Any]:
    return soak(folder, 24.0 * 3600.0 / SPEED * scale, SPEED)
