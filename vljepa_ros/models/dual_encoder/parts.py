"""What the towers of a dual encoder take and give."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vljepa_ros.models.config import ModelConfig, ModelError
from vljepa_ros.models.dual_encoder.perception_sizes import KIND
from vljepa_ros.models.dual_encoder.text_tokens import TextTokens
from vljepa_ros.models.parts import Part, Tensor


def dual_encoder_parts(config: ModelConfig) -> tuple[Part, ...]:
    """The parts `vision` and `text`; features are not normalised yet."""
    size = config.input_size
    frames = Tensor("frames", ("batch", size, size, 3), "uint8")
    ids = [Tensor("input_ids", ("batch", text_length(config) or "length"), "int64")]
    if uses_text_mask(config):
        ids.append(Tensor("attention_mask", ids[0].dims, "int64"))
    features = (Tensor("features", ("batch", config.dim)),)
    return (
        Part("vision", (frames,), features),
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
    if _ends_with_its_greatest_id(config):
        return 0
    text = config.architecture.get("text_config", {})
    return int(text.get("max_position_embeddings", 64))


def uses_text_mask(config: ModelConfig) -> bool:
    """Whether padding is masked: only where the model's tokenizer says so."""
    if _ends_with_its_greatest_id(config):
        return False
    return "attention_mask" in _tokenizer_config(config.folder).get("model_input_names", ())


def longest_text(config: ModelConfig) -> int:
    """Most tokens of a text: the rows of the text tower's position table."""
    if config.architecture.get("model_type") == KIND:
        return int(config.architecture["model_cfg"]["text_cfg"].get("context_length", 77))
    text = config.architecture.get("text_config", {})
    return int(text.get("max_position_embeddings", 64 if text_length(config) else 77))


def text_tokens(config: ModelConfig) -> TextTokens:
    """The tokenizer of the text tower.

    :raises ModelError: `tokenizer.json` is missing or broken.
    """
    file = config.path("tokenizer")
    text = config.architecture.get("text_config", {})
    raw = _tokenizer_config(config.folder)
    clip = _ends_with_its_greatest_id(config)
    pad = _token_id(file, raw.get("pad_token"))
    if pad is None:
        pad = int(text.get("pad_token_id") or 0)
    return TextTokens(
        file,
        length=longest_text(config),
        pad_id=pad,
        fixed_length=not clip,
        lowercase=not clip,  # SigLIP saw lower case only; CLIP's tokenizer lowers by itself
        pad_left=raw.get("padding_side", "right") == "left",
    )


def _ends_with_its_greatest_id(config: ModelConfig) -> bool:
    """Whether the text tower is causal and read at the end-of-text token, the greatest id: then
    padding after it is seen by nobody and a text may have any length."""
    return config.architecture.get("model_type") in ("clip", KIND)


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
