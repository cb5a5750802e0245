"""The one weights file (`model.safetensors`): fp16, the frozen text trunk int8, a scale per row.

What writes it rounds weights *before* anything is exported or measured, so that torch and the
exported graphs compute with the same numbers. Needs torch.
"""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor, nn

from vljepa_ros.models.config import ModelConfig, ModelError
from vljepa_ros.models.vl_jepa.nano_config import Architecture
from vljepa_ros.models.vl_jepa.nano_heads import DecoderPrefill, DecoderStep
from vljepa_ros.models.vl_jepa.nano_model import VLJEPA

SCALE = ".scale"


def unpack(stored: dict[str, Tensor]) -> dict[str, Tensor]:
    """Stored fp16, or int8 rows with `<name>.scale` [rows, 1] float32 -> fp32 parameters."""
    return {
        name: tensor.float() * stored[name + SCALE] if name + SCALE in stored else tensor.float()
        for name, tensor in stored.items()
        if not name.endswith(SCALE)
    }


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
