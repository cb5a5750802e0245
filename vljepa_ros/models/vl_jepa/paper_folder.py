"""Model folders of the full size: parts checked against their configurations, then written."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vljepa_ros.models.config import ModelConfig, ModelError, file_sha256
from vljepa_ros.models.hub_folder import DEFAULT_LABELS
from vljepa_ros.models.hub_weights import fill, load_hub_model
from vljepa_ros.models.vl_jepa.paper_model import build_modules

_IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


@dataclass(frozen=True)
class PaperParts:
    """Weights by the names of our modules, the token table, and the parts' configurations in hub
    form.

    source: where predictor and y_encoder come from, for messages.
    """

    x_encoder: Mapping[str, Tensor]
    predictor: Mapping[str, Tensor]
    y_encoder: Mapping[str, Tensor]
    table: Tensor
    x_encoder_config: Mapping[str, Any]
    predictor_config: Mapping[str, Any]
    y_encoder_config: Mapping[str, Any]
    source: str


def check_empty(out: Path) -> None:
    """:raises ModelError: `out` holds something."""
    if out.exists() and any(out.iterdir()):
        raise ModelError(f"'{out}' is not empty: choose a new folder")


def part_config(source: Path | None, default: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Configuration of a part: that of a folder in hub format, or the default.

    :raises ModelError: no configuration there, or of another kind.
    """
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


def load_x_encoder(folder: Path) -> dict[str, Tensor]:
    """The encoder of a V-JEPA 2 folder; its own masked predictor is not needed."""
    from transformers import VJEPA2Model

    model = load_hub_model(VJEPA2Model, folder, ignore=("predictor.",))
    return {f"encoder.{name}": tensor for name, tensor in model.encoder.state_dict().items()}


def write_paper_model(
    out: Path,
    parts: PaperParts,
    *,
    name: str,
    licence: str,
    card: str,
    query_tokenizer: Path | None,
    text_tokenizer: Path | None,
    clip_frames: int,
    clip_duration: float,
) -> Path:
    """Check the parts and write a model folder.

    :param clip_duration: seconds that the clip's frames are spread over.
    :returns: `out`.
    :raises ModelError: weights that do not match (nothing is written then), or no such tokenizer.
    """
    tokenizers = {
        part: file / "tokenizer.json" if file.is_dir() else file
        for part, file in (
            ("query_tokenizer", query_tokenizer),
            ("text_tokenizer", text_tokenizer),
        )
        if file is not None
    }
    for file in tokenizers.values():
        if not file.is_file():
            raise ModelError(f"no tokenizer at '{file}'")
    crop = int(parts.x_encoder_config.get("crop_size", 256))
    query = "What is happening in the video?"
    raw: dict[str, Any] = {
        "name": name,
        "family": "vl_jepa",
        "model_id": "",
        "dim": int(parts.predictor["out_proj.weight"].shape[0]),
        "clip_frames": clip_frames,
        "frame_interval": clip_duration / clip_frames,
        "input_size": crop,
        "default_query": query,
        "vocabulary": {query: list(DEFAULT_LABELS)} if text_tokenizer else {},
        "calibration": {"logit_scale": 1.0 / 0.07, "none_similarity": -1.0},
        "licence": licence,
        "preprocessing": {
            "resize": "shortest_edge",
            "size": crop,
            "crop": crop,
            "interpolation": "bilinear",
            **_IMAGENET,
        },
        "architecture": {
            "form": "full",
            "x_encoder": dict(parts.x_encoder_config),
            "predictor": dict(parts.predictor_config),
            "y_encoder": dict(parts.y_encoder_config),
            "query_length": 64,
            "text_length": 512,
        },
        "files": {},
        "sha256": {},
    }
    _check_fit(raw, parts)
    out.mkdir(parents=True, exist_ok=True)
    for part, file in tokenizers.items():
        shutil.copyfile(file, out / f"{part}.json")
        raw["files"][part] = f"{part}.json"
    write_tensors(out, raw, "x_encoder", parts.x_encoder)
    write_tensors(out, raw, "predictor", parts.predictor)
    write_tensors(out, raw, "y_encoder", parts.y_encoder)
    write_tensors(out, raw, "token_table", {"table": table_bits(parts.table)})
    finish_folder(out, raw)
    (out / "README.md").write_text(card, encoding="utf-8")
    return out


def _check_fit(raw: Mapping[str, Any], parts: PaperParts) -> None:
    """Fill the modules once, before anything is written."""
    fields = {key: value for key, value in raw.items() if key != "calibration"}
    modules = build_modules(
        ModelConfig(folder=Path(), **fields), frozenset({"vision", "predictor", "text"})
    )
    fill(modules["vision"], parts.x_encoder, "the X-Encoder")
    fill(modules["predictor"], parts.predictor, f"{parts.source} (predictor)")
    fill(modules["text"], parts.y_encoder, f"{parts.source} (y_encoder)")


def write_tensors(out: Path, raw: dict[str, Any], part: str, tensors: Mapping[str, Tensor]) -> None:
    """Write `out/<part>.safetensors` and note it under `files` and `sha256` of the
    configuration."""
    from safetensors.torch import save_file

    file = out / f"{part}.safetensors"
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    save_file(plain, str(file))
    raw["files"][part] = file.name
    raw["sha256"][file.name] = file_sha256(file)


def table_bits(table: Tensor) -> Tensor:
    """A token table as numpy can read it: bf16, which numpy lacks, as its 16 bits."""
    return table.view(torch.uint16) if table.dtype == torch.bfloat16 else table


def finish_folder(out: Path, raw: dict[str, Any]) -> None:
    """Set `model_id` from the hashes of the weights and write `config.json`."""
    weights = "".join(sorted(raw["sha256"].values()))
    raw["model_id"] = f"{raw['name']}-{hashlib.sha256(weights.encode()).hexdigest()[:8]}"
    (out / "config.json").write_text(json.dumps(raw, indent=1) + "\n", encoding="utf-8")
