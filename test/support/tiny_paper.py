"""V-JEPA 2, and a `best.pt` as open-vljepa writes it, at tiny sizes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import transformers
from tiny_hub import word_tokenizer

TINY_LLAMA = {
    "model_type": "llama",
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 16,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "rms_norm_eps": 1e-5,
    "rope_theta": 500000.0,
    "max_position_embeddings": 131072,
    "rope_scaling": {
        "rope_type": "llama3",
        "factor": 32.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    },
}
TINY_GEMMA = {
    "model_type": "gemma3_text",
    "vocab_size": 64,
    "hidden_size": 24,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "num_key_value_heads": 1,
    "head_dim": 8,
    "hidden_activation": "gelu_pytorch_tanh",
    "max_position_embeddings": 64,
    "query_pre_attn_scalar": 8,
    "rms_norm_eps": 1e-6,
    "rope_theta": 1000000.0,
    "rope_local_base_freq": 10000.0,
    "sliding_window": 8,
    "use_bidirectional_attention": True,
    "layer_types": ["sliding_attention", "full_attention"],
    "pad_token_id": 0,
}


def tiny_vjepa2(folder: Path, seed: int = 2) -> Path:
    torch.manual_seed(seed)
    config = transformers.VJEPA2Config(
        patch_size=16,
        crop_size=32,
        frames_per_clip=8,
        tubelet_size=2,
        hidden_size=24,
        num_attention_heads=2,
        num_hidden_layers=2,
        mlp_ratio=2.0,
        pred_hidden_size=12,
        pred_num_attention_heads=2,
        pred_num_hidden_layers=1,
    )
    transformers.VJEPA2Model(config).save_pretrained(folder)
    return folder


def tiny_best_pt(folder: Path, dtype: torch.dtype = torch.float32, seed: int = 3) -> Path:
    """A `best.pt` as open-vljepa writes it, with the two configurations beside it."""
    torch.manual_seed(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for name, config in (("llama", TINY_LLAMA), ("gemma", TINY_GEMMA)):
        (folder / name).mkdir(exist_ok=True)
        (folder / name / "config.json").write_text(json.dumps(config))
    llama = transformers.LlamaModel(
        transformers.LlamaConfig(
            **{**TINY_LLAMA, "num_hidden_layers": 2}  # type: ignore[arg-type]
        )
    )
    state: dict[str, torch.Tensor] = {}
    for key, value in llama.state_dict().items():
        state[f"predictor.{key}"] = value + 0.1 * torch.randn_like(value)
    for name, rows, columns in (("vis_proj", 32, 24), ("out_proj", 16, 32)):
        state[f"predictor.{name}.weight"] = 0.3 * torch.randn(rows, columns)
        state[f"predictor.{name}.bias"] = 0.1 * torch.randn(rows)
    gemma = transformers.Gemma3TextModel(transformers.Gemma3TextConfig(**TINY_GEMMA))  # type: ignore[arg-type]
    for key, value in gemma.state_dict().items():
        state[f"y_encoder.model.{key}"] = value + 0.1 * torch.randn_like(value)
    state["y_encoder.projector.weight"] = 0.3 * torch.randn(16, 24)
    state["y_encoder.projector.bias"] = 0.1 * torch.randn(16)
    state = {key: value.to(dtype) for key, value in state.items()}
    path = folder / "best.pt"
    torch.save({"epoch": 3, "model_state_dict": state, "loss": 0.5, "config": {"lr": 1e-4}}, path)
    return path


def converted(folder: Path, dtype: torch.dtype = torch.float32, tokenizers: bool = True) -> Path:
    """A tiny open-vljepa, converted."""
    from vljepa_ros.models.vl_jepa.convert_open_vljepa import convert_open_vljepa

    best = tiny_best_pt(folder / "source", dtype)
    options: dict[str, Any] = {}
    if tokenizers:
        tokenizer = word_tokenizer(["<pad>", "<bos>", "<unk>"], "", "<bos>")
        tokenizer.save(str(folder / "source" / "tokenizer.json"))
        options = dict.fromkeys(
            ("query_tokenizer", "text_tokenizer"), folder / "source" / "tokenizer.json"
        )
    return convert_open_vljepa(
        best,
        folder / "tiny-open-vljepa",
        tiny_vjepa2(folder / "source" / "vjepa2"),
        predictor_config=folder / "source" / "llama",
        y_encoder_config=folder / "source" / "gemma",
        **options,
    )
