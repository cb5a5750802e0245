"""What the towers of a dual encoder take and give."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vljepa_ros.models.config import ModelConfig, ModelError
from vljepa_ros.models.dual_encoder.text_tokens import TextTokens
from vljepa_ros.models.image_fit import normalise_frames
from vljepa_ros.models.parts import Part, Tensor

__all__ = ["dual_encoder_parts", "pixel_inputs", "text_tokens", "uses_text_mask"]


def dual_encoder_parts(config: ModelConfig) -> tuple[Part, ...]:
    """The parts `vision` and `text`; features are not normalised yet."""
    size = config.input_size
    patch = patch_size(config)
    pixels: tuple[int | str, ...] = ("batch", 3, size, size)
    if patch:
        pixels = ("batch", (size // patch) ** 2, 3 * patch * patch)
    ids = [Tensor("input_ids", ("batch", text_length(config) or "length"), "int64")]
    if uses_text_mask(config):
        ids.append(Tensor("attention_mask", ids[0].dims, "int64"))
    features = (Tensor("features", ("batch", config.dim)),)
    return (
        Part("vision", (Tensor("pixel_values", pixels),), features),
        Part("text", tuple(ids), features),
    )


def patch_size(config: ModelConfig) -> int:
    """Pixels of a patch where the tower takes patches (SigLIP 2 NaFlex), 0 where it takes
    images."""
    if config.architecture.get("model_type") != "siglip2":
        return 0
    return int(config.architecture.get("vision_config", {}).get("patch_size", 16))


def text_length(config: ModelConfig) -> int:
    """The fixed number of tokens of a text, 0 where it may vary (CLIP)."""
    if config.architecture.get("model_type") == "clip":
        return 0
    text = config.architecture.get("text_config", {})
    return int(text.get("max_position_embeddings", 64))


def uses_text_mask(config: ModelConfig) -> bool:
    """Whether padding is masked: only where the model's tokenizer says so."""
    if config.architecture.get("model_type") == "clip":
        return False
    return "attention_mask" in _tokenizer_config(config.folder).get("model_input_names", ())


def text_tokens(config: ModelConfig) -> TextTokens:
    """The tokenizer of the text tower.

    :raises ModelError: `tokenizer.json` is missing or broken.
    """
    file = config.path("tokenizer")
    text = config.architecture.get("text_config", {})
    raw = _tokenizer_config(config.folder)
    clip = config.architecture.get("model_type") == "clip"
    pad = _token_id(file, raw.get("pad_token"))
    if pad is None:
        pad = int(text.get("pad_token_id") or 0)
    return TextTokens(
        file,
        length=int(text.get("max_position_embeddings", 77 if clip else 64)),
        pad_id=pad,
        fixed_length=not clip,
        lowercase=not clip,  # SigLIP saw lower case only; CLIP's tokenizer lowers by itself
        pad_left=raw.get("padding_side", "right") == "left",
    )


def pixel_inputs(config: ModelConfig, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Frames as the image tower takes them.

    :param frames: [T, S, S, 3] uint8 RGB at the model's input size.
    :returns: [T, 3, S, S] float32, or [T, patches, 3 * patch * patch] where the tower takes
        patches.
    :raises ModelError: another image size.
    """
    size = config.input_size
    if frames.shape[1:] != (size, size, 3):
        raise ModelError(
            f"model '{config.name}' takes frames of {size}x{size} RGB, got {list(frames.shape[1:])}"
        )
    pixels = normalise_frames(frames, config.preprocessing)
    patch = patch_size(config)
    if not patch:
        return pixels
    n = size // patch
    cut = pixels.reshape(-1, 3, n, patch, n, patch).transpose(0, 2, 4, 3, 5, 1)
    return np.ascontiguousarray(cut.reshape(len(frames), n * n, patch * patch * 3))


def _tokenizer_config(folder: Path) -> dict[str, Any]:
    file = folder / "tokenizer_config.json"
    if not file.is_file():
        return {}
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except ValueError as error:
        raise ModelError(f"'{file}' is not valid JSON: {error}") from error


def _token_id(file: Path, token: Any) -> int | None:
    from tokenizers import Tokenizer

    content = token.get("content") if isinstance(token, dict) else token
    if not isinstance(content, str) or not file.is_file():
        return None
    found = Tokenizer.from_file(str(file)).token_to_id(content)
    return None if found is None else int(found)
