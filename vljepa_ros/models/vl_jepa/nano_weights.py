"""The one weights file (`model.safetensors`): fp16, and int8 with a scale per row for the frozen
text trunk.

Weights are rounded *before* anything is exported or measured (`rounded`), so that torch and the
exported graphs compute with the same numbers. Needs torch.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from vljepa_ros.models.config import ModelConfig, ModelError
from vljepa_ros.models.vl_jepa.nano_config import Architecture
from vljepa_ros.models.vl_jepa.nano_heads import DecoderPrefill, DecoderStep
from vljepa_ros.models.vl_jepa.nano_model import VLJEPA

SCALE = ".scale"
_INT8_PART = "text_trunk."


def pack(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """fp32 parameters -> what is stored: fp16, or int8 rows with `<name>.scale` [rows, 1]
    float32.
    """
    stored: dict[str, Tensor] = {}
    for name, tensor in state.items():
        value = tensor.detach().float().cpu()
        if name.startswith(_INT8_PART) and name.endswith("weight") and value.ndim == 2:
            scale = value.abs().amax(1, keepdim=True).clamp(min=1e-12) / 127
            stored[name] = (value / scale).round().clamp(-127, 127).to(torch.int8).contiguous()
            stored[name + SCALE] = scale.contiguous()
        else:
            stored[name] = value.half().contiguous()
    return stored


def unpack(stored: dict[str, Tensor]) -> dict[str, Tensor]:
    """What `pack` made -> fp32 parameters."""
    return {
        name: tensor.float() * stored[name + SCALE] if name + SCALE in stored else tensor.float()
        for name, tensor in stored.items()
        if not name.endswith(SCALE)
    }


def rounded(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """fp32 parameters as they come back from the file. Idempotent."""
    return unpack(pack(state))


def save_model(model: VLJEPA, file: Path) -> None:
    """Write the weights file."""
    save_file(pack(model.state_dict()), str(file), metadata={"format": "pt"})


def load_model(file: Path, architecture: Architecture) -> VLJEPA:
    """A torch model with the weights of `file`, on the CPU, in evaluation mode.

    Raises:
        ModelError: Not a weights file, or one of another architecture.
    """
    model = VLJEPA(architecture)
    try:
        model.load_state_dict(unpack(load_file(str(file))))
    except Exception as error:
        raise ModelError(f"'{file}' does not fit the architecture: {error}") from error
    return model.eval()


def load_modules(config: ModelConfig) -> dict[str, nn.Module]:
    """The modules of `nano_parts` with a folder's weights, in fp32, ready for inference.

    Raises:
        ModelError: The folder has no weights, or those of another architecture.
    """
    if "weights" not in config.files:
        raise ModelError(
            f"model '{config.name}' holds graphs only ({config.precision}); allowed: onnxruntime"
        )
    model = load_model(config.path("weights"), Architecture.from_dict(config.architecture))
    shared = ("frame", "window", "text_trunk", "text_head", "predictor")
    return {
        **{name: getattr(model, name) for name in shared},
        "decoder_prefill": DecoderPrefill(model.y_decoder),
        "decoder_step": DecoderStep(model.y_decoder),
    }
