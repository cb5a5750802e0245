"""Reads the catalogue of available models, `models/catalogue.yaml`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from vljepa_ros.models.config import FAMILIES, ModelError, from_dict

_SHORT = re.compile(r"[a-z0-9][a-z0-9.-]*")
_REQUIRED = ("family", "licence", "best_at", "tried")
_CONVERSION = {"x_encoder", "query_tokenizer", "text_tokenizer"}


@dataclass(frozen=True)
class CatalogueEntry:
    """A model of the catalogue.

    Attributes:
        family: One of FAMILIES.
        licence: Licence of the weights.
        best_at: What it is best used for, in a few words.
        tried: How far this project has run it.
        hub: Its id on the hub; empty: it comes with the package.
        revision: The commit to fetch; empty: the newest.
        download_gb: Approximate size of the download; 0: none.
        gpu_gb: Approximate GPU memory that it needs; 0: it runs well without a GPU.
        convert_with: For a checkpoint that must be converted, the hub ids of the X-Encoder and of
            the two tokenizers that are not part of it.
    """

    family: str = ""
    licence: str = ""
    best_at: str = ""
    tried: str = ""
    hub: str = ""
    revision: str = ""
    download_gb: float = 0.0
    gpu_gb: float = 0.0
    convert_with: dict[str, str] = field(default_factory=dict)


def read_catalogue(file: Path) -> dict[str, CatalogueEntry]:
    """Read the catalogue: short name -> entry, in the order of the file.

    Raises:
        ModelError: The file cannot be read, or an entry is invalid; the message names entry and
            field.
    """
    try:
        raw = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ModelError(f"'{file}' cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(raw, dict):
        raise ModelError(f"'{file}' must hold names with their entries, not {raw!r:.40}")
    return {str(name): _entry(f"'{file}': {name}", str(name), value) for name, value in raw.items()}


def _entry(where: str, name: str, raw: object) -> CatalogueEntry:
    if not _SHORT.fullmatch(name):
        raise ModelError(
            f"{where} is not a short name: lower case letters, digits, dots and dashes"
        )
    given = {str(key): value for key, value in raw.items()} if isinstance(raw, dict) else raw
    entry = from_dict(CatalogueEntry, given, where)
    if lacking := [key for key in _REQUIRED if not getattr(entry, key)]:
        raise ModelError(f"{where} lacks {', '.join(lacking)}")
    if entry.family not in FAMILIES:
        raise ModelError(f"{where}.family is {entry.family!r}, allowed: {', '.join(FAMILIES)}")
    if entry.hub.count("/") != (1 if entry.hub else 0):
        raise ModelError(f"{where}.hub is {entry.hub!r}, allowed: OWNER/NAME")
    if entry.convert_with and set(entry.convert_with) != _CONVERSION:
        allowed = ", ".join(sorted(_CONVERSION))
        raise ModelError(f"{where}.convert_with has {', '.join(entry.convert_with)}, not {allowed}")
    return entry
