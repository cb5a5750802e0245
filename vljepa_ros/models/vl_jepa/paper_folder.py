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

from vljepa_ros.files import JsonMapping, JsonObject
from vljepa_ros.models.config import ModelConfig, ModelError, file_sha256, read_json
from vljepa_ros.models.hub_folder import DEFAULT_LABELS
from vljepa_ros.models.hub_weights import fill, load_hub_model
from vljepa_ros.models.vl_jepa.paper_model import WEIGHTS_OF, build_modules

_IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}


@dataclass(frozen=True)
class PaperParts:
    """What a folder is made of.

    Attributes:
        weights: `x_encoder`, `predictor` and `y_encoder` -> tensors by the names of our modules.
        configs: The same parts -> their configurations in the hub's form.
        table: The Predictor's token table [words, hidden].
        source: Where predictor and y_encoder come from, for messages.
    """

    weights: Mapping[str, Mapping[str, Tensor]]
    configs: Mapping[str, Mapping[str, Any]]
    table: Tensor
    source: str


def check_empty(out: Path) -> None:
    """Refuse a folder that is not empty.

    Raises:
        ModelError: It is not.
    """
    if out.exists() and any(out.iterdir()):
        raise ModelError(f"'{out}' is not empty: choose a new folder")


def part_config(source: Path | None, default: JsonMapping, kind: str) -> JsonObject:
    """Configuration of a part: that of a folder in hub format, or the default.

    Raises:
        ModelError: No configuration there, or of another kind.
    """
    if source is None:
        return dict(default)
    file = source / "config.json" if source.is_dir() else source
    raw = read_json(file, "is no configuration")
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

    Args:
        out: The folder.
        parts: Configurations and weights.
        name: The model's name.
        licence: Its terms, in one line.
        card: Text of the model card.
        query_tokenizer: A `tokenizer.json` or its folder; None: queries come as token ids.
        text_tokenizer: The same for the Y-Encoder's texts.
        clip_frames: Frames of a clip.
        clip_duration: Seconds that the clip's frames are spread over.

    Returns:
        `out`.

    Raises:
        ModelError: Weights that do not match (nothing is written then), or no such tokenizer.
    """
    given = {"query_tokenizer": query_tokenizer, "text_tokenizer": text_tokenizer}
    tokenizers = {
        part: file / "tokenizer.json" if file.is_dir() else file
        for part, file in given.items()
        if file is not None
    }
    for file in tokenizers.values():
        if not file.is_file():
            raise ModelError(f"no tokenizer at '{file}'")
    crop = int(parts.configs["x_encoder"].get("crop_size", 256))
    query = "What is happening in the video?"
    raw: dict[str, Any] = {
        "name": name,
        "family": "vl_jepa",
        "model_id": "",
        "dim": int(parts.weights["predictor"]["out_proj.weight"].shape[0]),
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
            **{part: dict(config) for part, config in parts.configs.items()},
            "query_length": 64,
            "text_length": 512,
        },
        "files": {},
        "sha256": {},
    }
    fields = {key: value for key, value in raw.items() if key != "calibration"}
    modules = build_modules(ModelConfig(folder=out, **fields), frozenset(WEIGHTS_OF))
    for module, part in WEIGHTS_OF.items():
        source = "the X-Encoder" if module == "vision" else f"{parts.source} ({part})"
        fill(modules[module], parts.weights[part], source)
    del modules  # they were for the check
    out.mkdir(parents=True, exist_ok=True)
    for part, file in tokenizers.items():
        shutil.copyfile(file, out / f"{part}.json")
        raw["files"][part] = f"{part}.json"
    # numpy, which reads the table, has no bf16: such a table is written as its 16 bits.
    bits = parts.table.view(torch.uint16) if parts.table.dtype == torch.bfloat16 else parts.table
    for part, tensors in {**parts.weights, "token_table": {"table": bits}}.items():
        write_tensors(out, raw, part, tensors)
    finish_folder(out, raw)
    (out / "README.md").write_text(card, encoding="utf-8")
    return out


def write_tensors(out: Path, raw: JsonObject, part: str, tensors: Mapping[str, Tensor]) -> None:
    """Write `out/<part>.safetensors`; add it to `files` and `sha256` of the configuration."""
    from safetensors.torch import save_file

    file = out / f"{part}.safetensors"
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    save_file(plain, str(file))
    raw["files"][part] = file.name
    raw["sha256"][file.name] = file_sha256(file)


def finish_folder(out: Path, raw: JsonObject) -> None:
    """Set `model_id` from the hashes of the weights and write `config.json`."""
    weights = "".join(sorted(raw["sha256"].values()))
    raw["model_id"] = f"{raw['name']}-{hashlib.sha256(weights.encode()).hexdigest()[:8]}"
    (out / "config.json").write_text(json.dumps(raw, indent=1) + "\n", encoding="utf-8")
