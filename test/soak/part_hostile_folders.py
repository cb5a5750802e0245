"""Hostile folders: ten thousand bags and model folders, as `part_hostile_input.py` judges them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from part_hostile_input import OF_FOLDERS, attack

FOLDERS = 10_000
SHARES = dict(zip(OF_FOLDERS, (0.3, 0.3, 0.3, 0.095, 0.005), strict=True))
"""An engine is made of each of the last, which takes a second."""


def run(scale: float, folder: Path) -> dict[str, Any]:
    """Figures of the part; see `run.py`."""
    return attack({name: max(1, round(FOLDERS * scale * s)) for name, s in SHARES.items()}, folder)
