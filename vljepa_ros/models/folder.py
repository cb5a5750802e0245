"""Reads a model folder: our own `config.json`, or the files of a folder in the hub's format."""

from __future__ import annotations

from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from vljepa_ros.models.config import (
    FAMILIES,
    OPEN_CLIP_CONFIG,
    Calibration,
    ModelConfig,
    ModelError,
    read_json,
)


def load_config(folder: Path) -> ModelConfig:
    """Read the configuration of a model folder.

    Raises:
        ModelError: No such folder, no or invalid config, unknown family, missing field.
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
    try:
        values = {f.name: raw[f.name] for f in known if f.name in raw or f.name in required}
        values["vocabulary"] = {k: tuple(v) for k, v in raw.get("vocabulary", {}).items()}
        fitted: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in raw.get("calibration", {}).items()
        }
        values["calibration"] = Calibration(**fitted)
        return ModelConfig(folder=folder, **values)
    except (KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f"'{file}': missing or wrong field {error}; required: {', '.join(required)}"
        ) from error


def _interval(raw: dict[str, Any], file: Path) -> float:
    """`clip_duration` in place of `frame_interval`: which one suits depends on what is known."""
    try:
        return float(raw["clip_duration"]) / int(raw["clip_frames"])
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise ModelError(
            f"'{file}': clip_duration is {raw['clip_duration']!r} for clip_frames "
            f"{raw.get('clip_frames')!r}, allowed: seconds above 0 for 1 frame or more"
        ) from error
