"""The paper-sized VL-JEPA: X-Encoder, Predictor, Y-Encoder, and their weights. Needs torch."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from vljepa_ros.files import JsonMapping
from vljepa_ros.models.config import ModelConfig, ModelError
from vljepa_ros.models.hub_weights import check_sizes, fill, read_tensors
from vljepa_ros.models.torch_preprocessing import PixelInput
from vljepa_ros.models.vl_jepa.paper_config import PaperSizes


def _settings(kind: Any, config: JsonMapping) -> Any:
    """A configuration of transformers with the attention that every exporter knows."""
    # A copy: transformers 5 writes `rope_theta` into a nested `rope_scaling`.
    own = deepcopy({key: value for key, value in config.items() if key != "model_type"})
    try:
        settings = kind(**own)
    except Exception as error:  # transformers checks each field with an error of its own
        raise ModelError(f"not a configuration of {kind.model_type}: {error}") from error
    settings._attn_implementation = "sdpa"
    return settings


class PaperXEncoder(nn.Module):
    """[B, T, 3, S, S] float32 to visual tokens [B, T/tubelet * (S/patch)^2, width].

    T is a multiple of tubelet.
    """

    def __init__(self, config: JsonMapping) -> None:
        """Build it with random weights from a VJEPA2Config in the hub's form."""
        super().__init__()
        from transformers import VJEPA2Config
        from transformers.models.vjepa2.modeling_vjepa2 import VJEPA2Encoder

        self.encoder = VJEPA2Encoder(_settings(VJEPA2Config, config))

    def forward(self, pixel_values_videos: Tensor) -> Tensor:
        """Encode clips."""
        hidden: Tensor = self.encoder(pixel_values_videos=pixel_values_videos).last_hidden_state
        return hidden


class PaperPredictor(nn.Module):
    """Visual tokens and query embeddings to the embedding of the answer.

    The sequence is [vis_proj(visual tokens); query], the positions of the rotary embedding count
    through both, every position attends to every other that is not padding; the mean of the last
    states over all positions that are not padding goes through out_proj.
    """

    def __init__(self, config: JsonMapping, width: int, dim: int) -> None:
        """Build it with random weights.

        Args:
            config: A LlamaConfig in the hub's form; `num_hidden_layers` are the layers used.
            width: Of a visual token.
            dim: Of the shared space.
        """
        super().__init__()
        from transformers import LlamaConfig
        from transformers.models.llama.modeling_llama import (
            LlamaDecoderLayer,
            LlamaRMSNorm,
            LlamaRotaryEmbedding,
        )

        settings = _settings(LlamaConfig, config)
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

        Args:
            tokens: [B, N, width].
            query: [B, Q, hidden]: embedded query tokens.
            query_mask: [B, Q]: 1 for a token, 0 for padding.

        Returns:
            [B, dim], not normalised.
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
            step: Callable[..., Tensor] = layer
            if self.checkpointing and self.training:
                step = partial(checkpoint, layer, use_reentrant=False)
            hidden = step(hidden, attention_mask=mask, position_embeddings=rotary)
        hidden = self.norm(hidden)
        weight = keep[:, :, None].to(hidden.dtype)
        pooled = (hidden * weight).sum(dim=1) / weight.sum(dim=1)
        embedding: Tensor = self.out_proj(pooled)
        return embedding


class PaperYEncoder(nn.Module):
    """[B, L] ids and mask to [B, dim]. Its activations overflow in fp16: bf16 or fp32 only."""

    def __init__(self, config: JsonMapping, dim: int) -> None:
        """Build it with random weights from a Gemma3TextConfig in the hub's form."""
        super().__init__()
        from transformers import Gemma3TextConfig, Gemma3TextModel

        settings = _settings(Gemma3TextConfig, config)
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


WEIGHTS_OF = {"vision": "x_encoder", "predictor": "predictor", "text": "y_encoder"}
"""Each module -> the part of the folder that holds its weights."""


def build_modules(config: ModelConfig, parts: frozenset[str]) -> dict[str, nn.Module]:
    """Modules of `parts` (of `vision`, `predictor`, `text`) with random weights, fp32."""
    sizes, raw = PaperSizes.of(config), config.architecture
    build: dict[str, Callable[[], nn.Module]] = {
        "vision": lambda: PaperXEncoder(raw["x_encoder"]),
        "predictor": lambda: PaperPredictor(raw["predictor"], sizes.width, sizes.dim),
        "text": lambda: PaperYEncoder(raw["y_encoder"], sizes.dim),
    }
    try:
        return {name: make() for name, make in build.items() if name in parts}
    except RuntimeError as error:
        raise ModelError(f"model '{config.name}': sizes that do not fit: {error}") from error


def with_pixel_input(config: ModelConfig, modules: dict[str, nn.Module]) -> dict[str, nn.Module]:
    """The same modules as the engines run them: `vision` takes 8-bit frames [B, T, S, S, 3]."""
    if "vision" not in modules:
        return modules
    first = PixelInput(modules["vision"], config.preprocessing, "pixel_values_videos")
    return {**modules, "vision": first.eval()}


def load_modules(config: ModelConfig, parts: frozenset[str]) -> dict[str, nn.Module]:
    """Modules of `parts` with the folder's weights, in fp32, ready for inference.

    Raises:
        ModelError: A weight file is missing or does not match the configuration.
    """
    weights = {name: read_tensors(config.path(WEIGHTS_OF[name])) for name in sorted(parts)}
    for name, tensors in weights.items():
        check_sizes(
            lambda name=name: build_modules(config, frozenset({name}))[name],  # type: ignore[misc]
            (tensor.shape for tensor in tensors.values()),
            f"'{config.path(WEIGHTS_OF[name])}'",
        )
    modules = build_modules(config, parts)
    for name, module in modules.items():
        fill(module, weights[name], str(config.path(WEIGHTS_OF[name])))
        module.eval().requires_grad_(False)
    return modules
