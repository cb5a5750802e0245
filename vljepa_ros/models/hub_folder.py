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
from pathlib import Path
from typing import Any

from vljepa_ros.files import JsonObject
from vljepa_ros.models.config import (
    OPEN_CLIP_CONFIG,
    ModelError,
    file_sha256,
    read_json,
    section,
    size_of,
)
from vljepa_ros.models.dual_encoder.perception_encoder_config import (
    PERCEPTION_ENCODER,
    PerceptionEncoderSizes,
)
from vljepa_ros.models.hub_processor import (
    INTERPOLATIONS,
    PROCESSOR_FILES,
    hub_preprocessing,
    read_processor,
)
from vljepa_ros.models.weight_files import (
    read_scalar,
    tensor_shapes,
    weights_digests,
    weights_files,
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
_SECTIONS = {
    "qwen2_5_vl": ("vision_config",),  # the text model's own fields may be there, too
    "instructblip": ("vision_config", "qformer_config", "text_config"),
    PERCEPTION_ENCODER: ("model_cfg",),
}
_SIZES = (
    *("hidden_size", "intermediate_size", "vocab_size", "projection_dim", "projection_size"),
    *("num_hidden_layers", "num_attention_heads", "num_key_value_heads", "depth", "num_heads"),
    *("image_size", "patch_size", "num_channels", "num_patches", "max_position_embeddings"),
    *("out_hidden_size", "spatial_merge_size", "temporal_patch_size", "num_query_tokens"),
    *("encoder_hidden_size", "cross_attention_frequency", "head_dim", "embed_dim"),
)
# What a robot's camera often sees; a user's own vocabulary belongs in `vljepa.json`.
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
_MACHINE = ("clip_duration", "period", "device", "memory_limit")
_NOTES = {"architectures", "dtype", "torch_dtype", "transformers_version"}
"""Fields of a hub configuration that do not affect what is computed here, in fp32."""


def hub_config(file: Path, raw: JsonObject) -> JsonObject:
    """Fields of our `config.json` for a folder in hub format.

    Args:
        file: `config.json` or `open_clip_config.json`.
        raw: Its content; `config.json` has `model_type`.

    Raises:
        ModelError: A model type that no family supports, a missing or broken file, an unsupported
            field.
    """
    folder = file.parent
    if file.name == OPEN_CLIP_CONFIG:
        raw = {**raw, "model_type": PERCEPTION_ENCODER}
    kind = raw.get("model_type")
    if kind not in list(HUB_FAMILIES):
        raise ModelError(
            f"'{folder / 'config.json'}': model_type is {kind!r}, which no family takes; "
            f"allowed: {', '.join(sorted(HUB_FAMILIES))}"
        )
    try:
        return _fields(folder, raw, kind)
    except ModelError as error:
        raise error if "'" in str(error)[:2] else ModelError(f"'{file}': {error}") from error
    except (AttributeError, TypeError, ValueError, KeyError, OverflowError) as error:
        raise ModelError(f"'{file}' has a value of the wrong kind: {error}") from error


def _fields(folder: Path, raw: JsonObject, kind: str) -> JsonObject:
    family = HUB_FAMILIES[kind]
    _check_sections(raw, _SECTIONS.get(kind, ("vision_config", "text_config")))
    overrides = read_json(folder / OVERRIDES) if (folder / OVERRIDES).is_file() else {}
    shapes = tensor_shapes(folder)  # also sees what is truncated
    fields: dict[str, Any] = {
        "name": _name(folder.resolve()),
        "family": family,
        "model_id": "",
        "clip_frames": 4,
        "frame_interval": 0.5,
        "default_query": "",
        "vocabulary": {"what is happening?": list(DEFAULT_LABELS)},
        "files": {"weights": weights_files(folder)[0].name, "tokenizer": "tokenizer.json"},
        "architecture": raw,
        "licence": "see the model's card on the hub",
    }
    fields |= _dual_encoder(folder, raw, shapes) if family == "dual_encoder" else _token_vlm(raw)
    own = overrides.pop("preprocessing", None)
    if kind != PERCEPTION_ENCODER:
        found = read_processor(folder)
        if found is None and own is None:
            raise ModelError(
                f"'{folder}' holds neither {' nor '.join(PROCESSOR_FILES)}: how its images are "
                f"prepared is unknown; fetch it again, or set preprocessing in {OVERRIDES}"
            )
        # Qwen's own sizes count pixels of whole images; a robot's clips have one fixed size.
        rest = fields["input_size"], kind != "qwen2_5_vl"
        fields["preprocessing"] = hub_preprocessing(*(found or ({}, folder)), kind, *rest)
    if "templates" in overrides:
        fields["architecture"] = {**raw, "templates": overrides.pop("templates")}
    allowed = {*fields, "calibration", "change_threshold", "templates", *_MACHINE}
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
    fields["preprocessing"] = {
        **fields["preprocessing"],
        **section({"preprocessing": own}, "preprocessing"),
    }
    fields["model_id"] = fields["model_id"] or f"{kind}-{_contents_hash(folder, fields)[:8]}"
    return fields


def _check_sections(raw: JsonObject, needed: tuple[str, ...] = ()) -> None:
    """Refuse a configuration that lacks a part of its model, or has an impossible size."""
    for name in needed:
        if raw.get(name) is None:
            raise ModelError(f"{name} is missing; needed: {', '.join(needed)}")
        section(raw, name)
    if raw.get("quantization_config"):
        raise ModelError("quantization_config is set; allowed: weights that are not quantised")
    for name in _SIZES:
        size_of(raw, name, 1)
    for value in raw.values():
        if isinstance(value, dict):
            _check_sections(value)


def _name(folder: Path) -> str:
    """The folder's name; in the hub's cache, whose folders are named after commits, the model's."""
    entry = folder.parent.parent.name
    return entry.split("--")[-1] if entry.startswith("models--") else folder.name


def _contents_hash(folder: Path, fields: JsonObject) -> str:
    """SHA-256 of everything that determines the embeddings, independent of the folder's path."""
    tokenizer = folder / "tokenizer.json"
    decisive = [
        weights_digests(folder),
        file_sha256(tokenizer) if tokenizer.is_file() else "",
        _computing(fields["architecture"]),
        fields["preprocessing"],
    ]
    return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()


def _computing(config: object) -> Any:
    """A configuration without the fields that do not affect the computation."""
    if not isinstance(config, dict):
        return config
    kept = {k: v for k, v in config.items() if k not in _NOTES and not k.startswith("_")}
    return {key: _computing(value) for key, value in kept.items()}


def _dual_encoder(folder: Path, raw: JsonObject, shapes: dict[str, tuple[int, ...]]) -> JsonObject:
    kind, vision, text = (
        raw["model_type"],
        section(raw, "vision_config"),
        section(raw, "text_config"),
    )
    size = size_of(vision, "image_size", 224)
    own: dict[str, Any] = {}
    if kind == PERCEPTION_ENCODER:
        sizes = PerceptionEncoderSizes.of(raw, shapes)
        dim, size = sizes.dim, sizes.size
        own = {"preprocessing": _open_clip_preprocessing(raw, size)}
    elif kind == "clip":
        dim = size_of(raw, "projection_dim", 512)
    else:
        dim = size_of(text, "projection_size", size_of(text, "hidden_size", 768))
        if kind == "siglip2":
            patches = size_of(vision, "num_patches", 256)
            if found := read_processor(folder):
                patches = size_of(found[0], "max_num_patches", patches)
            size = size_of(vision, "patch_size", 16) * math.isqrt(patches)
    scale = math.exp(read_scalar(folder, "logit_scale"))
    # With p = exp(a s) / (exp(a n) + exp(a s)) one label alone gets sigmoid(a s + bias): SigLIP's
    # own reading. CLIP has no bias and always chooses: "none" lies at the bottom of the scale.
    none = -read_scalar(folder, "logit_bias") / scale if kind.startswith("siglip") else -1.0
    calibration = {"logit_scale": scale, "none_similarity": none}
    return {"dim": dim, "input_size": size, "calibration": calibration, **own}


def _open_clip_preprocessing(raw: JsonObject, size: int) -> JsonObject:
    found = section(raw, "preprocess_cfg")
    mode, interpolation = found.get("resize_mode", "squash"), found.get("interpolation", "bilinear")
    if mode not in _RESIZE_MODES or interpolation not in INTERPOLATIONS.values():
        raise ModelError(
            f"{OPEN_CLIP_CONFIG}: resize_mode is {mode!r} and interpolation {interpolation!r}; "
            f"allowed: {', '.join(_RESIZE_MODES)}; {', '.join(INTERPOLATIONS.values())}"
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


def _token_vlm(raw: JsonObject) -> JsonObject:
    text = section(raw, "text_config") or raw
    image = raw["model_type"] == "instructblip"
    return {
        "dim": size_of(text, "hidden_size", size_of(text, "d_model", 1)),
        "clip_frames": 1 if image else 4,
        "input_size": size_of(section(raw, "vision_config"), "image_size", 224) if image else 336,
        "default_query": "Describe what is happening in one short sentence.",
        # Scores are log-likelihoods: scale 1 and no "none" make the calibrated value their softmax.
        "calibration": {"logit_scale": 1.0, "none_similarity": -1e4},
    }
