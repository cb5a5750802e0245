"""The full size's modules from a model folder, or with random weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from vljepa_ros.models.config import ModelConfig, ModelError
from vljepa_ros.models.vl_jepa.full_predictor import FullPredictor
from vljepa_ros.models.vl_jepa.full_sizes import FullSizes
from vljepa_ros.models.vl_jepa.full_x_encoder import FullXEncoder
from vljepa_ros.models.vl_jepa.full_y_encoder import FullYEncoder

__all__ = ["build_modules", "fill", "load_modules"]

_FILES = {"vision": "x_encoder", "predictor": "predictor", "text": "y_encoder"}


def build_modules(config: ModelConfig, parts: frozenset[str]) -> dict[str, nn.Module]:
    """Modules of `parts` (of `vision`, `predictor`, `text`) with random weights, fp32."""
    sizes = FullSizes.of(config)
    architecture = config.architecture
    modules: dict[str, nn.Module] = {}
    if "vision" in parts:
        modules["vision"] = FullXEncoder(architecture["x_encoder"])
    if "predictor" in parts:
        modules["predictor"] = FullPredictor(architecture["predictor"], sizes.width, sizes.dim)
    if "text" in parts:
        modules["text"] = FullYEncoder(architecture["y_encoder"], sizes.dim)
    return modules


def load_modules(config: ModelConfig, parts: frozenset[str]) -> dict[str, nn.Module]:
    """Modules of `parts` with the folder's weights, in fp32, ready for inference.

    :raises ModelError: a weight file is missing or does not match the configuration.
    """
    from safetensors.torch import load_file

    modules = build_modules(config, parts)
    for name, module in modules.items():
        file = config.path(_FILES[name])
        try:
            weights = load_file(str(file))
        except Exception as error:  # safetensors raises its own kinds
            raise ModelError(f"weights '{file}' cannot be read: {error}") from error
        fill(module, weights, str(file))
        module.eval()
        module.requires_grad_(False)
    return modules


def fill(module: nn.Module, weights: Mapping[str, Tensor], source: str) -> None:
    """Copy weights into a module, every tensor accounted for.

    :raises ModelError: missing, unknown or wrongly shaped tensors; the message names them.
    """
    own: dict[str, Any] = module.state_dict()
    problems = []
    for what, names in (
        ("missing", sorted(set(own) - set(weights))),
        ("not in the model", sorted(set(weights) - set(own))),
        (
            "wrong shape",
            [
                f"{n} (file {tuple(weights[n].shape)}, config {tuple(own[n].shape)})"
                for n in sorted(set(own) & set(weights))
                if own[n].shape != weights[n].shape
            ],
        ),
    ):
        if names:
            more = f" and {len(names) - 5} more" if len(names) > 5 else ""
            problems.append(f"{what}: {', '.join(names[:5])}{more}")
    if problems:
        raise ModelError(
            f"the weights of {source} do not match its configuration; {'; '.join(problems)}"
        )
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(weights[name])
