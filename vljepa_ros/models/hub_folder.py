"""A folder in the hub's format, read as one of our model folders.

Such a folder (`config.json` with `model_type`, `*.safetensors`, `tokenizer.json`,
`preprocessor_config.json`) needs no conversion. What the hub's files do not say (how many frames
make a clip, which labels, which prompt templates) has defaults here and may be set in a file
`vljepa.json` beside them, with the fields of our own `config.json`.

Perception Encoder comes in the format of open_clip (`open_clip_config.json`,
`open_clip_model.safetensors`) and is read in the same way.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from vljepa_ros.models.config import OPEN_CLIP_CONFIG, ModelError, read_json
from vljepa_ros.models.dual_encoder.perception_encoder_config import (
    OPEN_CLIP_WEIGHTS,
    PERCEPTION_ENCODER,
    PerceptionEncoderSizes,
)

HUB_FAMILIES = {
    "clip": "dual_encoder",
    "siglip": "dual_encoder",
    "siglip2": "dual_encoder",
    PERCEPTION_ENCODER: "dual_encoder",
    "qwen2_5_vl": "token_vlm",
    "instructblip": "token_vlm",
}
OVERRIDES = "vljepa.json"
# What a robot's camera often sees; a vocabulary of one's own belongs into `vljepa.json`.
DEFAULT_LABELS = (
    "an empty room",
    "a person standing in a room",
    "a person walking",
    "a person sitting",
    "a hand reaching for an object",
    "a hand holding an object",
    "a robot arm moving",
    "a robot gripper holding an object",
    "objects on a table",
    "an empty table",
    "an open door",
    "a closed door",
    "a corridor",
    "a kitchen",
    "an office desk with a computer",
    "shelves in a warehouse",
    "a street with cars",
    "a dark room",
    "a screen showing text",
    "an animal",
)
_RESIZE_MODES = {"squash": "exact", "shortest": "shortest_edge"}
_INTERPOLATIONS = {1: "lanczos", 2: "bilinear", 3: "bicubic"}
_DTYPES = {"F32": "<f4", "F16": "<f2"}
_CLIP_COLOURS = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
"""Mean and standard deviation of CLIP's training images, of each channel, 0..1."""
_MACHINE = ("clip_duration", "period", "device", "memory_limit")
_SAMPLE_EVERY, _SAMPLE = 16 << 20, 64 << 10


def hub_config(file: Path, raw: dict[str, Any]) -> dict[str, Any]:
    """Fields of our `config.json` for a folder in hub format.

    Args:
        file: `config.json` or `open_clip_config.json`.
        raw: Its content; `config.json` has `model_type`.

    Raises:
        ModelError: A model type that no family takes, missing weights, or a broken `vljepa.json`.
    """
    folder = file.parent
    if file.name == OPEN_CLIP_CONFIG:
        raw = {**raw, "model_type": PERCEPTION_ENCODER}
    kind = raw.get("model_type")
    if kind not in HUB_FAMILIES:
        raise ModelError(
            f"'{folder / 'config.json'}': model_type is {kind!r}, which no family takes; "
            f"allowed: {', '.join(sorted(HUB_FAMILIES))}"
        )
    family = HUB_FAMILIES[kind]
    fields: dict[str, Any] = {
        "name": folder.resolve().name,
        "family": family,
        "model_id": f"{folder.resolve().name}-{weights_hash(folder)[:8]}",
        "clip_frames": 4,
        "frame_interval": 0.5,
        "default_query": "",
        "vocabulary": {"what is happening?": list(DEFAULT_LABELS)},
        "files": {"weights": weights_files(folder)[0].name, "tokenizer": "tokenizer.json"},
        "architecture": raw,
        "licence": "see the model's card on the hub",
    }
    fields |= _dual_encoder(folder, raw) if family == "dual_encoder" else _token_vlm(folder, raw)
    overrides = _read(folder / OVERRIDES) if (folder / OVERRIDES).is_file() else {}
    if "templates" in overrides:
        fields["architecture"] = {**raw, "templates": overrides.pop("templates")}
    allowed = {*fields, "calibration", "templates", *_MACHINE}
    if unknown := set(overrides) - allowed:
        raise ModelError(
            f"'{folder / OVERRIDES}': unknown fields {', '.join(sorted(unknown))}; allowed: "
            f"{', '.join(sorted(allowed))}"
        )
    wanted = overrides.get("input_size", fields["input_size"])
    if family == "dual_encoder" and wanted != fields["input_size"]:
        raise ModelError(
            f"'{folder / OVERRIDES}': input_size is {wanted}, allowed: {fields['input_size']}, "
            "the size of the image tower's position table"
        )
    fields |= overrides
    if "input_size" in overrides and fields["preprocessing"]["resize"] == "exact":
        fields["preprocessing"] = {**fields["preprocessing"], "size": fields["input_size"]}
    return fields


