"""CLIP, SigLIP and SigLIP 2 in exactly the hub's format: real configuration classes, random
weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import transformers
from tiny_hub import save_tokenizer, word_tokenizer


def tiny_clip(folder: Path, seed: int = 0) -> Path:
    torch.manual_seed(seed)
    tokenizer = word_tokenizer(
        ["<|startoftext|>", "<|endoftext|>", "<unk>"], "<|endoftext|>", "<|startoftext|>"
    )
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    config = transformers.CLIPConfig(
        text_config={
            **sizes,
            "num_attention_heads": 2,
            "vocab_size": 64,
            "max_position_embeddings": 24,
            "bos_token_id": 0,
            "eos_token_id": 1,
            "pad_token_id": 1,
        },
        vision_config={**sizes, "num_attention_heads": 4, "image_size": 32, "patch_size": 8},
        projection_dim=16,
    )
    transformers.CLIPModel(config).save_pretrained(folder)
    save_tokenizer(
        folder,
        tokenizer,
        pad_token="<|endoftext|>",
        eos_token="<|endoftext|>",
        bos_token="<|startoftext|>",
        unk_token="<unk>",
        model_max_length=24,
    )
    transformers.CLIPImageProcessorPil(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
    ).save_pretrained(folder)
    return folder


def tiny_siglip(folder: Path, naflex: bool = False, seed: int = 1) -> Path:
    torch.manual_seed(seed)
    tokenizer = word_tokenizer(["<pad>", "<eos>", "<bos>", "<unk>"], "<eos>")
    sizes = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
    }
    text = {
        **sizes,
        "vocab_size": 64,
        "max_position_embeddings": 16,
        "pad_token_id": 0,
        "eos_token_id": 1,
        "bos_token_id": 2,
        "projection_size": 32,
    }
    if naflex:
        vision: dict[str, Any] = {**sizes, "patch_size": 8, "num_patches": 16}
        config: Any = transformers.Siglip2Config(text_config=text, vision_config=vision)
        model: Any = transformers.Siglip2Model(config)
        processor: Any = transformers.Siglip2ImageProcessorPil(patch_size=8, max_num_patches=16)
    else:
        vision = {**sizes, "image_size": 32, "patch_size": 8}
        config = transformers.SiglipConfig(text_config=text, vision_config=vision)
        model = transformers.SiglipModel(config)
        processor = transformers.SiglipImageProcessorPil(
            size={"height": 32, "width": 32}, resample=2
        )
    with torch.no_grad():
        model.logit_scale.fill_(4.7)
        model.logit_bias.fill_(-16.5)
        for parameter in model.vision_model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    save_tokenizer(
        folder,
        tokenizer,
        pad_token="<pad>",
        eos_token="<eos>",
        unk_token="<unk>",
        model_max_length=16,
        model_input_names=["input_ids"],
    )
    processor.save_pretrained(folder)
    return folder
