"""Y-Encoder of the full size: EmbeddingGemma's trunk (bidirectional), masked mean, one linear
layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn


class FullYEncoder(nn.Module):
    """[B, L] ids and mask to [B, dim]. Its activations overflow in fp16: bf16 or fp32 only."""

    def __init__(self, config: Mapping[str, Any], dim: int) -> None:
        """Build it with random weights from a Gemma3TextConfig in the hub's form."""
        super().__init__()
        from transformers import Gemma3TextConfig, Gemma3TextModel

        fields = {key: value for key, value in config.items() if key != "model_type"}
        settings = Gemma3TextConfig(**fields)
        settings._attn_implementation = "sdpa"
        self.model = Gemma3TextModel(settings)
        self.projector = nn.Linear(settings.hidden_size, dim)
        # The configuration class has turned the window into a distance that is still visible, plus
        # one.
        self._window = settings.sliding_window if settings.use_bidirectional_attention else None

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Embed texts; not normalised."""
        dtype = self.projector.weight.dtype
        out = self.model(
            input_ids=input_ids,
            attention_mask=self._masks(attention_mask, dtype),
            use_cache=False,
        )
        weight = attention_mask[:, :, None].to(dtype)
        pooled = (out.last_hidden_state * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1.0)
        embedding: Tensor = self.projector(pooled)
        return embedding

    def _masks(self, attention_mask: Tensor, dtype: torch.dtype) -> Any:
        """Additive masks [B, 1, L, L] for the two kinds of layers, as transformers builds them.

        Written out because its own builder looks into the values and so cannot be exported.
        """
        if self._window is None:
            return attention_mask  # a causal trunk: transformers' masks
        length = attention_mask.shape[1]
        position = torch.arange(length, device=attention_mask.device)
        near = (position[None, :] - position[:, None]).abs() < self._window
        keep = attention_mask[:, None, None, :].bool().expand(-1, 1, length, -1)
        lowest = torch.finfo(dtype).min
        zero = torch.zeros((), dtype=dtype, device=attention_mask.device)
        return {
            "full_attention": torch.where(keep, zero, lowest),
            "sliding_attention": torch.where(keep & near[None, None], zero, lowest),
        }
