"""Tiny checkpoints in exactly the hub's format: real configuration classes, random weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

WORDS = ["a", "an", "the", "of", "in", "on", "is", "are", "not", "no", "there", "colour", "photo", "image", "video", "open", "closed", "door", "cup", "red", "blue", "person", "walking", "table", "robot", "arm", "moving", "yes", "what", "how", "many", "describe", "happening", "one", "two", "three", ".", "?", ",", "{}"]


def word_tokenizer(specials: list[str], eos: str, bos: str = "", lower: bool = True) -> Tokenizer:
    """A word-level tokenizer that ends every text with `eos`."""
    vocabulary = {word: i for i, word in enumerate([*specials, *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=specials[-1]))
    if lower:
        tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    ends = [(token, vocabulary[token]) for token in (bos, eos) if token]
    if ends:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A {eos}".strip(), special_tokens=ends
        )
    tokenizer.decoder = decoders.Fuse()
    return tokenizer


def save_tokenizer(folder: Path, tokenizer: Tokenizer, **options: Any) -> None:
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **options).save_pretrained(
        folder
    )


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


def image(height: int, width: int, seed: int = 0) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Noise over a ramp: sharp edges show every difference of a filter."""
    rng = np.random.default_rng(seed)
    ramp = np.linspace(0, 200, width)[None, :, None] + rng.integers(0, 56, (height, width, 3))
    return ramp.astype(np.uint8)


def set_field(folder: Path, file: str, **fields: Any) -> None:
    """Change fields of a JSON file."""
    path = folder / file
    raw = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps({**raw, **fields}))
