"""What can be had is fetched once; what cannot is named, and the rest goes on."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from vljepa_lab.evaluation.real import sources
from vljepa_lab.evaluation.real.sources import fetch, read_clip
from vljepa_lab.evaluation.real.truth import File


@pytest.fixture
def clones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder with a clone of one of two repositories, and a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    clone = tmp_path / "clones" / "someone" / "pictures"
    clone.mkdir(parents=True)
    (clone / "cat.jpg").write_bytes(b"a cat")
    git = ["git", "-C", str(clone), "-c", "user.name=x", "-c", "user.email=x@example.org"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-qm", "one"], check=True)
    rows = [
        {"id": "someone/pictures", "kind": "repository", "commit": "HEAD"},
        {"id": "nobody/pictures", "kind": "repository", "commit": "HEAD"},
    ]
    monkeypatch.setattr(sources, "read_yaml", lambda name: rows)
    return tmp_path / "clones"


def file(source: str, content: bytes, name: str = "cat") -> File:
    return File(name, source, f"{name}.jpg", hashlib.sha256(content).hexdigest()[:16])


def test_a_missing_source_is_named_and_the_others_are_there(clones: Path) -> None:
    wanted = [file("someone/pictures", b"a cat"), file("nobody/pictures", b"a dog", "dog")]
    places, missing = fetch(wanted, clones)
    assert places["cat"].read_bytes() == b"a cat"
    assert list(missing) == ["nobody/pictures"]
    assert "no clone" in missing["nobody/pictures"]
    places, missing = fetch(wanted[:1], None)  # from the cache
    assert (list(places), missing) == (["cat"], {})


def test_another_file_of_that_name_is_refused(clones: Path) -> None:
    places, missing = fetch([file("someone/pictures", b"another cat")], clones)
    assert places == {}
    assert "SHA-256" in missing["someone/pictures"]


@pytest.mark.parametrize("suffix", [".gif", ".avi"])
def test_clips_of_both_kinds_are_read_in_order(tmp_path: Path, suffix: str) -> None:
    frames = [np.full((32, 48, 3), 40 + 60 * i, np.uint8) for i in range(3)]
    place = tmp_path / f"clip{suffix}"
    if suffix == ".gif":
        first, *others = map(Image.fromarray, frames)
        first.save(place, save_all=True, append_images=others, duration=100)
    else:
        writer = cv2.VideoWriter(str(place), cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (48, 32))
        for frame in frames:
            writer.write(frame)
        writer.release()
    read, rate = read_clip(place)
    assert rate == pytest.approx(10.0)
    assert [round(float(frame.mean()), -1) for frame in read] == [40.0, 100.0, 160.0]
    assert len(read_clip(place, 2)[0]) == 2
