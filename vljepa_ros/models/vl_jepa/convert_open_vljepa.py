"""A `best.pt` of open-vljepa to a model folder: safetensors, so that no node ever reads a
pickle."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vljepa_ros.models.config import ModelConfig, ModelError
from vljepa_ros.models.hub_weights import load_hub_model
from vljepa_ros.models.vl_jepa.full_folder import finish_folder, table_bits, write_tensors
from vljepa_ros.models.vl_jepa.full_sizes import EMBEDDING_GEMMA_300M, LLAMA_3_2_1B
from vljepa_ros.models.vl_jepa.full_weights import build_modules, fill

__all__ = ["convert_open_vljepa"]

LICENCE = (
    "X-Encoder: V-JEPA 2 (MIT; hub card Apache-2.0). Predictor: derived from Llama 3.2 "
    "(Llama 3.2 "
    "Community "
    "License). Y-Encoder: derived from EmbeddingGemma (Gemma Terms of Use). open-vljepa's "
    "code and checkpoint "
    "carry no licence file."
)
_IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


def convert_open_vljepa(
    checkpoint: Path,
    out: Path,
    x_encoder: Path,
    *,
    predictor_config: Path | None = None,
    y_encoder_config: Path | None = None,
    query_tokenizer: Path | None = None,
    text_tokenizer: Path | None = None,
    name: str = "open-vljepa",
    clip_frames: int = 8,
    clip_duration: float = 8.0,
) -> Path:
    """Write a model folder.

    :param checkpoint: `{"model_state_dict": ...}` with the keys `predictor.*` and `y_encoder.*`.
    :param x_encoder: folder in hub format of the V-JEPA 2 trunk, which the checkpoint lacks.
    :param predictor_config: folder or `config.json` of other sizes than Llama-3.2-1B's.
    :param y_encoder_config: the same for EmbeddingGemma-300M.
    :param query_tokenizer: the Predictor's `tokenizer.json`; None: queries are given as token ids.
    :param text_tokenizer: the Y-Encoder's.
    :param clip_duration: seconds that the clip's frames are spread over.
    :returns: `out`.
    :raises ModelError: not such a checkpoint, or tensors that do not match; the message names them.
    """
    if out.exists() and any(out.iterdir()):
        raise ModelError(f"'{out}' is not empty: choose a new folder")
    state = _read_checkpoint(checkpoint)
    trunk_config = _config(x_encoder, {}, "vjepa2")
    llama = _config(predictor_config, LLAMA_3_2_1B, "llama")
    gemma = _config(y_encoder_config, EMBEDDING_GEMMA_300M, "gemma3_text")
    layers = {int(k.split(".")[1]) for k in state["predictor"] if k.startswith("layers.")}
    llama = {**llama, "num_hidden_layers": len(layers)}
    table = state["predictor"].pop("embed_tokens.weight", None)
    if table is None or "out_proj.weight" not in state["predictor"]:
        raise ModelError(
            f"'{checkpoint}' lacks predictor.embed_tokens.weight or predictor.out_proj.weight"
        )
    if table.shape[1] != llama["hidden_size"]:
        raise ModelError(
            f"predictor.embed_tokens.weight is {tuple(table.shape)}, the Predictor's "
            "configuration says "
            f"hidden_size {llama['hidden_size']}"
        )
    crop = int(trunk_config.get("crop_size", 256))
    raw: dict[str, Any] = {
        "name": name,
        "family": "vl_jepa",
        "model_id": "",
        "dim": int(state["predictor"]["out_proj.weight"].shape[0]),
        "clip_frames": clip_frames,
        "frame_interval": clip_duration / clip_frames,
        "input_size": crop,
        "default_query": "What is happening in the video?",
        "vocabulary": {},
        "calibration": {"logit_scale": 1.0 / 0.07, "none_similarity": -1.0},
        "licence": LICENCE,
        "preprocessing": {
            "resize": "shortest_edge",
            "size": crop,
            "crop": crop,
            "interpolation": "bilinear",
            **_IMAGENET,
        },
        "architecture": {
            "form": "full",
            "x_encoder": trunk_config,
            "predictor": llama,
            "y_encoder": gemma,
            "query_length": 64,
            "text_length": 512,
        },
        "files": {},
        "sha256": {},
    }
    trunk = _trunk(x_encoder)
    _check_fit(raw, trunk, state, checkpoint)
    out.mkdir(parents=True, exist_ok=True)
    tokenizers = {"query_tokenizer": query_tokenizer, "text_tokenizer": text_tokenizer}
    for part, file in tokenizers.items():
        if file is not None:
            source = file / "tokenizer.json" if file.is_dir() else file
            if not source.is_file():
                raise ModelError(f"no tokenizer at '{source}'")
            shutil.copyfile(source, out / f"{part}.json")
            raw["files"][part] = f"{part}.json"
    write_tensors(out, raw, "x_encoder", trunk)
    write_tensors(out, raw, "predictor", state["predictor"])
    write_tensors(out, raw, "y_encoder", state["y_encoder"])
    write_tensors(out, raw, "token_table", {"table": table_bits(table)})
    finish_folder(out, raw)
    (out / "README.md").write_text(_card(name), encoding="utf-8")
    return out


def _read_checkpoint(file: Path) -> dict[str, dict[str, Tensor]]:
    if not file.is_file():
        raise ModelError(f"no checkpoint at '{file}'")
    try:
        raw = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # pickle, zip and torch raise their own kinds
        raise ModelError(
            f"'{file}' cannot be read as weights: {str(error).splitlines()[0]}"
        ) from error
    state = raw.get("model_state_dict") if isinstance(raw, dict) else None
    if not isinstance(state, dict):
        found = ", ".join(map(str, raw)) if isinstance(raw, dict) else type(raw).__name__
        raise ModelError(
            f"'{file}' holds {found}; expected model_state_dict, as open-vljepa writes it"
        )
    parts: dict[str, dict[str, Tensor]] = {"predictor": {}, "y_encoder": {}}
    unknown = []
    for key, tensor in state.items():
        part, _, rest = key.removeprefix("module.").partition(".")
        if part in parts:
            parts[part][rest] = tensor.contiguous()
        elif part != "x_encoder":  # the frozen trunk, where it was saved with the rest
            unknown.append(key)
    if unknown or not all(parts.values()):
        raise ModelError(
            f"'{file}': expected keys predictor.* and y_encoder.*; "
            f"unknown: {', '.join(unknown[:5]) or 'none'}"
        )
    return parts


def _check_fit(
    raw: Mapping[str, Any],
    trunk: Mapping[str, Tensor],
    state: Mapping[str, Mapping[str, Tensor]],
    checkpoint: Path,
) -> None:
    """Fill the modules once, before anything is written."""
    fields = {key: value for key, value in raw.items() if key != "calibration"}
    modules = build_modules(
        ModelConfig(folder=Path(), **fields), frozenset({"vision", "predictor", "text"})
    )
    fill(modules["vision"], trunk, "the X-Encoder")
    fill(modules["predictor"], state["predictor"], f"'{checkpoint}' (predictor)")
    fill(modules["text"], state["y_encoder"], f"'{checkpoint}' (y_encoder)")


def _config(source: Path | None, default: Mapping[str, Any], kind: str) -> dict[str, Any]:
    if source is None:
        return dict(default)
    file = source / "config.json" if source.is_dir() else source
    try:
        raw: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"no configuration at '{file}': {error}") from error
    if raw.get("model_type") != kind:
        raise ModelError(f"'{file}': model_type is {raw.get('model_type')!r}, allowed: {kind}")
    return raw


def _trunk(folder: Path) -> dict[str, Tensor]:
    """The encoder of a V-JEPA 2 folder; its own masked predictor is not needed."""
    from transformers import VJEPA2Model

    model = load_hub_model(VJEPA2Model, folder, ignore=("predictor.",))
    return {f"encoder.{name}": tensor for name, tensor in model.encoder.state_dict().items()}


def _card(name: str) -> str:
    return (
        f"# {name}\n\nConverted from an open-vljepa checkpoint. "
        ""
        ""
        ""
        ""
        f"{LICENCE}\n\n"
        "It was trained on 8 frames spread evenly over a whole video clip (MSR-VTT: 10 to "
        ""
        "30 s), so "
        "`frame_interval` is one second: a shorter window is outside of what it has seen. "
        "No VQA stage, no "
        "Y-Decoder: texts are the nearest of the vocabulary.\n"
    )