def weights_files(folder: Path) -> list[Path]:
    """The safetensors files of a hub folder.

    Raises:
        ModelError: There are none; pickles are never read.
    """
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        names = sorted(set(_read(index).get("weight_map", {}).values()))
        missing = [name for name in names if not (folder / name).is_file()]
        if missing or not names:
            raise ModelError(f"'{folder}': weight files are missing: {', '.join(missing) or 'all'}")
        return [folder / name for name in names]
    for name in ("model.safetensors", OPEN_CLIP_WEIGHTS):
        if (folder / name).is_file():
            return [folder / name]
    pickles = sorted(path.name for path in folder.glob("*.bin"))
    found = f"; {', '.join(pickles)} is a pickle, which is never read" if pickles else ""
    raise ModelError(f"'{folder}' holds no model.safetensors{found}")


def weights_hash(folder: Path) -> str:
    """SHA-256 over sizes, headers and samples of the weight files.

    A file of several GiB takes too long to read at every start, so 64 KiB out of every 16 MiB are
    read: enough to tell two trainings apart, not a guard against damage.
    """
    digest = hashlib.sha256()
    for path in weights_files(folder):
        size = path.stat().st_size
        digest.update(struct.pack("<Q", size))
        with path.open("rb") as file:
            for start in range(0, size, _SAMPLE_EVERY):
                file.seek(start)
                digest.update(file.read(_SAMPLE))
            file.seek(max(0, size - _SAMPLE))
            digest.update(file.read(_SAMPLE))
    return digest.hexdigest()


def read_scalar(folder: Path, name: str) -> float | None:
    """One number out of the weights, None if there is no tensor of that name.

    Raises:
        ModelError: A type other than F32, F16 or BF16, or a broken file.
    """
    for path in weights_files(folder):
        with path.open("rb") as file:
            size, header = _header(path, file)
            if name not in header:
                continue
            kind, begin = header[name]["dtype"], header[name]["data_offsets"][0]
            file.seek(8 + size + begin)
            raw = file.read(4)
        if kind == "BF16":  # numpy has none: the upper half of a float32
            return float(np.frombuffer(b"\0\0" + raw[:2], "<f4")[0])
        if kind not in _DTYPES:
            raise ModelError(f"'{path}': '{name}' is {kind}, allowed: F32, F16, BF16")
        return float(np.frombuffer(raw, _DTYPES[kind], count=1)[0])
    return None


def tensor_shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    """Shape of each tensor of the weights; only their headers are read.

    Raises:
        ModelError: A broken file.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for path in weights_files(folder):
        with path.open("rb") as file:
            _, header = _header(path, file)
        header.pop("__metadata__", None)
        shapes |= {name: tuple(entry["shape"]) for name, entry in header.items()}
    return shapes


def _header(path: Path, file: BinaryIO) -> tuple[int, dict[str, Any]]:
    """Length and content of a safetensors file's header."""
    try:
        (size,) = struct.unpack("<Q", file.read(8))
        return size, dict(json.loads(file.read(min(size, path.stat().st_size))))
    except (struct.error, ValueError) as error:
        raise ModelError(f"'{path}' is no safetensors file: {error}") from error


