"""Files that are written whole or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vljepa_ros.files import atomic_write


def test_a_write_makes_the_folder_and_replaces_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "new" / "text.json"
    for text in ("one", "zwö"):
        with atomic_write(path, "w") as file:
            file.write(text)
    assert path.read_text(encoding="utf-8") == "zwö"
    with atomic_write(tmp_path / "array.npy") as file:
        np.save(file, np.arange(3))
    assert np.load(tmp_path / "array.npy").tolist() == [0, 1, 2]
    assert {found.name for found in tmp_path.rglob("*.tmp")} == set()


def test_a_write_that_fails_leaves_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "array.npy"
    path.write_text("old")
    with pytest.raises(ValueError, match="allow_pickle"), atomic_write(path) as file:
        np.save(file, np.array([object()]), allow_pickle=False)
    assert path.read_text() == "old"
    assert [found.name for found in tmp_path.iterdir()] == ["array.npy"]
