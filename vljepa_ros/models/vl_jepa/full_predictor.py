"""Predictor of the full size: Llama layers without a causal mask (VL-JEPA, section 3.1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


class FullPredictor(nn.Module):
    """Visual tokens and query embeddings to the embedding of the answer.

    The sequence is [vis_proj(visual tokens); query], the positions of the rotary embedding count
    through both, every position attends to every other that is not padding; the mean of the last
    states over all positions that are not padding goes through out_proj.
    """

    def __init__(self, config: Mapping[str, Any], width: int, dim: int) -> None:
        """Build it with random weights.

        :param config: a LlamaConfig in the hub's form; `num_hidden_layers` are the layers used.
        :param width: of a visual token. :param dim: of the shared space.
        """
        super().__init__()
        from transformers import LlamaConfig
        from transformers.models.llama.modeling_llama import (
            LlamaDecoderLayer,
            LlamaRMSNorm,
            LlamaRotaryEmbedding,
        )

        fields = {key: value for key, value in config.items() if key != "model_type"}
        settings = LlamaConfig(**fields)
        settings._attn_implementation = "sdpa"
        self.layers = nn.ModuleList(
            LlamaDecoderLayer(settings, index) for index in range(settings.num_hidden_layers)
        )
        self.norm = LlamaRMSNorm(settings.hidden_size, eps=settings.rms_norm_eps)
        self.rotary = LlamaRotaryEmbedding(settings)
        self.vis_proj = nn.Linear(width, settings.hidden_size)
        self.out_proj = nn.Linear(settings.hidden_size, dim)
        self.checkpointing = False

    def forward(self, tokens: Tensor, query: Tensor, query_mask: Tensor) -> Tensor:
        """Predict.

        :param tokens: [B, N, width]. :param query: [B, Q, hidden]: embedded query tokens.
        :param query_mask: [B, Q]: 1 for a token, 0 for padding.
        :returns: [B, dim], not normalised.
        """
        visual = self.vis_proj(tokens)
        hidden = torch.cat((visual, query.to(visual.dtype)), dim=1)
        keep = torch.cat((torch.ones_like(tokens[:, :, 0]), query_mask.to(tokens.dtype)), dim=1)
        # A mask is always given: without one, transformers' attention would be causal again.
        hidden_keys = (1.0 - keep)[:, None, None, :] * torch.finfo(hidden.dtype).min
        mask = hidden_keys.to(hidden.dtype).expand(-1, 1, hidden.shape[1], -1)
        positions = torch.arange(hidden.shape[1], device=hidden.device)[None]
        rotary = self.rotary(hidden, positions)
        for layer in self.layers:
            if self.checkpointing and self.training:
                hidden = checkpoint(
                    layer,
                    hidden,
                    attention_mask=mask,
                    position_embeddings=rotary,
                    use_reentrant=False,
                )
            else:
                hidden = layer(hidden, attention_mask=mask, position_embeddings=rotary)
        hidden = self.norm(hidden)
        weight = keep[:, :, None].to(hidden.dtype)
        pooled = (hidden * weight).sum(dim=1) / weight.sum(dim=1)
        embedding: Tensor = self.out_proj(pooled)
        return embedding