def _dual_encoder(folder: Path, raw: dict[str, Any]) -> dict[str, Any]:
    vision = raw.get("vision_config", {})
    size = vision.get("image_size", 224)
    if raw["model_type"] == PERCEPTION_ENCODER:
        sizes = PerceptionEncoderSizes.of(raw, tensor_shapes(folder))
        dim, size = sizes.dim, sizes.size
        preprocessing = _open_clip_preprocessing(raw, size)
    elif raw["model_type"] == "clip":
        dim = raw.get("projection_dim", 512)
        preprocessing = _preprocessing(folder, "shortest_edge", size)
    else:
        text = raw.get("text_config", {})
        dim = text.get("projection_size") or text.get("hidden_size", 768)
        if raw["model_type"] == "siglip2":
            size = vision.get("patch_size", 16) * math.isqrt(vision.get("num_patches", 256))
        preprocessing = _preprocessing(folder, "exact", size)
    scale = math.exp(read_scalar(folder, "logit_scale") or math.log(1 / 0.07))
    bias = read_scalar(folder, "logit_bias")
    # With p = exp(a s) / (exp(a n) + exp(a s)) one label alone gets sigmoid(a s + bias): SigLIP's
    # own reading. CLIP has no bias and always chooses: "none" lies at the bottom of the scale.
    none = -1.0 if bias is None else -bias / scale
    return {
        "dim": int(dim),
        "input_size": int(size),
        "preprocessing": preprocessing,
        "calibration": {"logit_scale": scale, "none_similarity": none},
    }


def _open_clip_preprocessing(raw: dict[str, Any], size: int) -> dict[str, Any]:
    found = raw.get("preprocess_cfg", {})
    mode, interpolation = found.get("resize_mode", "squash"), found.get("interpolation", "bilinear")
    if mode not in _RESIZE_MODES or interpolation not in _INTERPOLATIONS.values():
        raise ModelError(
            f"{OPEN_CLIP_CONFIG}: resize_mode is {mode!r} and interpolation {interpolation!r}; "
            f"allowed: {', '.join(_RESIZE_MODES)}; {', '.join(_INTERPOLATIONS.values())}"
        )
    return {
        "resize": _RESIZE_MODES[mode],
        "size": size,
        "crop": size if mode == "shortest" else 0,
        "interpolation": interpolation,
        "scale": 1.0 / 255.0,
        "mean": list(found.get("mean") or (0.5, 0.5, 0.5)),
        "std": list(found.get("std") or (0.5, 0.5, 0.5)),
    }


def _token_vlm(folder: Path, raw: dict[str, Any]) -> dict[str, Any]:
    text = raw.get("text_config", raw)
    vision = raw.get("vision_config", {})
    kind = raw["model_type"]
    size = vision.get("image_size", 224) if kind == "instructblip" else 336
    return {
        "dim": int(text.get("hidden_size") or text.get("d_model") or 0),
        "clip_frames": 1 if kind == "instructblip" else 4,
        "input_size": int(size),
        "default_query": "Describe what is happening in one short sentence.",
        "preprocessing": {
            **_preprocessing(folder, "exact", size),
            # Qwen's own sizes count pixels of whole images; a robot's clips have one fixed size.
            **({"resize": "exact", "size": int(size), "crop": 0} if kind == "qwen2_5_vl" else {}),
        },
        # Scores are log-likelihoods: scale 1 and no "none" make the calibrated value their softmax.
        "calibration": {"logit_scale": 1.0, "none_similarity": -1e4},
    }


def _preprocessing(folder: Path, resize: str, size: int) -> dict[str, Any]:
    raw: dict[str, Any] = {}
    for name in ("processor_config.json", "preprocessor_config.json"):
        if (folder / name).is_file():
            found = _read(folder / name)
            raw |= found.get("image_processor", found)
    crop = raw.get("crop_size", size)
    edge = raw.get("size", size)
    if isinstance(edge, dict):
        resize = "shortest_edge" if "shortest_edge" in edge else resize
        edge = edge.get("shortest_edge", edge.get("height", size))
    if isinstance(crop, dict):
        crop = crop.get("height", size)
    if "resample" in raw and raw["resample"] not in _INTERPOLATIONS:
        raise ModelError(
            f"'{folder}': resample is {raw['resample']!r}, allowed: 1 (Lanczos), 2 "
            "(bilinear), 3 (bicubic)"
        )
    mean, std = _CLIP_COLOURS if resize == "shortest_edge" else ((0.5,) * 3, (0.5,) * 3)
    return {
        "resize": resize,
        "size": int(edge),
        "crop": int(crop) if resize == "shortest_edge" and raw.get("do_center_crop", True) else 0,
        "interpolation": _INTERPOLATIONS.get(raw.get("resample", 0), "bicubic"),
        "scale": raw.get("rescale_factor", 1.0 / 255.0),
        "mean": list(raw.get("image_mean") or mean),
        "std": list(raw.get("image_std") or std),
    }


def _read(path: Path) -> dict[str, Any]:
    return read_json(path, "cannot be read as JSON")
