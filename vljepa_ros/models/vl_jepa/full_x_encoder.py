"""X-Encoder of the full size: V-JEPA 2's encoder, without its masked predictor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn


class FullXEncoder(nn.Module):
    """[B, T, 3, S, S] float32 to visual tokens [B, T/tubelet * (S/patch)^2, width]; T a multiple of
    tubelet."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        """Build it with random weights from a VJEPA2Config in the hub's form."""
        super().__init__()
        from transformers import VJEPA2Config
        from transformers.models.vjepa2.modeling_vjepa2 import VJEPA2Encoder

        fields = {key: value for key, value in config.items() if key != "model_type"}
        settings = VJEPA2Config(**fields)
        settings._attn_implementation = "sdpa"
        self.encoder = VJEPA2Encoder(settings)

    def forward(self, pixel_values_videos: Tensor) -> Tensor:
        """Encode clips."""
        hidden: Tensor = self.encoder(pixel_values_videos=pixel_values_videos).last_hidden_state
        return hidden
