"""Reads a model folder: our own `config.json`, or the files of a folder in the hub's format."""

from __future__ import annotations

from dataclasses import MISSING, fields, replace
from pathlib import Path

from vljepa_ros.files import JsonObject
from vljepa_ros.models.config import (
    FAMILIES,
    OPEN_CLIP_CONFIG,
    ModelConfig,
    ModelError,
    from_dict,
    read_json,
)


def load_config(folder: Path) -> ModelConfig:
    """Read the configuration of a model folder.

    Raises:
        ModelError: No such folder, no or invalid config, unknown family, a field that is missing or
            of another type.
    """
    if not folder.is_dir():
        raise ModelError(f"no model folder at '{folder}'")
    names = [name for name in ("config.json", OPEN_CLIP_CONFIG) if (folder / name).is_file()]
    if not names:
        raise ModelError(
            f"'{folder}' is not a model folder: it has no config.json (and no {OPEN_CLIP_CONFIG})"
        )
    file = folder / names[0]
    raw = read_json(file)
    if "family" not in raw and (file.name == OPEN_CLIP_CONFIG or "model_type" in raw):
        from vljepa_ros.models.hub_folder import hub_config  # no node needs it for our own models

        raw = hub_config(file, raw)
    if raw.get("family") not in FAMILIES:
        raise ModelError(
            f"'{file}': family is {raw.get('family')!r}, allowed: {', '.join(FAMILIES)}"
        )
    if "clip_duration" in raw:
        raw["frame_interval"] = _interval(raw, file)
    known = [entry for entry in fields(ModelConfig) if entry.name != "folder"]
    required = [f.name for f in known if f.default is MISSING and f.default_factory is MISSING]
    if lacking := [name for name in required if name not in raw]:
        raise ModelError(f"'{file}': missing field {', '.join(lacking)}")
    values = {f.name: raw[f.name] for f in known if f.name in raw}
    made = from_dict(ModelConfig, {**values, "folder": folder}, f"'{file}': model")
    vocabulary = {prompt: tuple(labels) for prompt, labels in made.vocabulary.items()}
    return replace(made, vocabulary=vocabulary)


def _interval(raw: JsonObject, file: Path) -> float:
    """`clip_duration` in place of `frame_interval`: which one suits depends on what is known."""
    try:
        return float(raw["clip_duration"]) / int(raw["clip_frames"])
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise ModelError(
            f"'{file}': clip_duration is {raw['clip_duration']!r} for clip_frames "
            f"{raw.get('clip_frames')!r}, allowed: seconds above 0 for 1 frame or more"
        ) from error
