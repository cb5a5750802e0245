"""Tiny checkpoints in exactly the hub's format: real configuration classes, random weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

WORDS = [
    "a",
    "an",
    "the",
    "of",
    "in",
    "on",
    "is",
    "are",
    "not",
    "no",
    "there",
    "colour",
    "photo",
    "image",
    "video",
    "open",
    "closed",
    "door",
    "cup",
    "red",
    "blue",
    "person",
    "walking",
    "table",
    "robot",
    "arm",
    "moving",
    "yes",
    "what",
    "how",
    "many",
    "describe",
    "happening",
    "one",
    "two",
    "three",
    ".",
    "?",
    ",",
    "{}",
]


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


CHAT = ("<pad>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>",
        "<|video_pad|>", "<|image_pad|>", "system", "user", "assistant", "You", "helpful",
        "\n")  # fmt: skip


def tiny_qwen(folder: Path, seed: int = 4) -> Path:
    torch.manual_seed(seed)
    specials = [*CHAT, "<unk>"]
    text = {
        "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 256,
        "rope_scaling": {"type": "mrope", "mrope_section": [1, 1, 2]}, "rope_theta": 1e6,
    }  # fmt: skip
    vision = {
        "depth": 2, "hidden_size": 16, "intermediate_size": 24, "num_heads": 2,
        "out_hidden_size": 32,
        "patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2, "window_size": 56,
        "fullatt_block_indexes": [1], "tokens_per_second": 2,
    }  # fmt: skip
    config = transformers.Qwen2_5_VLConfig(
        text_config=text, vision_config=vision, vision_start_token_id=3, vision_end_token_id=4,
        video_token_id=5, image_token_id=6, tie_word_embeddings=False,
    )  # fmt: skip
    model = transformers.Qwen2_5_VLForConditionalGeneration(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    tokenizer = word_tokenizer(specials, "", lower=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "removed")
    tokenizer.add_special_tokens(list(CHAT[:7]))
    save_tokenizer(folder, tokenizer, pad_token="<pad>", eos_token="<|im_end|>", unk_token="<unk>")
    transformers.Qwen2VLImageProcessorPil(patch_size=14, merge_size=2).save_pretrained(folder)
    set_field(folder, "vljepa.json", input_size=56, clip_frames=4, frame_interval=0.5)
    return folder


def tiny_instructblip(folder: Path, seed: int = 5) -> Path:
    torch.manual_seed(seed)
    text = transformers.LlamaConfig(
        vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=4, max_position_embeddings=128,
        bos_token_id=1, eos_token_id=2, pad_token_id=0,
    )  # fmt: skip
    vision = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
              "num_attention_heads": 2, "image_size": 28, "patch_size": 14}  # fmt: skip
    qformer = {"vocab_size": 64, "hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 2,
               "num_attention_heads": 2, "cross_attention_frequency": 1}  # fmt: skip
    config = transformers.InstructBlipConfig(
        vision_config=vision, qformer_config=qformer, text_config=text.to_dict(),
        num_query_tokens=4, image_token_index=63,
    )  # fmt: skip
    model = transformers.InstructBlipForConditionalGeneration(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    save_tokenizer(folder, word_tokenizer(["<pad>", "<s>", "</s>", "<unk>"], "", "<s>"),
                   pad_token="<pad>", bos_token="<s>", eos_token="</s>",
                   unk_token="<unk>")  # fmt: skip
    save_tokenizer(folder / "qformer_tokenizer",
                   word_tokenizer(["[PAD]", "[CLS]", "[SEP]", "[UNK]"], "[SEP]", "[CLS]"),
                   pad_token="[PAD]", unk_token="[UNK]")  # fmt: skip
    transformers.BlipImageProcessorPil(size={"height": 28, "width": 28}).save_pretrained(folder)
    return folder
