"""The full size's modules from a model folder, or with random weights."""

from __future__ import annotations

from torch import nn

from vljepa_ros.models.config import ModelConfig, ModelError
from vljepa_ros.models.hub_weights import fill
from vljepa_ros.models.pixel_input import PixelInput
from vljepa_ros.models.vl_jepa.full_predictor import FullPredictor
from vljepa_ros.models.vl_jepa.full_sizes import FullSizes
from vljepa_ros.models.vl_jepa.full_x_encoder import FullXEncoder
from vljepa_ros.models.vl_jepa.full_y_encoder import FullYEncoder

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


def with_pixel_input(config: ModelConfig, modules: dict[str, nn.Module]) -> dict[str, nn.Module]:
    """The same modules as the engines run them: `vision` takes 8-bit frames [B, T, S, S, 3]."""
    if "vision" not in modules:
        return modules
    first = PixelInput(modules["vision"], config.preprocessing, "pixel_values_videos")
    return {**modules, "vision": first.eval()}


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
