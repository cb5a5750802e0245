"""Writing a model folder of the full size: safetensors, hashes, configuration."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

__all__ = ["finish_folder", "table_bits", "write_tensors"]


def write_tensors(out: Path, raw: dict[str, Any], part: str, tensors: Mapping[str, Tensor]) -> None:
    """Write `out/<part>.safetensors` and note it under `files` and `sha256` of the
    configuration."""
    from safetensors.torch import save_file

    file = out / f"{part}.safetensors"
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    save_file(plain, str(file))
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    raw["files"][part] = file.name
    raw["sha256"][file.name] = digest.hexdigest()


def table_bits(table: Tensor) -> Tensor:
    """A token table as numpy can read it: bf16, which numpy lacks, as its 16 bits."""
    return table.view(torch.uint16) if table.dtype == torch.bfloat16 else table


def finish_folder(out: Path, raw: dict[str, Any]) -> None:
    """Set `model_id` from the hashes of the weights and write `config.json`."""
    weights = "".join(sorted(raw["sha256"].values()))
    raw["model_id"] = f"{raw['name']}-{hashlib.sha256(weights.encode()).hexdigest()[:8]}"
    (out / "config.json").write_text(json.dumps(raw, indent=1) + "\n", encoding="utf-8")
