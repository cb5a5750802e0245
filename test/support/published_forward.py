"""The published forward pass of open-vljepa, stated again in plain tensor operations.

Written from its description, not from our modules: rotary tables, attention and pooling by hand.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

State = dict[str, Tensor]


def llama3_frequencies(config: dict[str, Any]) -> Tensor:
    """Rotary frequencies with the scaling of Llama 3.1 and later."""
    scaling, head = config["rope_scaling"], config["head_dim"]
    original = scaling["original_max_position_embeddings"]
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    result = []
    for i in range(0, head, 2):
        frequency = config["rope_theta"] ** (-i / head)
        wavelength = 2 * math.pi / frequency
        if wavelength > original / low:
            frequency /= scaling["factor"]
        elif wavelength > original / high:
            smooth = (original / wavelength - low) / (high - low)
            frequency = (1 - smooth) * frequency / scaling["factor"] + smooth * frequency
        result.append(frequency)
    return torch.tensor(result)


def rms(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + eps) * weight


def rotate(x: Tensor, angles: Tensor) -> Tensor:
    half = x.shape[-1] // 2
    a, b = x[..., :half], x[..., half:]
    cos, sin = angles.cos(), angles.sin()
    return torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1)


def predict(
    state: State, config: dict[str, Any], visual: Tensor, ids: Tensor, mask: Tensor
) -> Tensor:
    """[B, N, width] tokens, [B, Q] ids and mask to [B, dim], not normalised."""
    weights = {k.removeprefix("predictor."): v.float() for k, v in state.items()}
    projected = visual @ weights["vis_proj.weight"].T + weights["vis_proj.bias"]
    x = torch.cat((projected, weights["embed_tokens.weight"][ids]), dim=1)
    keep = torch.cat((torch.ones(visual.shape[:2]), mask.float()), dim=1)
    heads, groups, size = (
        config["num_attention_heads"],
        config["num_key_value_heads"],
        config["head_dim"],
    )
    length, batch = x.shape[1], x.shape[0]
    angles = torch.arange(length)[:, None] * llama3_frequencies(config)[None, :]
    penalty = (1 - keep)[:, None, None, :] * -1e9
    eps = config["rms_norm_eps"]
    layer = 0
    while f"layers.{layer}.self_attn.q_proj.weight" in weights:
        own = {k.removeprefix(f"layers.{layer}."): v for k, v in weights.items()}
        h = rms(x, own["input_layernorm.weight"], eps)
        q = (h @ own["self_attn.q_proj.weight"].T).view(batch, length, heads, size).transpose(1, 2)
        k = (h @ own["self_attn.k_proj.weight"].T).view(batch, length, groups, size).transpose(1, 2)
        v = (h @ own["self_attn.v_proj.weight"].T).view(batch, length, groups, size).transpose(1, 2)
        q, k = rotate(q, angles), rotate(k, angles)
        k, v = (t.repeat_interleave(heads // groups, dim=1) for t in (k, v))
        attention = (q @ k.transpose(-1, -2) / math.sqrt(size) + penalty).softmax(-1)
        mixed = (attention @ v).transpose(1, 2).reshape(batch, length, heads * size)
        x = x + mixed @ own["self_attn.o_proj.weight"].T
        h = rms(x, own["post_attention_layernorm.weight"], eps)
        gate = torch.nn.functional.silu(h @ own["mlp.gate_proj.weight"].T)
        x = x + (gate * (h @ own["mlp.up_proj.weight"].T)) @ own["mlp.down_proj.weight"].T
        layer += 1
    x = rms(x, weights["norm.weight"], eps)
    pooled = (x * keep[:, :, None]).sum(1) / keep.sum(1, keepdim=True)
    return pooled @ weights["out_proj.weight"].T + weights["out_proj.bias"]


def embed_text(state: State, config: dict[str, Any], ids: Tensor, mask: Tensor) -> Tensor:
    """[B, L] to [B, dim]: transformers' own Gemma3TextModel, masked mean, projector."""
    import transformers

    model = transformers.Gemma3TextModel(transformers.Gemma3TextConfig(**config)).eval()
    prefix = "y_encoder.model."
    model.load_state_dict(
        {k.removeprefix(prefix): v.float() for k, v in state.items() if k.startswith(prefix)}
    )
    with torch.no_grad():
        hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state
    pooled = (hidden * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True)
    return pooled @ state["y_encoder.projector.weight"].float().T + (
        state["y_encoder.projector.bias"].float()
    )
