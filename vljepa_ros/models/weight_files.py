"""The safetensors files of a model folder: which they are, their headers, their identity."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from contextlib import suppress
from operator import index as as_integer
from pathlib import Path
from typing import Any

import numpy as np

from vljepa_ros.files import JsonObject, atomic_write
from vljepa_ros.models.config import ModelError, file_sha256, file_within, read_json
from vljepa_ros.resources import default_cache_root

OPEN_CLIP_WEIGHTS = "open_clip_model.safetensors"
INDEX = "model.safetensors.index.json"
_PICKLES = (".bin", ".pt", ".pth", ".ckpt")
_DTYPES = {"F32": "<f4", "F16": "<f2"}
_REMEMBERED_BYTES = 64 << 20
"""Digests of larger files are remembered: several GiB take seconds, and each node reads them."""


def weights_files(folder: Path) -> list[Path]:
    """The safetensors files of a hub folder.

    Raises:
        ModelError: There are none, or some are missing; pickles are never read.
    """
    index = folder / INDEX
    if index.is_file():
        shards = read_json(index).get("weight_map")
        if not isinstance(shards, dict) or not all(isinstance(n, str) for n in shards.values()):
            raise ModelError(f"'{index}': weight_map must name a file for each tensor")
        names = sorted(set(shards.values()))
        missing = [name for name in names if not file_within(folder, name).is_file()]
        if missing or not names:
            raise ModelError(
                f"'{folder}': weight files are missing: {', '.join(missing) or 'all'}; fetch it "
                "again"
            )
        return [folder / name for name in names]
    for name in ("model.safetensors", OPEN_CLIP_WEIGHTS):
        if (folder / name).is_file():
            return [folder / name]
    pickles = sorted(path.name for path in folder.iterdir() if path.suffix in _PICKLES)
    found = f"; {', '.join(pickles)} is a pickle, which is never read" if pickles else ""
    raise ModelError(f"'{folder}' holds no model.safetensors{found}")


def weights_digests(folder: Path) -> list[str]:
    """SHA-256 of each weight file, sorted: independent of the files' names and place."""
    return sorted(map(_remembered_sha256, weights_files(folder)))


def read_scalar(folder: Path, name: str) -> float:
    """One number out of the weights.

    Raises:
        ModelError: No such tensor, a type other than F32, F16 or BF16, or a broken file.
    """
    for path, begin, header in _headers(folder):
        if name not in header:
            continue
        kind, start = header[name]["dtype"], header[name]["data_offsets"][0]
        with path.open("rb") as file:
            file.seek(begin + start)
            raw = file.read(4)
        if kind == "BF16" and len(raw) > 1:  # numpy has none: the upper half of a float32
            return float(np.frombuffer(b"\0\0" + raw[:2], "<f4")[0])
        if kind not in _DTYPES:
            raise ModelError(f"'{path}': '{name}' is {kind}, allowed: F32, F16, BF16")
        if len(raw) < np.dtype(_DTYPES[kind]).itemsize:
            raise ModelError(f"'{path}': '{name}' holds {len(raw)} bytes, allowed: one number")
        return float(np.frombuffer(raw, _DTYPES[kind], count=1)[0])
    raise ModelError(f"the weights in '{folder}' lack the tensor '{name}'")


def tensor_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Shape of each tensor of the weights; only their headers are read.

    Raises:
        ModelError: A broken or truncated file, or a tensor that is not in the file that the index
            names.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for _, _, header in _headers(folder):
        shapes |= {name: tuple(entry["shape"]) for name, entry in header.items()}
    index = folder / INDEX
    if index.is_file() and (lacking := sorted(set(read_json(index)["weight_map"]) - set(shapes))):
        raise ModelError(f"'{folder}': the weight files lack {', '.join(lacking[:5])}")
    return shapes


def _headers(folder: Path) -> Iterator[tuple[Path, int, JsonObject]]:
    """Of each weight file: where its data begins, and its header."""
    for path in weights_files(folder):
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(8)
            if start == b"version ":
                raise ModelError(f"'{path}' is a pointer of Git LFS, not the weights: git lfs pull")
            try:
                begin = 8 + struct.unpack("<Q", start)[0]
                header = dict(json.loads(file.read(min(begin - 8, size))))
                header.pop("__metadata__", None)
                ends = [_checked_end(name, entry) for name, entry in header.items()]
            except (
                *(struct.error, ValueError, TypeError, KeyError, OverflowError, RecursionError),
            ) as error:
                raise ModelError(f"'{path}' is not a safetensors file: {error}") from error
        end = begin + max(ends, default=0)
        if end != size:
            raise ModelError(
                f"'{path}' is truncated or damaged: it has {size} bytes, its header says {end}; "
                "fetch it again"
            )
        yield path, begin, header


def _checked_end(name: str, entry: dict[str, Any]) -> int:
    """Where the data of a tensor ends. Raises ValueError, TypeError or KeyError."""
    start, end = map(as_integer, entry["data_offsets"])
    if not isinstance(entry["dtype"], str) or not 0 <= start <= end:
        raise ValueError(f"'{name}' is {entry['dtype']} at {start} to {end}")
    if any(as_integer(size) < 0 for size in entry["shape"]):
        raise ValueError(f"'{name}' has the shape {entry['shape']}")
    return end


def _remembered_sha256(path: Path) -> str:
    """SHA-256 of a file.

    The digest of a large file is kept on disk until its size or modification time changes.
    """
    real, state = path.resolve(), path.stat()
    if state.st_size < _REMEMBERED_BYTES:
        return file_sha256(real)
    known: dict[str, Any] = {}
    notes = default_cache_root() / "sha256.json"
    with suppress(ModelError):
        known = read_json(notes) if notes.is_file() else {}
    key = f"{real} {state.st_size} {state.st_mtime_ns}"
    if isinstance(known.get(key), str):
        return str(known[key])
    digest = file_sha256(real)
    # where nothing can be written, it is computed each time
    with suppress(OSError), atomic_write(notes, "w") as file:
        json.dump({**known, key: digest}, file, indent=1)
    return digest
